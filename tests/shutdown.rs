//! Stopping is a protocol.

mod support;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parallel_workers::{
    Context, Failure, Handle, Loss, Processor, ProcessorService, QueueError, Shutdown, processor_fn,
};
use support::{Gate, Gated, gated, runs};

#[test]
fn stop_finishes_what_was_queued_and_refuses_what_comes_later() {
    let (service, gated) = gated(2);
    let promises: Vec<_> = (0..50).map(|n| service.queue_request(n)).collect();
    gated.gate.open();
    service.stop();
    assert!(
        promises
            .iter()
            .all(|promise| promise.try_result() == Some(Ok(promise.request())))
    );
    let refused = service.queue_request(99);
    assert_eq!(refused.try_result(), Some(Err(Failure::Stopped)));
    assert!(refused.is_settled() && refused.worker().is_none());
    assert!(matches!(
        service.try_queue_request(98),
        Err(QueueError::Stopped(98))
    ));
    assert_eq!(service.queue_unshared(97).wait(), Err(Failure::Stopped));
    assert_eq!(service.queue_requests([1, 2]).wait_for_all().len(), 2);
    let status = service.status();
    assert_eq!(
        (
            status.settled.outputs,
            status.settled.total(),
            status.workers.len()
        ),
        (50, 50, 0)
    );
    assert!(!status.accepting);
    assert_eq!(runs(&gated.runs), 50);
}

#[test]
fn discarding_settles_what_is_queued_and_finishes_what_runs() {
    let (service, gated) = gated(2);
    let service = Arc::new(service);
    let promises: Vec<_> = (0..5).map(|n| service.queue_request(n)).collect();
    gated.gate.wait_for(2);
    let inner = Arc::clone(&service);
    let discarding = thread::spawn(move || inner.shutdown(Shutdown::Discard));
    for promise in &promises[2..] {
        assert_eq!(promise.wait(), Err(Failure::Stopped));
    }
    assert!(promises[..2].iter().all(|promise| !promise.is_settled()));
    gated.gate.open();
    let report = discarding.join().unwrap();
    assert_eq!(
        (report.finished, report.discarded, report.still_running),
        (2, 3, 0)
    );
    assert!(
        promises[..2]
            .iter()
            .all(|promise| promise.wait() == Ok(promise.request()))
    );
    assert_eq!(runs(&gated.runs), 2);
}

#[test]
fn discarding_on_a_paused_service_lets_nothing_begin() {
    for _ in 0..100 {
        let gated = Gated::new();
        gated.gate.open();
        let service = gated.start(ProcessorService::builder().workers(2).paused(true));
        let promises = service.queue_requests(0..10);
        let report = service.shutdown(Shutdown::Discard);
        assert_eq!((report.finished, report.discarded), (0, 10));
        promises.wait_for_all_with(|promise| assert_eq!(promise.wait(), Err(Failure::Stopped)));
        assert_eq!(runs(&gated.runs), 0);
    }
}

#[test]
fn abandoning_settles_everything_at_once_and_waits_for_nobody() {
    let (service, gated) = gated(1);
    let promises: Vec<_> = (0..5).map(|n| service.queue_request(n)).collect();
    let unshared = service.queue_unshared(0);
    let alone = {
        let (sender, receiver) = mpsc::channel();
        promises[0].on_settled(move |promise| sender.send(promise.wait().copied()).unwrap());
        receiver
    };
    gated.gate.wait_for(1);
    let report = service.shutdown(Shutdown::Abandon);
    assert_eq!(
        (report.finished, report.discarded, report.still_running),
        (0, 5, 1)
    );
    assert_eq!(
        promises[0].try_result(),
        Some(Err(Failure::WorkerLost(Loss::Abandoned)))
    );
    assert_eq!(
        alone.try_recv(),
        Ok(Err(Failure::WorkerLost(Loss::Abandoned)))
    );
    assert!(
        promises[1..]
            .iter()
            .all(|promise| promise.try_result() == Some(Err(Failure::Stopped)))
    );
    assert_eq!(unshared.try_result(), Some(Err(Failure::Stopped)));
    let status = service.status();
    assert_eq!(
        (
            status.settled.worker_lost,
            status.settled.stopped,
            status.running
        ),
        (1, 5, 0)
    );
    drop(service);
    // The lost thread ends after its request, and what it gives is for nobody.
    gated.gate.open();
    assert_eq!(
        promises[0].wait(),
        Err(Failure::WorkerLost(Loss::Abandoned))
    );
}

