//! Workers that come, go, wait and are given up.

use std::sync::atomic::Ordering;

use loom::thread;
use parallel_workers::{Failure, Loss, Promise, State, WorkerId};

use crate::{GATED, NESTED, Started, Twice, every_order, every_order_within, set, workers};

#[test]
fn requests_of_two_callers_against_workers_that_fall_asleep() {
    every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let handle = one.service.handle();
            let other = thread::spawn(move || handle.queue_request(1).wait().copied());
            assert_eq!(one.service.queue_request(2).wait(), Ok(&4));
            assert_eq!(other.join().unwrap(), Ok(2));
        })
    });
}

#[test]
fn a_request_against_a_worker_that_is_told_to_leave() {
    let seen = every_order(|| {
        Started::new(workers(2)).explore(|one| {
            let promise = one.service.queue_request(1);
            one.service.resize(1).unwrap();
            assert_eq!(promise.wait(), Ok(&2));
            let worker = promise.worker().map(|id| id.to_string());
            worker.unwrap()
        })
    });
    assert_eq!(seen, set(["0".to_owned(), "1".to_owned()]));
}

#[test]
fn a_kill_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let worker = one.service.worker_named("worker-0").unwrap();
            let heir = worker.kill().unwrap();
            assert_ne!(heir, Some(worker.id()));
            let outcome = promise.wait().copied();
            assert_eq!(one.service.workers().len(), 1);
            match outcome {
                Ok(2) => (true, promise.worker() == Some(worker.id())),
                Err(Failure::WorkerLost(_)) => (false, true),
                other => panic!("{other:?}"),
            }
        })
    });
    // Processed by the first; by its heir; lost with the first.
    assert_eq!(seen, set([(true, true), (true, false), (false, true)]));
}

#[test]
fn a_kill_against_a_request_without_end() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let endless = one.service.queue_request(GATED);
            let worker = one.service.worker_named("worker-0").unwrap();
            worker.kill().unwrap();
            // What it had settles though it never ends.
            if endless.worker() == Some(worker.id()) {
                assert_eq!(endless.wait(), Err(Failure::WorkerLost(Loss::Killed)));
            }
            one.gate.open();
            endless.wait().is_ok()
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn what_one_worker_has_in_its_hand_while_it_stands_at_a_gate() {
    every_order_within(2, || {
        Started::new(workers(2).paused(true)).explore(|one| {
            // A worker's first comes alone; behind the gate there have to be four, for one of them to be in a hand.
            let numbers = [0, 1, GATED, 3, 4, 5, 6, 7];
            let promises = numbers.map(|n| one.service.queue_request(n));
            one.service.resume();
            // The other one does all the rest meanwhile.
            for promise in &promises {
                if *promise.request() != GATED {
                    assert_eq!(promise.wait(), Ok(&(2 * promise.request())));
                }
            }
            one.gate.open();
            assert_eq!(promises[2].wait(), Ok(&(2 * GATED)));
        })
    });
}

#[test]
fn what_a_worker_has_in_its_hand_against_a_pause() {
    every_order_within(2, || {
        Started::new(workers(1).paused(true)).explore(|one| {
            let promises = [0, GATED, 2, 3, 4, 5].map(|n| one.service.queue_request(n));
            one.service.resume();
            assert_eq!(promises[0].wait(), Ok(&0));
            one.service.pause();
            one.gate.open();
            // It stood at the gate, or is kept from it by the pause.
            let begun = promises.iter().filter(|one| one.state() != State::Queued);
            assert!(begun.count() <= 2, "nothing begins after a pause");
            one.service.resume();
            assert!(promises.iter().all(|one| one.wait().is_ok()));
        })
    });
}

#[test]
fn what_one_worker_has_in_its_hand_against_another_that_finds_nothing() {
    let seen = every_order_within(2, || {
        Started::new(workers(2).paused(true)).explore(|one| {
            let promises: Vec<_> = (0..5).map(|n| one.service.queue_request(n)).collect();
            one.service.resume();
            let outputs: Vec<_> = promises.iter().map(|one| one.wait().copied()).collect();
            assert_eq!(outputs, [Ok(0), Ok(2), Ok(4), Ok(6), Ok(8)]);
            assert_eq!(one.runs(), 5);
            let workers = promises.iter().map(Promise::worker);
            workers.collect::<Vec<Option<WorkerId>>>()
        })
    });
    // One did all, or each had some.
    assert!(seen.len() > 2, "{seen:?}");
}

#[test]
fn a_worker_that_waits_for_a_request_of_its_own_service() {
    every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let outer = one.service.queue_request(NESTED);
            assert_eq!(outer.wait(), Ok(&(2 * NESTED)));
            assert_eq!(one.runs(), 2);
        })
    });
}

#[test]
fn a_broadcast_against_a_request() {
    every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let answers = one.service.broadcast(|twice: &mut Twice| {
                twice.step.fetch_add(1, Ordering::Relaxed);
                7
            });
            assert!(answers.wait().iter().all(|(_, answer)| *answer == Ok(&7)));
            assert_eq!(promise.wait(), Ok(&2));
        })
    });
}

#[test]
fn what_was_assigned_to_a_worker_that_is_told_to_leave() {
    let seen = every_order(|| {
        Started::new(workers(2)).explore(|one| {
            let worker = one.service.worker_named("worker-1").unwrap();
            let promise = worker.assign(1);
            worker.remove();
            assert_eq!(promise.wait(), Ok(&2));
            promise.worker() == Some(worker.id())
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn what_was_assigned_to_a_worker_that_stands_at_a_gate_and_is_told_to_leave() {
    let seen = every_order(|| {
        Started::new(workers(2)).explore(|one| {
            let worker = one.service.worker_named("worker-1").unwrap();
            let stands = worker.assign(GATED);
            let promise = worker.assign(1);
            worker.remove();
            // Of the two, the other worker does what this one has not begun.
            if stands.worker() == Some(worker.id()) {
                assert_eq!(promise.wait(), Ok(&2));
            }
            one.gate.open();
            assert_eq!(stands.wait(), Ok(&(2 * GATED)));
            assert_eq!(promise.wait(), Ok(&2));
            stands.worker() == Some(worker.id())
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn a_worker_that_waits_for_what_it_alone_can_do() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let worker = one.service.worker_named("worker-0").unwrap();
            let outer = one.service.queue_request(NESTED);
            // Equal to what the other one queues.
            let inner = worker.assign(NESTED / 2);
            assert_eq!(inner.wait(), Ok(&NESTED));
            *outer.wait().unwrap()
        })
    });
    // The wait was refused; or it was not necessary.
    assert_eq!(seen, set([0, 2 * NESTED]));
}
