//! Making a service, pausing it, waiting for it, looking at it.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;

use parallel_workers::{
    Context, Failure, Processor, ProcessorService, StartError, WorkerState, processor_fn,
};
use support::{Gate, Gated, Numbers, echo, gated, runs};

fn numbers() -> Numbers {
    let function: support::Number = Box::new(|n, _| *n);
    processor_fn(function)
}

#[test]
fn bad_input_gets_a_clear_error() {
    let error = ProcessorService::start(0, numbers).unwrap_err();
    assert!(matches!(error, StartError::NoWorkers));
    assert_eq!(
        error.to_string(),
        "a service needs at least one worker, and was given none: call `workers(1)` or more"
    );
    let error = ProcessorService::builder()
        .capacity(0)
        .start(numbers)
        .unwrap_err();
    assert!(matches!(error, StartError::NoCapacity));
    let error = ProcessorService::builder()
        .window(0)
        .start(numbers)
        .unwrap_err();
    assert!(matches!(error, StartError::NoWindow));
}

#[test]
fn a_factory_that_fails_or_panics_at_the_start_names_the_worker_and_ends_the_others() {
    for panics in [false, true] {
        let (makes, dropped) = (Arc::new(AtomicUsize::new(0)), support::Alive::default());
        let (inner, alive) = (Arc::clone(&makes), dropped.share());
        let error = ProcessorService::builder()
            .workers(4)
            .name("maker")
            .try_start(move || {
                if thread::current().name() == Some("maker-2") {
                    assert!(!panics, "no processor today");
                    return Err("no processor today");
                }
                inner.fetch_add(1, Ordering::SeqCst);
                let living = alive.make();
                Ok(processor_fn(move |n: &u32, _: &Context<'_>| {
                    let _ = &living;
                    *n
                }))
            })
            .unwrap_err();
        match &error {
            StartError::Factory { worker, source } if !panics => {
                assert_eq!(
                    (worker.as_str(), source.to_string().as_str()),
                    ("maker-2", "no processor today")
                );
            }
            StartError::FactoryPanicked { worker, source } if panics => {
                assert_eq!(
                    (worker.as_str(), source.message()),
                    ("maker-2", "no processor today")
                );
                assert!(source.location().is_some());
            }
            other => panic!("{other}"),
        }
        assert!(error.to_string().contains("\"maker-2\""));
        assert_eq!((makes.load(Ordering::SeqCst), dropped.count()), (3, 0));
    }
}

#[test]
fn the_factory_runs_on_every_worker_before_any_request() {
    let (sender, made) = mpsc::channel();
    let service = ProcessorService::builder()
        .workers(3)
        .name("greeter")
        .start(move || {
            sender
                .send(thread::current().name().map(str::to_owned))
                .unwrap();
            numbers()
        })
        .unwrap();
    let mut names: Vec<_> = made.try_iter().flatten().collect();
    names.sort();
    assert_eq!(names, ["greeter-0", "greeter-1", "greeter-2"]);
    let status = service.status();
    assert!(
        status
            .workers
            .iter()
            .all(|worker| worker.state == WorkerState::Idle)
    );
    assert_eq!(status.settled.total(), 0);
}

#[test]
fn by_default_there_is_a_worker_for_every_core() {
    let service = ProcessorService::builder().start(numbers).unwrap();
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(service.status().workers.len(), cores);
    let builder = ProcessorService::<Numbers>::builder().workers(3).name("x");
    assert!(
        format!("{builder:?}")
            .starts_with("ProcessorServiceBuilder { workers: Some(3), name: \"x\"")
    );
}

#[test]
fn a_paused_service_takes_requests_and_begins_none_until_it_is_resumed() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(ProcessorService::builder().workers(2).paused(true));
    assert!(service.is_paused());
    let promises = service.queue_requests(0..10);
    let status = service.status();
    assert_eq!(
        (
            status.queued,
            status.running,
            status.paused,
            runs(&gated.runs)
        ),
        (10, 0, true, 0)
    );
    service.resume();
    assert_eq!(promises.wait_for_all().len(), 10);
    service.pause();
    let promise = service.queue_request(1);
    assert!(promise.try_result().is_none());
    service.resume();
    assert_eq!(promise.wait(), Ok(&1));
}

#[test]
fn pausing_lets_what_runs_go_on() {
    let (service, gated) = gated(2);
    let running = service.queue_request(1);
    gated.gate.wait_for(1);
    service.pause();
    let queued = service.queue_request(2);
    gated.gate.open();
    assert_eq!(running.wait(), Ok(&1));
    assert!(!queued.is_settled());
    service.resume();
    assert_eq!(queued.wait(), Ok(&2));
}

#[test]
fn waiting_for_idleness_waits_for_the_queue_the_workers_and_the_callbacks() {
    let (service, gated) = gated(2);
    service.wait_idle();
    let done = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        let done = Arc::clone(&done);
        service.queue_request(n).on_settled(move |_| {
            thread::yield_now();
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| service.wait_idle()))
            .collect();
        gated.gate.open();
        for thread in waiting {
            thread.join().unwrap();
            assert_eq!(done.load(Ordering::SeqCst), 100);
        }
    });
}