#[test]
fn an_abandoned_request_is_told_that_it_is_cancelled() {
    let (gate, (sender, seen)) = (Gate::new(), mpsc::channel());
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let (gate, sender) = (inner.clone(), sender.clone());
        processor_fn(move |_: &u32, context: &Context<'_>| {
            gate.pass();
            sender.send(context.is_cancelled()).unwrap();
        })
    })
    .unwrap();
    service.queue_request(1);
    gate.wait_for(1);
    service.shutdown(Shutdown::Abandon);
    gate.open();
    assert_eq!(seen.recv(), Ok(true));
}

#[test]
fn a_drain_that_runs_out_of_time_discards_the_rest_and_can_be_waited_for_again() {
    let (service, gated) = gated(1);
    let promises: Vec<_> = (0..3).map(|n| service.queue_request(n)).collect();
    gated.gate.wait_for(1);
    let begin = Instant::now();
    let deadline = begin + Duration::from_millis(20);
    let report = service.shutdown(Shutdown::Drain {
        deadline: Some(deadline),
    });
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert_eq!(
        (report.finished, report.discarded, report.still_running),
        (0, 2, 1)
    );
    assert_eq!(promises[2].wait(), Err(Failure::Stopped));
    assert!(!promises[0].is_settled());
    gated.gate.open();
    let report = service.shutdown(Shutdown::Drain { deadline: None });
    assert_eq!((report.discarded, report.still_running), (0, 0));
    assert_eq!(promises[0].wait(), Ok(&0));
}

#[test]
fn a_running_request_learns_the_deadline_of_the_shutdown_that_waits_for_it() {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let gate = inner.clone();
        processor_fn(move |_: &u32, context: &Context<'_>| {
            let before = context.deadline();
            gate.pass();
            (before, context.deadline())
        })
    })
    .unwrap();
    let promise = service.queue_request(1);
    gate.wait_for(1);
    let deadline = Instant::now();
    service.shutdown(Shutdown::Drain {
        deadline: Some(deadline),
    });
    gate.open();
    assert_eq!(promise.wait(), Ok(&(None, Some(deadline))));
}

#[test]
fn shutdowns_at_the_same_time_and_again_all_return_when_it_is_over() {
    let (service, gated) = gated(2);
    let promises = service.queue_requests(0..20);
    thread::scope(|scope| {
        let stopping: Vec<_> = (0..3)
            .map(|n| {
                let service = &service;
                scope.spawn(move || match n {
                    0 => service.stop(),
                    _ => assert_eq!(
                        service
                            .shutdown(Shutdown::Drain { deadline: None })
                            .discarded,
                        0
                    ),
                })
            })
            .collect();
        gated.gate.open();
        for thread in stopping {
            thread.join().unwrap();
            assert_eq!(service.status().workers.len(), 0);
        }
    });
    service.stop();
    assert_eq!(promises.wait_for_all().len(), 20);
    assert_eq!(service.status().settled.outputs, 20);
}

#[test]
fn stopping_a_paused_service_resumes_it_and_dropping_one_settles_everything() {
    let gated = Gated::new();
    gated.gate.open();
    let start = || gated.start(ProcessorService::builder().workers(2).paused(true));
    let service = start();
    let promises = service.queue_requests(0..10);
    service.stop();
    assert!(promises.select().all(|promise| promise.wait().is_ok()));
    service.pause();
    assert!(!service.is_paused());
    let service = start();
    let promises = service.queue_requests(0..10);
    drop(service);
    assert!(promises.select().all(|promise| promise.wait().is_ok()));
}

#[test]
fn dropping_a_service_while_unwinding_discards_and_waits_for_nobody() {
    let (service, gated) = gated(1);
    let promises: Vec<_> = (0..3).map(|n| service.queue_request(n)).collect();
    gated.gate.wait_for(1);
    let unwinding = thread::spawn(move || {
        let _service = service;
        panic!("an error elsewhere");
    });
    assert!(unwinding.join().is_err());
    assert!(
        promises[1..]
            .iter()
            .all(|promise| promise.try_result() == Some(Err(Failure::Stopped)))
    );
    gated.gate.open();
    assert_eq!(promises[0].wait(), Ok(&0));
}

/// Stops its own service, or queues with it.
struct Inside(Arc<std::sync::Mutex<Option<Arc<ProcessorService<Inside>>>>>);

