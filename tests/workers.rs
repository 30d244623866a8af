//! Workers that are named, added and removed.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parallel_workers::{
    Context, Failure, ProcessorService, StartError, WorkerId, WorkerState, processor_fn,
};
use support::{Gated, Numbers, echo, gated, runs};

fn names(service: &ProcessorService<Numbers>) -> Vec<String> {
    service
        .workers()
        .into_iter()
        .map(|worker| worker.name)
        .collect()
}

/// Waits until so many workers are there: one that was told to leave takes a moment.
fn wait_for_workers(service: &ProcessorService<Numbers>, n: usize) {
    while service.workers().len() != n {
        thread::yield_now();
    }
}

#[test]
fn workers_are_found_by_id_and_by_name_and_unknown_ones_are_none() {
    let (service, _) = echo(2);
    let id = service.add_worker("example").unwrap();
    assert_eq!(names(&service), ["worker-0", "worker-1", "example"]);
    let found = service.worker(id).unwrap();
    assert_eq!((found.id(), found.name()), (id, "example"));
    assert_eq!(
        service.worker_named("example").map(|worker| worker.id()),
        Some(id)
    );
    assert_eq!(found.status().state, WorkerState::Idle);
    assert_eq!(
        format!("{found:?}"),
        "Worker { id: WorkerId(2), name: \"example\" }"
    );
    assert!(service.worker_named("nobody").is_none());
    assert!(found.remove());
    wait_for_workers(&service, 2);
    assert!(service.worker(id).is_none() && service.worker_named("example").is_none());
    assert!(!found.clone().remove(), "it was told before");
}

#[test]
fn names_are_unique_and_a_second_one_is_an_error_that_names_it() {
    let (service, _) = echo(1);
    service.add_worker("example").unwrap();
    let error = service.add_worker("example").unwrap_err();
    assert!(matches!(&error, StartError::NameTaken { worker } if worker == "example"));
    assert!(error.to_string().contains("\"example\""));
    assert!(service.add_worker("worker-0").is_err());
    assert!(matches!(
        service.add_worker("a\0b"),
        Err(StartError::BadName { .. })
    ));
    // A number that was taken as a name is passed over.
    service.add_worker("worker-3").unwrap();
    service.add_workers(2).unwrap();
    assert_eq!(
        names(&service),
        ["worker-0", "example", "worker-3", "worker-4", "worker-5"]
    );
}

#[test]
fn ids_are_never_used_again() {
    let (service, _) = echo(1);
    let mut seen: HashSet<WorkerId> = service.workers().iter().map(|worker| worker.id).collect();
    for _ in 0..50 {
        let id = service.add_worker("example").unwrap();
        assert!(seen.insert(id));
        assert!(service.worker(id).unwrap().remove());
        wait_for_workers(&service, 1);
    }
}

#[test]
fn added_workers_take_requests_at_once() {
    let (service, gated) = gated(1);
    let promises = service.queue_requests(0..4);
    gated.gate.wait_for(1);
    assert_eq!(service.add_workers(3).unwrap().len(), 3);
    gated.gate.wait_for(4);
    assert_eq!(service.status().running, 4);
    gated.gate.open();
    assert_eq!(promises.wait_for_all().len(), 4);
}

#[test]
fn a_removed_worker_finishes_its_request_and_takes_no_other() {
    let (service, gated) = gated(1);
    let first = service.queue_request(1);
    gated.gate.wait_for(1);
    let second = service.queue_request(2);
    let worker = service.worker_named("worker-0").unwrap();
    assert!(worker.remove());
    assert_eq!(service.workers().len(), 1, "it still has something to do");
    gated.gate.open();
    assert_eq!(first.wait(), Ok(&1));
    wait_for_workers(&service, 0);
    assert!(!second.is_settled());
    let status = service.status();
    assert_eq!((status.queued, status.settled.outputs), (1, 1));
    assert!(
        status.to_string().contains(", no workers: requests wait"),
        "{status}"
    );
    service.add_worker("another").unwrap();
    assert_eq!(second.wait(), Ok(&2));
}

#[test]
fn resizing_up_and_down_under_load_loses_nothing() {
    let (service, gated) = echo(2);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let promises = service.queue_requests(0..20_000);
            promises
                .select()
                .filter(|promise| promise.wait().is_ok())
                .count()
        });
        for n in [12, 2, 1, 12, 6, 0, 1, 8, 5] {
            service.resize(n).unwrap();
        }
        assert_eq!(load.join().unwrap(), 20_000);
    });
    wait_for_workers(&service, 5);
    service.stop();
    assert_eq!(runs(&gated.runs), 20_000);
    assert_eq!(service.status().settled.outputs, 20_000);
}

