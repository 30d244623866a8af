//! Who queues, joins, aborts and stops.

use loom::thread;
use parallel_workers::{Abort, Failure, Shutdown, State};

use crate::{NESTED, Started, code, every_order, every_order_within, set, workers};

#[test]
fn an_abort_against_the_start() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let abort = promise.abort();
            let outcome = promise.wait().copied();
            assert_eq!(outcome.is_err(), abort == Abort::Aborted);
            assert_eq!(one.runs(), usize::from(outcome.is_ok()));
            code(abort)
        })
    });
    assert_eq!(seen, set(["aborted", "running", "settled"]));
}

#[test]
fn two_clones_that_abort_at_once() {
    let seen = every_order(|| {
        Started::new(workers(1).paused(true)).explore(|one| {
            let promise = one.service.queue_request(1);
            let clone = promise.clone();
            let other = thread::spawn(move || code(clone.abort()));
            let abort = code(promise.abort());
            // Whoever was told that it is over can read how.
            assert_eq!(promise.try_result(), Some(Err(Failure::Aborted)));
            (abort, other.join().unwrap())
        })
    });
    assert_eq!(seen, set([("aborted", "settled"), ("settled", "aborted")]));
}

#[test]
fn a_join_against_the_last_abort() {
    let seen = every_order(|| {
        Started::new(workers(1).paused(true)).explore(|one| {
            let first = one.service.queue_request(1);
            let handle = one.service.handle();
            let other = thread::spawn(move || handle.queue_request(1));
            let abort = first.abort();
            let second = other.join().unwrap();
            one.service.resume();
            assert_eq!(first.wait(), Err(Failure::Aborted));
            assert_eq!(second.wait(), Ok(&2));
            assert_eq!(one.runs(), 1);
            assert_eq!(first == second, abort == Abort::StillWanted);
            code(abort)
        })
    });
    assert_eq!(seen, set(["aborted", "still wanted"]));
}

#[test]
fn a_join_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let first = one.service.queue_request(1);
            let second = one.service.queue_request(1);
            let shares = first == second;
            assert_eq!((second.wait(), first.wait()), (Ok(&2), Ok(&2)));
            assert_eq!(one.runs(), if shares { 1 } else { 2 });
            shares
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn a_request_after_an_equal_one_has_settled() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let first = one.service.queue_request(1);
            assert_eq!(first.wait(), Ok(&2));
            let second = one.service.queue_request(1);
            assert_eq!(second.wait(), Ok(&2));
            assert!(first != second, "what has ended is not shared");
            one.runs()
        })
    });
    assert_eq!(seen, set([2]));
}

#[test]
fn one_of_two_leaves_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1).paused(true)).explore(|one| {
            let leaves = one.service.queue_request(1);
            let stays = one.service.queue_request(1);
            one.service.resume();
            let abort = leaves.abort();
            assert_eq!(stays.wait(), Ok(&2));
            let outcome = leaves.wait().copied();
            // Running: it was at its end, and is not to be stopped.
            assert_eq!(outcome.is_err(), abort == Abort::StillWanted, "{abort:?}");
            code(abort)
        })
    });
    assert_eq!(seen, set(["still wanted", "running", "settled"]));
}

#[test]
fn a_request_against_the_stop() {
    let seen = every_order(|| {
        let one = Started::new(workers(1));
        loom::explore();
        let other = one.try_elsewhere(1);
        one.service.stop();
        loom::stop_exploring();
        let outcome = other.join().unwrap();
        // Accepted means that it settles, with its output; refused, that it never ran.
        assert_eq!(one.runs(), usize::from(outcome.is_some()));
        assert!(outcome.is_none() || outcome == Some(Ok(2)), "{outcome:?}");
        outcome.is_some()
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn a_request_against_a_stop_that_discards() {
    let seen = every_order(|| {
        let one = Started::new(workers(1));
        loom::explore();
        let other = one.try_elsewhere(1);
        let report = one.service.shutdown(Shutdown::Discard);
        loom::stop_exploring();
        let outcome = other.join().unwrap();
        let ran = usize::from(outcome == Some(Ok(2)));
        assert_eq!((one.runs(), report.still_running), (ran, 0));
        match outcome {
            None => "refused",
            Some(Ok(_)) => "processed",
            Some(Err(Failure::Stopped)) => "stopped",
            Some(Err(other)) => panic!("{other}"),
        }
    });
    assert_eq!(seen, set(["refused", "processed", "stopped"]));
}

#[test]
fn a_pause_against_a_request() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            one.service.pause();
            let later = one.service.queue_request(2);
            let has_begun = promise.state() != State::Queued;
            assert_eq!(later.state(), State::Queued, "nothing begins after a pause");
            one.service.resume();
            assert_eq!((promise.wait(), later.wait()), (Ok(&2), Ok(&4)));
            has_begun
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn a_place_in_a_full_queue_against_an_abort() {
    every_order(|| {
        let builder = workers(1).paused(true).capacity(1);
        Started::new(builder).explore(|one| {
            let first = one.service.queue_request(1);
            let handle = one.service.handle();
            // Waits for a place.
            let other = thread::spawn(move || handle.queue_request(2));
            let abort = first.abort();
            assert_eq!(abort, Abort::Aborted);
            let second = other.join().unwrap();
            one.service.resume();
            assert_eq!(second.wait(), Ok(&4));
        })
    });
}

#[test]
fn what_a_worker_queues_against_the_stop() {
    every_order_within(2, || {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(NESTED);
            one.service.stop();
            // What was begun is finished, with what it needs for that.
            assert_eq!(promise.wait(), Ok(&20));
        })
    });
}