#[test]
fn aborting_what_is_queued_behind_the_last_one_that_runs_leaves_nobody_waiting() {
    let (service, gated) = gated(1);
    service.queue_request(1);
    let behind = service.queue_requests(2..10);
    gated.gate.wait_for(1);
    thread::scope(|scope| {
        let waiting = [(); 2].map(|()| scope.spawn(|| service.wait_idle()));
        behind.abort_all();
        gated.gate.open();
        waiting
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(service.status().settled.aborted, 8);
}

#[test]
fn aborting_the_last_request_makes_a_paused_service_idle() {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(1).paused(true));
    let promises = service.queue_requests(0..10);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| service.wait_idle());
        promises.abort_all();
        waiting.join().unwrap();
    });
    gated.gate.open();
}

/// Waits for its own service to be idle.
struct Waiting(
    Arc<std::sync::OnceLock<Weak<ProcessorService<Waiting>>>>,
    Gate,
);

impl Processor for Waiting {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        self.1.pass();
        if *n == 0 {
            self.0.get().unwrap().upgrade().unwrap().wait_idle();
        }
        *n
    }
}

#[test]
fn waiting_for_idleness_inside_a_worker_counts_its_own_request_out() {
    let (own, gate) = (Arc::new(std::sync::OnceLock::new()), Gate::new());
    let (inner, waiting) = (Arc::clone(&own), gate.clone());
    let service = Arc::new(
        ProcessorService::start(2, move || Waiting(Arc::clone(&inner), waiting.clone())).unwrap(),
    );
    assert!(own.set(Arc::downgrade(&service)).is_ok());
    let promises: Vec<_> = (0..10).map(|n| service.queue_request(n)).collect();
    gate.open();
    assert_eq!(promises[0].wait(), Ok(&0));
    assert!(promises.iter().all(|promise| promise.is_settled()));
    service.stop();
}

#[test]
fn a_handle_queues_and_does_not_keep_the_service_alive() {
    let (service, _) = echo(1);
    let handle = service.handle();
    let clone = handle.clone();
    assert_eq!(handle.queue_request(1).wait(), Ok(&1));
    assert_eq!(clone.queue_requests([1, 2]).wait_for_all().len(), 2);
    assert_eq!(format!("{handle:?}"), "Handle { accepting: true }");
    drop(service);
    assert_eq!(handle.queue_request(1).wait(), Err(Failure::Stopped));
    assert!(clone.try_queue_request(1).is_err());
    assert_eq!(format!("{clone:?}"), "Handle { accepting: false }");
}

#[test]
fn the_status_of_a_service_adds_up_and_prints_as_a_table() {
    let service = ProcessorService::builder()
        .workers(2)
        .name("clerk")
        .start(|| {
            processor_fn(|n: &u32, _: &Context<'_>| {
                assert!(*n != 3);
                *n
            })
        })
        .unwrap();
    service.pause();
    let promises = service.queue_requests([1, 2, 3, 4, 4, 5]);
    let aborted = service.queue_request(6);
    aborted.abort();
    service.resume();
    promises.wait_for_all();
    service.wait_idle();
    let status = service.status();
    let settled = status.settled;
    assert_eq!(
        (
            settled.outputs,
            settled.panicked,
            settled.aborted,
            status.coalesced
        ),
        (4, 1, 1, 1)
    );
    assert_eq!(settled.total() + status.coalesced, 7);
    assert_eq!(
        status
            .workers
            .iter()
            .map(|worker| worker.processed)
            .sum::<u64>(),
        4
    );
    for worker in &status.workers {
        assert_eq!(worker.busy + worker.idle, worker.uptime);
        assert!((0.0..=1.0).contains(&worker.utilization()));
    }
    let table = status.to_string();
    let lines: Vec<_> = table.lines().collect();
    let head = "service \"clerk\", working: 0 queued, 0 running, 1 coalesced, ";
    assert!(lines[0].starts_with(head), "{table}");
    assert_eq!(
        lines[1],
        "settled: 4 outputs (0 failed), 1 panicked, 1 aborted, 0 lost, 0 stopped"
    );
    assert!(
        lines[3].contains("clerk-0") && lines[4].contains("clerk-1"),
        "{table}"
    );
    let widths: Vec<_> = lines[2..].iter().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    service.stop();
    assert!(service.status().to_string().contains(", stopped: "));
    assert!(format!("{service:?}").starts_with("ProcessorService { workers: 0"));
}

#[test]
fn a_worker_with_a_request_is_busy_and_its_time_counts() {
    let (service, gated) = gated(1);
    service.queue_request(1);
    gated.gate.wait_for(1);
    let first = service.status().workers[0].clone();
    assert_eq!(first.state, WorkerState::Busy);
    // It is busy all the time, so its idle time stands still.
    let second = service.status().workers[0].clone();
    assert_eq!(first.idle, second.idle);
    assert!(second.busy >= first.busy && second.uptime > first.uptime);
    gated.gate.open();
    service.wait_idle();
    let worker = service.status().workers[0].clone();
    assert_eq!(worker.state, WorkerState::Idle);
    assert!(worker.mean_process_time() <= worker.busy);
}