#[test]
fn shrinking_keeps_the_oldest_and_the_same_size_changes_nothing() {
    let (service, _) = echo(4);
    service.resize(4).unwrap();
    service.resize(2).unwrap();
    wait_for_workers(&service, 2);
    assert_eq!(names(&service), ["worker-0", "worker-1"]);
    service.resize(3).unwrap();
    assert_eq!(names(&service), ["worker-0", "worker-1", "worker-4"]);
}

#[test]
fn a_service_without_workers_stops_and_settles_what_it_has() {
    let (service, _) = echo(2);
    service.resize(0).unwrap();
    wait_for_workers(&service, 0);
    let promises = service.queue_requests(0..10);
    service.stop();
    promises.wait_for_all_with(|promise| assert_eq!(promise.wait(), Err(Failure::Stopped)));
    assert_eq!(service.status().settled.stopped, 10);
    let error = service.add_worker("late").unwrap_err();
    assert!(matches!(&error, StartError::Stopped { worker } if worker == "late"));
    assert!(service.resize(1).is_err() && service.resize(0).is_ok());
}

#[test]
fn a_drain_whose_workers_are_removed_leaves_nobody_waiting() {
    for _ in 0..50 {
        let (service, gated) = gated(2);
        let promises = service.queue_requests(0..10);
        gated.gate.wait_for(2);
        thread::scope(|scope| {
            scope.spawn(|| service.stop());
            service.resize(0).unwrap();
            gated.gate.open();
        });
        promises.wait_for_all_with(|promise| {
            assert!(matches!(promise.wait(), Ok(_) | Err(Failure::Stopped)));
        });
        assert_eq!(service.status().settled.total(), 10);
    }
}

#[test]
fn sleeping_and_paused_workers_leave_when_they_are_told() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(ProcessorService::builder().workers(3).paused(true));
    let promise = service.queue_request(1);
    service.resize(1).unwrap();
    wait_for_workers(&service, 1);
    assert!(!promise.is_settled());
    service.resume();
    assert_eq!(promise.wait(), Ok(&1));
}

#[test]
fn a_factory_that_fails_for_a_new_worker_leaves_the_others_as_they_are() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let inner = Arc::clone(&is_broken);
    let service = ProcessorService::builder()
        .workers(2)
        .try_start(move || {
            if inner.load(Ordering::SeqCst) {
                return Err("no more processors");
            }
            Ok(processor_fn(|n: &u32, _: &Context<'_>| *n))
        })
        .unwrap();
    is_broken.store(true, Ordering::SeqCst);
    let error = service.add_workers(3).unwrap_err();
    assert!(
        matches!(&error, StartError::Factory { worker, .. } if worker == "worker-2"),
        "{error}"
    );
    while service.workers().len() > 2 {
        thread::yield_now();
    }
    assert_eq!(service.queue_request(1).wait(), Ok(&1));
    service.stop();
}

#[test]
fn a_worker_that_cannot_be_made_again_can_be_removed() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let inner = Arc::clone(&is_broken);
    let service = ProcessorService::start(2, move || {
        assert!(!inner.load(Ordering::SeqCst), "no more processors");
        processor_fn(|n: &u32, _: &Context<'_>| {
            assert!(*n > 0, "zero");
            *n
        })
    })
    .unwrap();
    is_broken.store(true, Ordering::SeqCst);
    let lost = service.queue_request(0);
    assert!(lost.wait().is_err());
    let id = lost.worker().unwrap();
    if let Some(worker) = service.worker(id) {
        worker.remove();
    }
    while service.worker(id).is_some() {
        thread::yield_now();
    }
    assert_eq!(service.queue_request(1).wait(), Ok(&1));
}

#[test]
fn workers_that_come_and_go_a_thousand_times_leave_nothing_behind() {
    let (service, _) = echo(1);
    for n in 0..1_000 {
        service.resize(2).unwrap();
        service.queue_request(n);
        service.resize(1).unwrap();
    }
    wait_for_workers(&service, 1);
    service.stop();
    assert_eq!(
        service.status().settled.outputs,
        1_000,
        "and what the departed did is counted"
    );
}
