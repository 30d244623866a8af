//! The seam: processors that drive their worker themselves.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parallel_workers::{
    Context, Failure, Job, Jobs, Loss, Processor, ProcessorService, Shutdown, WorkerState,
    processor_fn,
};
use support::{Gate, gated};

/// Takes up to 16 jobs at once, and notes how many it got.
struct Batching {
    sizes: mpsc::Sender<usize>,
    linger: Duration,
}

impl Processor for Batching {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        loop {
            let batch = jobs.take(16, self.linger);
            if batch.is_empty() {
                assert!(jobs.must_return());
                return;
            }
            self.sizes.send(batch.len()).unwrap();
            for job in batch {
                let n = *job.request();
                job.settle(n * 10);
            }
        }
    }
}

#[test]
fn a_processor_takes_up_to_sixteen_jobs_at_once() {
    for linger in [Duration::ZERO, Duration::from_millis(1)] {
        let (sizes, seen) = mpsc::channel();
        let service = ProcessorService::builder()
            .workers(1)
            .paused(true)
            .start(move || Batching {
                sizes: sizes.clone(),
                linger,
            })
            .unwrap();
        let promises: Vec<_> = (0..40).map(|n| service.queue_request(n)).collect();
        service.resume();
        for promise in &promises {
            assert_eq!(promise.wait(), Ok(&(promise.request() * 10)));
        }
        service.stop();
        drop(service);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [16, 16, 8]);
    }
}

/// Drops every other job.
struct Careless;

impl Processor for Careless {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        while let Some(job) = jobs.next() {
            match job.request() % 2 {
                0 => drop(job),
                n => job.settle(n),
            }
        }
    }
}

#[test]
fn a_job_that_is_dropped_unsettled_settles_with_worker_lost() {
    let service = ProcessorService::start(2, || Careless).unwrap();
    let promises = service.queue_requests(0..100);
    promises.wait_for_all_with(|promise| {
        let expected = if promise.request() % 2 == 0 {
            Err(Failure::WorkerLost(Loss::Dropped))
        } else {
            Ok(&1)
        };
        assert_eq!(promise.wait(), expected);
    });
    service.stop();
    let status = service.status();
    assert_eq!(
        (
            status.settled.outputs,
            status.settled.worker_lost,
            status.running
        ),
        (50, 50, 0)
    );
}

/// Not `Send`, and makes sure that it stays where it was made.
struct Homely {
    processed: Rc<Cell<u32>>,
    home: ThreadId,
}

impl Processor for Homely {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, _: &u32, _: &Context<'_>) -> u32 {
        assert_eq!(self.home, thread::current().id());
        self.processed.set(self.processed.get() + 1);
        self.processed.get()
    }
}

impl Drop for Homely {
    fn drop(&mut self) {
        assert_eq!(self.home, thread::current().id());
    }
}

#[test]
fn a_processor_that_is_not_send_lives_and_dies_on_its_workers_thread() {
    let makes = Arc::new(Mutex::new(Vec::new()));
    let inner = Arc::clone(&makes);
    let service = ProcessorService::start(3, move || {
        let thread = thread::current();
        inner.lock().unwrap().push(thread.name().map(str::to_owned));
        Homely {
            processed: Rc::default(),
            home: thread.id(),
        }
    })
    .unwrap();
    let mut names = makes.lock().unwrap().clone();
    names.sort();
    assert_eq!(
        names,
        ["worker-0", "worker-1", "worker-2"].map(|name| Some(name.to_owned()))
    );
    let promises = service.queue_requests(0..300);
    promises.wait_for_all_with(|promise| assert!(promise.wait().is_ok()));
    service.stop();
    assert_eq!(service.status().settled.panicked, 0);
}

#[test]
fn every_processor_has_been_dropped_when_stop_returns() {
    let alive = support::Alive::default();
    let inner = alive.share();
    let service = ProcessorService::start(4, move || {
        let living = inner.make();
        processor_fn(move |n: &u32, _: &Context<'_>| {
            let _ = &living;
            *n
        })
    })
    .unwrap();
    assert_eq!(alive.count(), 4);
    service.stop();
    assert_eq!(alive.count(), 0);
}

#[test]
fn a_context_tells_the_worker_the_attempt_and_prints() {
    let service = ProcessorService::start(1, || {
        processor_fn(|_: &u32, context: &Context<'_>| {
            (
                context.worker(),
                context.attempt(),
                context.deadline(),
                format!("{context:?}"),
            )
        })
    })
    .unwrap();
    let promise = service.queue_request(1);
    let (worker, attempt, deadline, printed) = promise.wait().unwrap();
    assert_eq!(
        (Some(*worker), *attempt, *deadline),
        (promise.worker(), 1, None)
    );
    assert_eq!(
        printed,
        "Context { worker: WorkerId(0), attempt: 1, is_cancelled: false, deadline: None }"
    );
}

/// Returns from `run` after every look, whether it found anything or not.
struct Restless;

