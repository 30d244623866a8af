//! Many machines, by way of NATS; with real servers.

#[macro_use]
#[path = "../support/list.rs"]
mod list;
#[path = "../backends/door.rs"]
mod door;
#[path = "../support/nats.rs"]
mod nats;
#[path = "../support/mod.rs"]
mod support;

mod aborts;
#[cfg(feature = "process")]
mod children;
mod crew;
mod deaths;
mod everything;
mod job;
mod languages;
mod limits;
mod outages;
mod partitions;
mod permissions;
mod poison;
mod raw;
mod role;
mod roles;
mod servers;
mod sharing;
mod starts;
mod storm;
mod watch;

use libtest_mimic::Arguments;

fn main() {
    roles::play();
    #[cfg(feature = "process")]
    parallel_workers::process::serve(job::Worker::default);
    // Roles that this program has in processes of their own.
    storm::play();

    support::limit_time();
    let tests = tests! {
        deaths:
            what_a_killed_worker_had_is_begun_by_another
            a_result_that_is_stored_is_the_result_whoever_is_lost_then
            a_late_result_does_not_take_the_place_of_the_first
            a_killed_caller_takes_nothing_with_him
            a_worker_that_stops_gives_back_what_it_has_not_begun
            no_request_waits_while_a_worker_elsewhere_is_idle
            a_slow_worker_keeps_its_lease
            a_killed_connection_settles_what_it_has_and_the_next_goes_on
            what_comes_to_a_worker_that_stops_counts_as_no_start
            what_is_no_request_is_taken_out;
        poison:
            what_ends_its_workers_is_set_aside_and_nothing_else_is;
        outages:
            ten_thousand_requests_outlive_a_stop_of_the_server
            ten_thousand_requests_outlive_a_kill_of_the_server
            requests_wait_for_a_server_that_is_away
            a_service_without_a_server_can_be_abandoned;
        aborts:
            what_no_worker_has_is_taken_out
            what_a_worker_has_not_begun_is_never_processed
            what_runs_is_told_and_gives_its_real_output
            an_owner_who_leaves_hurts_nobody_who_has_joined
            who_has_joined_leaves_alone
            when_everybody_has_left_the_worker_is_told
            what_a_killed_connection_had_queued_is_not_begun;
        sharing:
            equal_requests_of_several_callers_are_processed_once
            requests_with_one_key_that_are_not_equal_are_not_mixed_up
            a_result_is_for_whoever_has_not_seen_it
            a_storm_of_equal_requests_gives_everybody_the_right_output;
        limits:
            what_the_server_does_not_take_fails_alone_and_says_why
            a_panic_arrives_with_message_and_location
            what_cannot_be_read_is_said_to_whoever_waits
            a_name_and_a_password_in_an_address_are_used
            a_full_queue_gives_requests_back;
        languages:
            a_worker_in_python_does_what_is_named_and_says_what_it_does_not_know
            equal_requests_of_several_callers_are_processed_once_in_python
            an_output_that_is_too_long_is_an_exception_that_says_so
            what_is_aborted_before_python_begins_it_never_is
            what_a_killed_worker_in_python_had_is_begun_by_another
            what_ends_its_workers_in_python_is_set_aside_after_three_starts
            starts_are_counted_across_languages
            what_comes_to_a_worker_in_python_that_stops_is_given_back
            a_worker_in_python_finishes_what_it_has_begun_when_it_is_told_to_end
            a_slow_worker_in_python_keeps_its_lease
            python_takes_out_what_is_done_and_what_is_no_request
            a_worker_in_python_waits_for_its_queue_and_takes_no_other
            a_worker_in_python_goes_on_when_its_server_is_back
            a_worker_in_python_needs_no_more_than_the_page_allows;
        servers:
            what_a_server_has_stored_outlives_a_stop_and_a_kill
            a_server_that_stands_still_answers_when_it_goes_on
            a_server_has_the_limits_that_it_was_given
            replicas_agree_when_their_leader_was_killed_and_is_back
            tls_is_demanded_and_so_is_a_certificate_where_that_is_asked_for
            a_user_may_do_what_is_allowed_and_no_more
            credentials_by_another_operator_let_nobody_in
            a_line_that_is_cut_is_silent_until_it_is_healed
            a_server_whose_answers_are_lost_does_what_it_is_asked;
        starts:
            what_is_no_address_is_named
            a_server_that_does_not_run_is_named
            who_answers_nothing_is_given_up_in_time
            a_server_that_answers_nothing_keeps_nobody_from_the_others
            a_wrong_password_is_told_and_not_printed
            credentials_and_certificates_that_cannot_be_read_are_named
            a_server_without_jetstream_is_told_how_to_have_it
            an_account_without_jetstream_is_told_so
            copies_that_a_server_cannot_keep_are_refused
            a_queue_that_is_kept_otherwise_is_told_what_differs
            more_than_the_server_may_store_is_refused
            who_may_not_do_what_is_needed_is_told_what_that_is
            who_could_hear_nothing_is_told_so
            what_is_no_name_is_named
            a_queue_that_is_not_there_has_no_status;
        partitions:
            a_caller_who_was_cut_off_hears_what_came_meanwhile
            what_was_lost_with_a_callers_connection_is_looked_up
            a_worker_that_was_cut_off_within_its_lease_runs_nothing_twice
            a_worker_that_was_cut_off_does_not_overwrite_the_result
            a_worker_that_was_cut_off_may_be_the_first_yet
            a_result_that_is_not_stored_is_nobodys
            requests_that_went_to_a_worker_that_is_cut_off_go_to_another
            a_worker_that_had_to_connect_anew_goes_on_with_what_it_has
            what_a_worker_is_given_twice_it_runs_once;
        permissions:
            what_the_page_allows_is_enough_and_none_of_it_too_much
            callers_and_workers_can_do_no_more
            everybody_may_have_an_inbox_of_his_own
            credentials_from_files_are_as_good
            all_of_it_goes_by_tls_with_certificates_on_both_sides;
        storm:
            a_storm_is_weathered_though_leaders_are_killed;
    };
    #[cfg(feature = "process")]
    let tests = tests.into_iter().chain(children::tests()).collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}
