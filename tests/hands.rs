//! A worker whose requests are short takes several at a time; nobody is to notice.

mod support;

use std::sync::{Arc, Mutex};

use parallel_workers::{Abort, Failure, Loss, ProcessorService, Shutdown, processor_fn};
use support::{Gate, Number, Numbers};

/// Requests that are short, but for some that stand at the gate.
struct Stuck {
    gate: Gate,
    /// What was begun, in that order.
    begun: Arc<Mutex<Vec<u32>>>,
}

impl Stuck {
    fn new() -> Self {
        Self {
            gate: Gate::new(),
            begun: Arc::default(),
        }
    }

    /// A paused service in which these stand at the gate.
    fn start(&self, workers: usize, stuck: &'static [u32]) -> ProcessorService<Numbers> {
        let (gate, begun) = (self.gate.clone(), Arc::clone(&self.begun));
        let builder = ProcessorService::builder().workers(workers).paused(true);
        let service = builder.start(move || {
            let (gate, begun) = (gate.clone(), Arc::clone(&begun));
            let function: Number = Box::new(move |n, _| {
                begun.lock().unwrap().push(*n);
                if stuck.contains(n) {
                    gate.pass();
                }
                *n
            });
            processor_fn(function)
        });
        service.unwrap()
    }

    fn begun(&self) -> Vec<u32> {
        self.begun.lock().unwrap().clone()
    }
}

#[test]
fn nothing_waits_behind_a_slow_request_while_another_worker_is_idle() {
    let stuck = Stuck::new();
    let service = stuck.start(2, &[1000]);
    let mut promises: Vec<_> = (0..2000).map(|n| service.queue_request(n)).collect();
    let slow = promises.remove(1000);
    service.resume();
    for promise in &promises {
        assert!(promise.wait().is_ok());
    }
    assert!(!slow.is_settled());
    stuck.gate.open();
    assert_eq!(slow.wait(), Ok(&1000));
}

#[test]
fn what_a_held_up_worker_took_is_not_overtaken_for_long() {
    let stuck = Stuck::new();
    let service = stuck.start(2, &[1000]);
    let promises = service.queue_requests(0..5_000);
    service.resume();
    stuck.gate.wait_for(1);
    while promises.len() > 1 {
        promises.select_next();
    }
    stuck.gate.open();
    service.stop();
    // What the one at the gate had in its hand comes within two batches of the other worker. The system may take the
    // processor from that one, with what it has just begun.
    let begun = stuck.begun().into_iter().enumerate();
    let hand = begun.filter(|(_, n)| (1001..=1032).contains(n));
    let late = hand.filter(|(index, n)| index.saturating_sub(*n as usize) > 100);
    let late: Vec<_> = late.collect();
    assert!(late.len() <= 1, "{late:?}");
}

#[test]
fn one_worker_begins_everything_in_the_order_of_queueing() {
    let stuck = Stuck::new();
    stuck.gate.open();
    let service = stuck.start(1, &[3, 700, 5000]);
    service.queue_requests(0..10_000);
    service.resume();
    service.queue_requests(10_000..20_000);
    service.stop();
    assert_eq!(stuck.begun(), (0..20_000).collect::<Vec<_>>());
}

#[test]
fn what_a_worker_took_and_has_not_begun_can_be_aborted() {
    let stuck = Stuck::new();
    let service = stuck.start(1, &[1000]);
    let promises: Vec<_> = (0..2000).map(|n| service.queue_request(n)).collect();
    service.resume();
    stuck.gate.wait_for(1);
    for promise in promises.iter().skip(1001).rev() {
        assert_eq!(promise.abort(), Abort::Aborted);
    }
    assert_eq!(service.status().queued, 0);
    stuck.gate.open();
    service.stop();
    assert_eq!(stuck.begun(), (0..=1000).collect::<Vec<_>>());
    assert_eq!(service.status().settled.aborted, 999);
}

#[test]
fn what_a_worker_took_and_has_not_begun_counts_as_queued() {
    let stuck = Stuck::new();
    let service = stuck.start(2, &[1000, 1001]);
    let promises = service.queue_requests(0..2000);
    service.resume();
    stuck.gate.wait_for(2);
    let status = service.status();
    assert_eq!(status.running, 2);
    let settled = status.settled.outputs as usize;
    assert_eq!(status.queued, 1998 - settled);
    assert!(status.oldest.is_some());
    stuck.gate.open();
    assert_eq!(promises.wait_for_all().len(), 2000);
}

