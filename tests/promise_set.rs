//! Promises in the order in which they settle.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use indicatif::{ProgressDrawTarget, ProgressIterator};
use parallel_workers::{Context, Failure, ProcessorService, Promise, PromiseSet, processor_fn};
use support::{Alive, Gates, echo, gated};

type Service = ProcessorService<support::Numbers>;

/// A service in which each request waits for a gate of its own.
fn by_gates(workers: usize) -> (Service, Gates<u32>) {
    let gates = Gates::new();
    let inner = gates.clone();
    let service = ProcessorService::start(workers, move || {
        let gates = inner.clone();
        let function: support::Number = Box::new(move |n, _| {
            gates.pass(n);
            *n
        });
        processor_fn(function)
    });
    (service.unwrap(), gates)
}

#[test]
fn promises_are_selected_in_the_order_in_which_they_settle() {
    let (service, gates) = by_gates(3);
    let promises = service.queue_requests([1, 2, 3]);
    for n in [3, 1, 2] {
        assert!(promises.try_select().is_none());
        gates.open(n);
        assert_eq!(
            promises.select_next().map(|promise| *promise.request()),
            Some(n)
        );
    }
    assert!(promises.select_next().is_none());
}

#[test]
fn what_was_settled_before_comes_in_the_order_of_insertion() {
    let (service, _) = echo(2);
    let settled: Vec<_> = (0..10).map(|n| service.queue_request(n)).collect();
    service.wait_idle();
    let promises: PromiseSet<_, _> = settled.iter().rev().cloned().collect();
    let order: Vec<_> = promises
        .select()
        .map(|promise| *promise.request())
        .collect();
    assert_eq!(order, (0..10).rev().collect::<Vec<_>>());
}

#[test]
fn a_promise_in_two_sets_is_yielded_by_both_and_a_clone_counts_for_itself() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    let (one, other) = (PromiseSet::new(), PromiseSet::new());
    one.insert(promise.clone());
    one.insert(promise.clone());
    other.insert(promise.clone());
    assert_eq!((one.len(), other.len()), (2, 1));
    gated.gate.open();
    let yielded = one.wait_for_all();
    assert!(yielded.len() == 2 && yielded.iter().all(|member| *member == promise));
    assert_eq!(other.wait_for_all().len(), 1);
}

#[test]
fn an_empty_set_yields_nothing_and_waits_for_nothing() {
    let promises = PromiseSet::<u32, u32>::new();
    assert!(promises.select_next().is_none() && promises.try_select().is_none());
    assert!(promises.select_timeout(Duration::MAX).is_none());
    assert!(promises.wait_for_all().is_empty());
    assert!(promises.select().next().is_none());
}

#[test]
fn a_selection_that_runs_out_can_be_resumed() {
    let (service, gates) = by_gates(2);
    let promises = service.queue_requests([1, 2]);
    assert!(promises.select_timeout(Duration::ZERO).is_none());
    assert!(promises.select_deadline(Instant::now()).is_none());
    gates.open(2);
    assert_eq!(
        promises
            .select_timeout(Duration::MAX)
            .map(|promise| *promise.request()),
        Some(2)
    );
    assert!(promises.select_timeout(Duration::from_millis(5)).is_none());
    assert_eq!(promises.len(), 1);
    gates.open(1);
    assert_eq!(
        promises.select_next().map(|promise| *promise.request()),
        Some(1)
    );
}

#[test]
fn every_kind_of_outcome_is_yielded_once() {
    let service = ProcessorService::start(2, || {
        processor_fn(|n: &u32, _: &Context<'_>| {
            assert!(!n.is_multiple_of(3), "every third one");
            *n
        })
    })
    .unwrap();
    service.pause();
    let promises = service.queue_requests(0..30);
    let aborted: Vec<_> = [1, 2, 4].map(|n| service.queue_request(n)).into();
    drop(aborted);
    service.resume();
    let (mut outputs, mut panics) = (0, 0);
    promises.wait_for_all_with(|promise| match promise.wait() {
        Ok(_) => outputs += 1,
        Err(Failure::Panicked(_)) => panics += 1,
        Err(failure) => panic!("{failure}"),
    });
    assert_eq!((outputs, panics, promises.len()), (20, 10, 0));
}

#[test]
fn aborting_all_settles_all_and_they_are_still_yielded() {
    let (service, gated) = gated(1);
    let promises = service.queue_requests(0..1_000);
    gated.gate.wait_for(1);
    promises.abort_all();
    gated.gate.open();
    let outcomes: Vec<_> = promises
        .select()
        .map(|promise| promise.wait().copied())
        .collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == Err(Failure::Aborted))
            .count(),
        999
    );
    assert_eq!(
        outcomes.iter().filter(|outcome| **outcome == Ok(0)).count(),
        1
    );
    service.stop();
    assert_eq!(support::runs(&gated.runs), 1);
}