impl Processor for Inside {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        let service = self.0.lock().unwrap().clone().unwrap();
        match n {
            0 => service.stop(),
            1 => assert_eq!(service.shutdown(Shutdown::Discard).discarded, 0),
            2 => assert_eq!(service.shutdown(Shutdown::Abandon).discarded, 0),
            _ => drop(self.0.lock().unwrap().take()),
        }
        *n
    }
}

#[test]
fn stopping_from_a_worker_does_not_wait_for_itself_and_is_finished_all_the_same() {
    for n in 0..4 {
        let own = Arc::new(std::sync::Mutex::new(None));
        let inner = Arc::clone(&own);
        let service =
            Arc::new(ProcessorService::start(2, move || Inside(Arc::clone(&inner))).unwrap());
        *own.lock().unwrap() = Some(Arc::clone(&service));
        service.pause();
        let promise = service.queue_request(n);
        service.resume();
        let handle = service.handle();
        drop(service);
        let expected = if n == 2 {
            Err(Failure::WorkerLost(Loss::Abandoned))
        } else {
            Ok(&n)
        };
        assert_eq!(promise.wait(), expected);
        own.lock().unwrap().take();
        assert_eq!(handle.queue_request(9).wait(), Err(Failure::Stopped));
    }
}

/// Counts down in twos, by queueing the next number with its own service.
struct Countdown(Arc<std::sync::OnceLock<Handle<Countdown>>>, Gate);

impl Processor for Countdown {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        self.1.pass();
        if *n > 1 {
            self.0.get().unwrap().queue_request(n - 2);
        }
        *n
    }
}

#[test]
fn while_it_drains_what_was_begun_may_queue_what_it_needs() {
    let (handle, gate) = (Arc::new(std::sync::OnceLock::new()), Gate::new());
    let (inner, waiting) = (Arc::clone(&handle), gate.clone());
    let service =
        ProcessorService::start(2, move || Countdown(Arc::clone(&inner), waiting.clone())).unwrap();
    assert!(handle.set(service.handle()).is_ok());
    let promise = service.queue_request(100);
    gate.wait_for(1);
    let callback = service.handle();
    promise.on_settled(move |_| drop(callback.queue_request(1_001)));
    let outside = service.handle();
    thread::scope(|scope| {
        let stopping = scope.spawn(|| service.stop());
        // Refused, and so it tells that the drain has begun.
        while let Ok(promise) = outside.try_queue_request(100) {
            assert!(!promise.is_settled());
            thread::yield_now();
        }
        gate.open();
        stopping.join().unwrap();
    });
    assert_eq!(service.status().settled.outputs, 51 + 501);
}

#[test]
fn what_is_accepted_settles_and_what_is_refused_never_ran() {
    for round in 0..50 {
        let gated = Gated::new();
        gated.gate.open();
        let service = gated.start(ProcessorService::builder().workers(2));
        let accepted = thread::scope(|scope| {
            let callers: Vec<_> = (0..3)
                .map(|caller| {
                    let handle = service.handle();
                    scope.spawn(move || {
                        let mut accepted = Vec::new();
                        let mut n = caller * 1_000_000;
                        while let Ok(promise) = handle.try_queue_request(n) {
                            accepted.push(promise);
                            n += 1;
                        }
                        accepted
                    })
                })
                .collect();
            let how = if round % 2 == 0 {
                Shutdown::Drain { deadline: None }
            } else {
                Shutdown::Discard
            };
            assert_eq!(service.shutdown(how).still_running, 0);
            callers
                .into_iter()
                .flat_map(|caller| caller.join().unwrap())
                .collect::<Vec<_>>()
        });
        let ran = accepted
            .iter()
            .filter(|promise| promise.wait().is_ok())
            .count();
        assert_eq!(runs(&gated.runs), ran);
        assert_eq!(service.status().settled.total(), accepted.len() as u64);
        assert!(round % 2 == 1 || ran == accepted.len());
    }
}

#[test]
fn two_hundred_services_come_and_go_and_leave_no_thread_behind() {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = threads();
    for n in 0..200 {
        let (service, gated) = gated(2);
        gated.gate.open();
        if n % 2 == 0 {
            service.queue_requests(0..10).wait_for_all();
        }
        if n % 3 == 0 {
            service.stop();
        }
    }
    // Other tests of this file run beside it, with a few threads each.
    assert!(threads() < before + 100);
}
