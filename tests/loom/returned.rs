//! Requests that are taken ahead of need and given back, as by a backend that sends them elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use parallel_workers::{
    Abort, Context, Failure, Jobs, Processor, ProcessorService, ProcessorServiceBuilder,
};

use crate::{code, every_order, set};

/// Doubles numbers; the first one it takes it gives back, once.
struct Returns {
    has_returned: bool,
    runs: Arc<AtomicUsize>,
}

impl Processor for Returns {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed);
        2 * n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        while let Some(job) = jobs.next() {
            if self.has_returned {
                job.process(|n, context| self.process(n, context));
            } else {
                self.has_returned = true;
                job.give_back();
            }
        }
    }
}

/// What `interesting` gives, and how often a request was processed, in every order.
fn explore<T>(
    builder: ProcessorServiceBuilder<Returns>,
    interesting: impl FnOnce(&ProcessorService<Returns>) -> T,
) -> (T, usize) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let service = builder.start(move || Returns {
        has_returned: false,
        runs: Arc::clone(&counted),
    });
    let service = service.unwrap();
    loom::explore();
    let seen = interesting(&service);
    loom::stop_exploring();
    service.stop();
    let status = service.status();
    assert_eq!((status.queued, status.running), (0, 0));
    assert_eq!(status.settled.total(), 1);
    (seen, runs.load(Ordering::Relaxed))
}

fn workers(n: usize) -> ProcessorServiceBuilder<Returns> {
    ProcessorService::builder().workers(n)
}

#[test]
fn a_request_that_is_given_back_against_an_abort() {
    let seen = every_order(|| {
        explore(workers(1), |service| {
            let promise = service.queue_request(1);
            let abort = promise.abort();
            let outcome = promise.wait().copied();
            match (abort, outcome) {
                (_, Ok(2)) => (code(abort), "2"),
                (Abort::Aborted | Abort::Running, Err(Failure::Aborted)) => {
                    (code(abort), "aborted")
                }
                other => panic!("{other:?}"),
            }
        })
    });
    let expected = [
        (("aborted", "aborted"), 0),
        // While it was on its way elsewhere; it came back, and nobody wanted it.
        (("running", "aborted"), 0),
        (("running", "2"), 1),
        (("settled", "2"), 1),
    ];
    assert_eq!(seen, set(expected));
}

#[test]
fn a_request_that_is_given_back_against_a_kill() {
    let seen = every_order(|| {
        explore(workers(1), |service| {
            let promise = service.queue_request(1);
            let worker = service.worker_named("worker-0").unwrap();
            worker.kill().unwrap();
            match promise.wait() {
                Ok(2) => "2",
                Err(Failure::WorkerLost(_)) => "lost",
                other => panic!("{other:?}"),
            }
        })
    });
    // The first one was killed in the middle of it, before it gave it back or after, or it had processed it.
    assert_eq!(seen, set([("2", 1), ("lost", 0), ("lost", 1)]));
}

#[test]
fn a_request_that_is_given_back_against_another_worker() {
    let seen = every_order(|| {
        explore(workers(2), |service| {
            let handle = service.handle();
            let caller = thread::spawn(move || handle.queue_request(1).wait().copied());
            caller.join().unwrap() == Ok(2)
        })
    });
    assert_eq!(seen, set([(true, 1)]));
}