#[test]
fn a_hundred_thousand_joined_promises_are_aborted_one_by_one() {
    let (service, gated) = gated(1);
    let other = service.queue_request(0);
    gated.gate.wait_for(1);
    let promises = service.queue_requests(std::iter::repeat_n(0, 100_000));
    promises.abort_all();
    assert_eq!(promises.wait_for_all().len(), 100_000);
    gated.gate.open();
    assert_eq!(other.wait(), Ok(&0));
}

#[test]
fn promises_can_be_inserted_while_others_are_selected() {
    let (service, _) = echo(2);
    let promises = service.queue_requests([16]);
    let mut seen = Vec::new();
    for promise in promises.select() {
        let n = *promise.request();
        seen.push(n);
        if n > 0 {
            promises.insert(service.queue_request(n - 1));
            assert_eq!(promises.len(), 1);
        }
    }
    assert_eq!(seen, (0..=16).rev().collect::<Vec<_>>());
}

#[test]
fn several_threads_select_from_one_set_and_all_come_to_an_end() {
    let (service, _) = echo(2);
    let promises = Arc::new(PromiseSet::new());
    for round in 0..50 {
        service.pause();
        (0..200).for_each(|n| promises.insert(service.queue_request(round * 1_000 + n)));
        let selecting: Vec<_> = (0..4)
            .map(|_| {
                let promises = Arc::clone(&promises);
                std::thread::spawn(move || promises.select().count())
            })
            .collect();
        service.resume();
        let yielded: usize = selecting
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(yielded, 200);
    }
}

#[test]
fn a_progress_bar_is_put_around_a_selection_in_one_word() {
    let (service, _) = echo(2);
    let promises = service.queue_requests(0..100);
    assert_eq!(promises.select().len(), 100);
    assert_eq!(promises.select().progress().count(), 100);
    let bar = indicatif::ProgressBar::with_draw_target(Some(50), ProgressDrawTarget::hidden());
    let promises = service.queue_requests(0..50);
    assert_eq!(
        promises
            .select()
            .progress_with(bar)
            .filter(Promise::is_settled)
            .count(),
        50
    );
}

#[test]
fn a_set_is_a_stream_under_any_executor() {
    let (service, _) = echo(2);
    let sum = |promises: PromiseSet<u32, u32>| {
        promises.fold(
            0,
            |sum, promise| async move { sum + promise.wait().unwrap() },
        )
    };
    assert_eq!(
        futures::executor::block_on(sum(service.queue_requests(0..100))),
        4_950
    );
    assert_eq!(smol::block_on(sum(service.queue_requests(0..100))), 4_950);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(sum(service.queue_requests(0..100))), 4_950);
}

#[test]
fn a_stream_that_loses_a_race_loses_no_member() {
    let (service, _) = echo(2);
    let mut promises = service.queue_requests(0..2_000);
    let yielded = futures::executor::block_on(async {
        let mut yielded = 0;
        while !promises.is_empty() {
            // Whatever `next` would have given is still there when it is dropped.
            if let Some(Some(_)) = promises.next().now_or_never() {
                yielded += 1;
            }
        }
        yielded
    });
    assert_eq!(yielded, 2_000);
}

#[test]
fn a_set_that_is_dropped_aborts_nothing_and_leaves_nothing_behind() {
    let alive = Alive::default();
    let (service, gated) = gated(1);
    let first = service.queue_request(0);
    gated.gate.wait_for(1);
    let promises = PromiseSet::new();
    for _ in 0..100 {
        promises.insert(first.clone());
        let living = alive.make();
        first.on_settled(move |_| drop(living));
    }
    promises.insert(service.queue_request(1));
    drop(promises);
    gated.gate.open();
    service.wait_idle();
    assert_eq!(support::runs(&gated.runs), 2);
    assert_eq!(alive.count(), 0);
    assert_eq!(first.into_output().ok(), Some(0));
}

#[test]
fn a_set_keeps_nothing_of_what_it_yielded() {
    let alive = Alive::default();
    let counter = alive.share();
    let service = ProcessorService::start(1, move || {
        let alive = counter.share();
        processor_fn(move |_: &u32, _: &Context<'_>| alive.make())
    })
    .unwrap();
    let promises = service.queue_requests(0..10);
    service.wait_idle();
    for yielded in 1..=10 {
        drop(promises.select_next());
        assert_eq!(alive.count(), 10 - yielded);
    }
}

#[test]
fn a_yielded_promise_is_the_last_handle_to_its_output() {
    let (service, _) = echo(2);
    let promises = service.queue_requests(0..10_000);
    let outputs: Vec<_> = promises
        .select()
        .filter_map(|promise| promise.into_output().ok())
        .collect();
    assert_eq!(outputs.len(), 10_000);
}

#[test]
fn a_set_outlives_its_service() {
    let (service, _) = echo(1);
    let promises = service.queue_requests(0..100);
    drop(service);
    assert_eq!(promises.wait_for_all().len(), 100);
}
