//! Child processes: how they are started, what they are sent, and how they end. This program is its own child.

#[macro_use]
#[path = "../support/list.rs"]
mod list;
#[path = "../backends/door.rs"]
mod door;
#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod ends;
mod limits;
mod misbehaviour;
mod raw;
mod start;
mod window;
mod worker;

use libtest_mimic::Arguments;
use parallel_workers::process;

use crate::worker::Worker;

fn main() {
    // Roles that this program has as a child, or as the parent of some.
    raw::play();
    ends::play();
    start::play();
    process::serve(Worker::default);
    ends::play_part();

    support::limit_time();
    let tests = tests! {
        deaths:
            each_way_to_end_at_each_stage_costs_one_request_and_says_so
            an_end_between_requests_costs_none
            a_panic_arrives_with_message_and_location_and_the_child_lives_on
            a_panic_where_requests_are_read_or_answers_written_is_told_too
            what_had_not_begun_goes_to_another_and_begins_once
            requests_that_may_run_twice_are_tried_again_so_many_times
            workers_that_end_each_other_lose_no_other_request
            a_kill_of_the_program_from_outside_is_told;
        misbehaviour:
            an_answer_cut_at_each_byte_is_lost_once
            who_breaks_the_protocol_is_killed_and_replaced
            who_ends_before_reading_costs_nothing
            who_stops_reading_is_killed_when_the_time_is_up
            who_does_not_give_back_what_waits_is_killed
            who_cannot_be_sent_a_whole_request_gets_it_three_times_at_most
            who_answers_out_of_order_is_understood_where_it_may;
        window:
            what_waits_behind_a_slow_request_goes_to_an_idle_worker
            what_waits_behind_a_slow_request_can_be_aborted
            what_is_not_to_be_sent_ahead_is_queued_and_can_be_aborted
            a_kill_costs_what_runs_and_nothing_that_waits
            a_child_learns_that_nobody_wants_its_output
            an_unwanted_request_is_ended_with_its_child_where_that_is_asked_for
            a_request_that_takes_too_long_is_ended_with_its_child
            a_stopped_process_is_ended_when_the_time_is_up
            large_requests_and_large_answers_do_not_block_each_other
            a_wrapped_child_answers_one_by_one
            requests_that_are_queued_by_a_callback_are_processed;
        limits:
            a_child_is_replaced_after_so_many_requests
            a_child_that_has_grown_is_replaced
            a_child_gets_no_more_memory_than_it_may
            what_is_too_long_or_cannot_be_read_fails_alone
            the_status_tells_of_the_process;
        start:
            what_is_no_worker_is_an_error_that_says_why
            a_child_that_does_not_serve_is_told_to
            a_program_that_has_gone_is_asked_for_again_and_again
            a_command_is_made_for_each_child_when_it_starts
            a_process_that_was_only_started_by_a_worker_is_none;
        ends:
            children_end_when_their_parent_is_killed
            a_child_ends_with_its_workers_thread_though_its_pipes_are_open
            a_busy_child_ends_with_its_input_though_its_parent_lives
            children_have_no_pipes_of_each_other
            kills_leave_no_descriptor_and_no_process
            a_stop_finishes_what_is_queued_and_drops_the_processor
            a_child_that_does_not_end_when_it_should_is_killed
            what_a_child_had_started_ends_with_it
            what_is_printed_is_passed_on_with_the_workers_name
            what_is_printed_goes_to_standard_error_with_the_workers_name;
    };
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}
