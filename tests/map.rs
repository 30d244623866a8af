//! Lazy maps with a strict window.

mod support;

use std::cell::Cell;
use std::time::Duration;

use parallel_workers::{Abort, ProcessorService};
use support::{Gated, echo, runs};

#[test]
fn a_map_yields_in_the_order_of_its_input() {
    let (service, _) = echo(3);
    let outputs: Vec<_> = service
        .map(0..1_000)
        .map(|promise| *promise.wait().unwrap())
        .collect();
    assert_eq!(outputs, (0..1_000).collect::<Vec<_>>());
    assert_eq!(service.map(0..7).size_hint(), (7, Some(7)));
    assert!(service.map([]).next().is_none());
}

#[test]
fn an_unordered_map_yields_every_request_once() {
    let (service, _) = echo(3);
    let mut outputs: Vec<_> = service
        .map_unordered(0..1_000)
        .map(|promise| *promise.wait().unwrap())
        .collect();
    outputs.sort_unstable();
    assert_eq!(outputs, (0..1_000).collect::<Vec<_>>());
    assert!(service.map_unordered([]).next().is_none());
}

#[test]
fn a_map_never_takes_more_than_its_window_ahead_of_what_it_yielded() {
    for window in [1, 2, 7] {
        let gated = Gated::new();
        gated.gate.open();
        let service = gated.start(ProcessorService::builder().workers(2).window(window));
        let (taken, yielded) = (Cell::new(0), Cell::new(0));
        let counted = |n: &u32| {
            taken.set(taken.get() + 1);
            assert!(taken.get() - yielded.get() <= window, "at {n}");
        };
        for _ in service.map((0..100).inspect(counted)) {
            yielded.set(yielded.get() + 1);
        }
        assert_eq!(taken.replace(0), 100);
        yielded.set(0);
        for _ in service.map_unordered((0..100).inspect(counted)) {
            yielded.set(yielded.get() + 1);
        }
        assert_eq!(taken.get(), 100);
    }
}

#[test]
fn the_window_is_two_for_each_worker_and_at_least_sixteen() {
    for (workers, window) in [(1, 16), (12, 24)] {
        let (service, _) = echo(workers);
        let taken = Cell::new(0);
        service
            .map((0..).inspect(|_| taken.set(taken.get() + 1)))
            .next()
            .unwrap()
            .wait()
            .unwrap();
        assert_eq!(taken.get(), window);
    }
}

#[test]
fn an_endless_input_works_and_dropping_the_map_aborts_what_nobody_wants() {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(1).window(10));
    let wanted = service.queue_request(5);
    gated.gate.wait_for(1);
    let mut squares = service.map(0..);
    gated.gate.let_one_pass();
    gated.gate.let_one_pass();
    assert_eq!(squares.next().unwrap().wait(), Ok(&0));
    gated.gate.wait_for(3);
    let joined = service.queue_request(9);
    drop(squares);
    assert_eq!(joined.abort(), Abort::Aborted, "the map gave its vote back");
    gated.gate.open();
    assert_eq!(wanted.wait(), Ok(&5));
    service.stop();
    assert!(runs(&gated.runs) <= 3);
}

#[test]
fn an_input_that_uses_the_service_itself_does_not_deadlock() {
    let (service, _) = echo(1);
    let nested = (0..10).map(|n| *service.queue_request(n).wait().unwrap() + 100);
    assert_eq!(service.map(nested).count(), 10);
    let nested = (0..10).map(|n| *service.queue_request(n).wait().unwrap() + 200);
    assert_eq!(service.queue_requests(nested).wait_for_all().len(), 10);
    let nested = service
        .map((0..10).map(|n| n + 300))
        .map(|promise| *promise.request());
    assert_eq!(service.map_unordered(nested).count(), 10);
}

#[test]
fn a_map_works_through_a_queue_that_is_smaller_than_its_window() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(
        ProcessorService::builder()
            .workers(2)
            .capacity(3)
            .window(50),
    );
    assert_eq!(service.map(0..500).count(), 500);
    assert_eq!(service.map_unordered(0..500).count(), 500);
    assert_eq!(
        service
            .queue_requests(0..500)
            .select_timeout(Duration::MAX)
            .map(|_| ()),
        Some(())
    );
}