impl Processor for Restless {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        if let Some(job) = jobs.try_next() {
            job.process(|n, _| *n);
        }
    }
}

#[test]
fn a_run_that_returns_all_the_time_is_called_again_and_uses_no_time_when_idle() {
    let service = ProcessorService::start(2, || Restless).unwrap();
    for n in 0..1_000 {
        assert_eq!(service.queue_request(n).wait(), Ok(&n));
    }
    let status = service.status();
    assert_eq!(status.settled.worker_lost, 0);
    service.wait_idle();
    assert!(
        service
            .status()
            .workers
            .iter()
            .all(|worker| worker.state == WorkerState::Idle)
    );
}

/// Never takes a job.
struct Idler;

impl Processor for Idler {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, _: &mut Jobs<u32, u32>) {}
}

#[test]
fn a_run_that_never_takes_a_job_leaves_nobody_waiting() {
    let service = ProcessorService::start(2, || Idler).unwrap();
    let promises = service.queue_requests(0..10);
    promises.wait_for_all_with(|promise| {
        assert_eq!(promise.wait(), Err(Failure::WorkerLost(Loss::Dropped)))
    });
    service.queue_request(1);
    service.stop();
}

/// Hands its jobs to another thread, and settles them there.
struct Elsewhere(mpsc::Sender<Job<u32, u32>>);

impl Processor for Elsewhere {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        while let Some(job) = jobs.next() {
            self.0.send(job).unwrap();
        }
    }
}

#[test]
fn jobs_may_be_settled_on_another_thread_and_a_stop_waits_for_them() {
    let (sender, receiver) = mpsc::channel::<Job<u32, u32>>();
    let gate = Gate::new();
    let opened = gate.clone();
    let elsewhere = thread::spawn(move || {
        opened.pass();
        for job in receiver {
            job.process(|n, _| n + 1);
        }
    });
    let service = ProcessorService::start(1, move || Elsewhere(sender.clone())).unwrap();
    let promises: Vec<_> = (0..100).map(|n| service.queue_request(n)).collect();
    gate.wait_for(1);
    let stopping = thread::spawn(move || {
        let report = service.shutdown(Shutdown::Drain { deadline: None });
        drop(service);
        report
    });
    gate.open();
    assert_eq!(stopping.join().unwrap().still_running, 0);
    for promise in &promises {
        assert_eq!(promise.wait(), Ok(&(promise.request() + 1)));
    }
    elsewhere.join().unwrap();
}

/// Drives itself by futures.
struct Polled(Arc<AtomicUsize>);

impl Processor for Polled {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        smol::block_on(async {
            loop {
                // A future that is dropped before it is ready takes nothing.
                let _ = futures::FutureExt::now_or_never(jobs.next_async())
                    .flatten()
                    .map(|job| job.settle(7));
                self.0.fetch_add(1, Ordering::SeqCst);
                match jobs.next_async().await {
                    Some(job) => job.process(|_, _| 7),
                    None => return,
                }
            }
        });
    }
}

#[test]
fn jobs_come_as_futures_too_and_none_is_lost_by_dropping_one() {
    let polls = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&polls);
    let service = ProcessorService::start(2, move || Polled(Arc::clone(&inner))).unwrap();
    for n in 0..5_000 {
        let promises = [service.queue_request(n), service.queue_request(n + 100_000)];
        assert!(promises.iter().all(|promise| promise.wait() == Ok(&7)));
    }
    service.stop();
    assert_eq!(service.status().settled.outputs, 10_000);
    assert!(polls.load(Ordering::SeqCst) > 0);
}

/// Waits for each job for no longer than a moment.
struct Impatient;

impl Processor for Impatient {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        while !jobs.must_return() {
            if let Some(job) = jobs.next_timeout(Duration::from_micros(50)) {
                job.process(|n, _| *n);
            }
        }
    }
}

#[test]
fn a_worker_that_stops_waiting_as_a_request_comes_does_not_lose_it() {
    let service = ProcessorService::start(2, || Impatient).unwrap();
    for n in 0..5_000 {
        assert_eq!(service.queue_request(n).wait(), Ok(&n));
    }
}

#[test]
fn no_request_waits_while_a_worker_is_idle() {
    let (service, gated) = gated(4);
    for n in 0..4 {
        service.queue_request(n);
        gated.gate.wait_for(n as usize + 1);
    }
    assert_eq!(
        service.status().running,
        4,
        "a slow request hides none behind it"
    );
    gated.gate.open();
}

#[test]
fn many_requests_never_run_on_more_workers_than_there_are() {
    let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inner_busy, inner_most) = (Arc::clone(&busy), Arc::clone(&most));
    let service = ProcessorService::start(3, move || {
        let (busy, most) = (Arc::clone(&inner_busy), Arc::clone(&inner_most));
        processor_fn(move |_: &u32, _: &Context<'_>| {
            most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            busy.fetch_sub(1, Ordering::SeqCst);
        })
    })
    .unwrap();
    service.queue_requests(0..1_000).wait_for_all();
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert_eq!(service.status().workers.len(), 3);
}