#[test]
fn a_pause_holds_what_a_worker_took_and_has_not_begun() {
    let stuck = Stuck::new();
    let service = stuck.start(1, &[1000]);
    let promises = service.queue_requests(0..2000);
    service.resume();
    stuck.gate.wait_for(1);
    service.pause();
    stuck.gate.open();
    let worker = service.worker_named("worker-0").unwrap();
    worker.wait_idle();
    assert_eq!(stuck.begun().len(), 1001);
    assert_eq!(service.status().queued, 999);
    service.resume();
    assert_eq!(promises.wait_for_all().len(), 2000);
    assert_eq!(stuck.begun(), (0..2000).collect::<Vec<_>>());
}

#[test]
fn what_a_killed_worker_had_not_begun_is_done_by_its_replacement() {
    let stuck = Stuck::new();
    let service = stuck.start(1, &[1000]);
    let promises: Vec<_> = (0..2000).map(|n| service.queue_request(n)).collect();
    service.resume();
    stuck.gate.wait_for(1);
    service.worker_named("worker-0").unwrap().kill().unwrap();
    for (n, promise) in promises.iter().enumerate() {
        match promise.wait() {
            Ok(output) => assert_eq!(*output as usize, n),
            Err(failure) => assert_eq!((failure, n), (Failure::WorkerLost(Loss::Killed), 1000)),
        }
    }
    assert_eq!(stuck.begun(), (0..2000).collect::<Vec<_>>());
    stuck.gate.open();
}

#[test]
fn what_a_removed_worker_had_not_begun_is_done_by_others() {
    let stuck = Stuck::new();
    let service = stuck.start(1, &[1000]);
    let promises: Vec<_> = (0..2000).map(|n| service.queue_request(n)).collect();
    service.resume();
    stuck.gate.wait_for(1);
    service.worker_named("worker-0").unwrap().remove();
    service.add_worker("other").unwrap();
    for (n, promise) in promises.iter().enumerate() {
        if n != 1000 {
            assert!(promise.wait().is_ok());
        }
    }
    assert!(!promises[1000].is_settled());
    stuck.gate.open();
    assert!(promises[1000].wait().is_ok());
}

#[test]
fn what_the_last_worker_had_not_begun_waits_for_the_next_one() {
    let stuck = Stuck::new();
    let service = stuck.start(1, &[1000]);
    let promises: Vec<_> = (0..2000).map(|n| service.queue_request(n)).collect();
    service.resume();
    stuck.gate.wait_for(1);
    service.resize(0).unwrap();
    stuck.gate.open();
    assert!(promises[1000].wait().is_ok());
    service.resize(1).unwrap();
    assert!(promises.iter().all(|promise| promise.wait().is_ok()));
    assert_eq!(stuck.begun(), (0..2000).collect::<Vec<_>>());
}

#[test]
fn a_shutdown_discards_what_a_worker_took_and_has_not_begun() {
    let stuck = Stuck::new();
    let service = stuck.start(1, &[1000]);
    let promises: Vec<_> = (0..2000).map(|n| service.queue_request(n)).collect();
    service.resume();
    stuck.gate.wait_for(1);
    let gate = stuck.gate.clone();
    promises[1001].on_settled(move |_| gate.open());
    let report = service.shutdown(Shutdown::Discard);
    assert_eq!(report.discarded, 999);
    assert_eq!(promises[1999].wait(), Err(Failure::Stopped));
    assert_eq!(promises[1000].wait(), Ok(&1000));
}

#[test]
fn whoever_waits_for_idleness_waits_for_what_workers_took() {
    let stuck = Stuck::new();
    let service = stuck.start(2, &[]);
    for _ in 0..50 {
        service.pause();
        let promises: Vec<_> = (0..500).map(|n| service.queue_request(n)).collect();
        service.resume();
        service.wait_idle();
        assert!(promises.iter().all(|promise| promise.is_settled()));
    }
}

#[test]
fn what_is_assigned_does_not_wait_behind_what_a_worker_took() {
    let stuck = Stuck::new();
    let service = stuck.start(1, &[1000]);
    let promises = service.queue_requests(0..2000);
    service.resume();
    stuck.gate.wait_for(1);
    let worker = service.worker_named("worker-0").unwrap();
    let assigned = [7000, 7001].map(|n| worker.assign(n));
    stuck.gate.open();
    assert!(assigned.iter().all(|promise| promise.wait().is_ok()));
    service.stop();
    assert_eq!(stuck.begun()[1001..1004], [7000, 1001, 7001]);
    drop(promises);
}
