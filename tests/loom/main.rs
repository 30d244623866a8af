//! Small models of what may happen at the same time, each run in every order that loom finds to matter.
//!
//! ```sh
//! RUSTFLAGS='--cfg parallel_workers_sync="loom"' cargo test --release --features async --target-dir target/loom --test loom
//! ```
//!
//! Each takes a whole service, queues a request or two, and looks at what its callers see. What it saw in all orders
//! together has to be all that may be seen: so no model passes because nothing ever happened in it. A thread that waits
//! for ever is a deadlock to loom, which fails the model.
//!
//! At most three preemptions (two, of many requests), or `LOOM_MAX_PREEMPTIONS`; starting and stopping the service is
//! gone through in one order, unless that is what the model is of.
#![cfg(parallel_workers_sync = "loom")]

#[cfg(feature = "async")]
mod asynchronous;
mod requests;
mod returned;
mod waiting;
mod workers;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::model::Builder;
use loom::sync::Condvar;
use loom::thread::{self, JoinHandle};
use parallel_workers::{
    Abort, Context, Failure, Handle, Processor, ProcessorService, ProcessorServiceBuilder,
};

/// Where requests stand until it is opened.
struct Gate {
    is_open: loom::sync::Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            is_open: loom::sync::Mutex::new(false),
            opened: Condvar::new(),
        })
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opened.wait(is_open).unwrap();
        }
    }
}

/// Says twice the number, and how often it was asked.
struct Twice {
    runs: Arc<AtomicUsize>,
    gate: Arc<Gate>,
    /// Somewhere in a run others may come between.
    step: loom::sync::atomic::AtomicUsize,
    /// For requests that queue others.
    handle: Arc<Mutex<Option<Handle<Twice>>>>,
}

/// A number that stands at the gate.
const GATED: u32 = 9;
/// A number that has a request of its own, for half of it, wait for that.
const NESTED: u32 = 10;

impl Processor for Twice {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.step.fetch_add(1, Ordering::Relaxed);
        if *n == GATED {
            self.gate.pass();
        }
        if *n < NESTED {
            return 2 * n;
        }
        let handle = self.handle.lock().unwrap().clone();
        let half = handle.map(|handle| handle.queue_request(n / 2));
        half.map_or(0, |half| half.wait().map_or(0, |n| 2 * n))
    }
}

struct Started {
    service: ProcessorService<Twice>,
    runs: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

impl Started {
    fn new(builder: ProcessorServiceBuilder<Twice>) -> Self {
        let runs = Arc::new(AtomicUsize::new(0));
        let handle: Arc<Mutex<Option<Handle<Twice>>>> = Arc::default();
        let gate = Gate::new();
        let (counted, queues) = (Arc::clone(&runs), Arc::clone(&handle));
        let passed = Arc::clone(&gate);
        let service = builder.start(move || Twice {
            runs: Arc::clone(&counted),
            gate: Arc::clone(&passed),
            step: loom::sync::atomic::AtomicUsize::new(0),
            handle: Arc::clone(&queues),
        });
        let service = service.unwrap();
        *handle.lock().unwrap() = Some(service.handle());
        Self {
            service,
            runs,
            gate,
        }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    /// Another thread queues a request, and waits for it. Gives its outcome, if it was let in.
    fn try_elsewhere(&self, n: u32) -> JoinHandle<Option<Result<u32, Failure>>> {
        let handle = self.service.handle();
        thread::spawn(move || {
            let promise = handle.try_queue_request(n).ok();
            promise.map(|promise| promise.wait().copied())
        })
    }

    /// What `interesting` gives, in every order; how the service ends is gone through in one.
    fn explore<T>(self, interesting: impl FnOnce(&Self) -> T) -> T {
        loom::explore();
        let seen = interesting(&self);
        loom::stop_exploring();
        self.service.stop();
        let status = self.service.status();
        assert_eq!((status.queued, status.running), (0, 0));
        let settled = status.settled;
        let ran = settled.outputs + settled.worker_lost;
        assert!((self.runs() as u64) <= ran, "{settled:?}");
        seen
    }
}

fn workers(n: usize) -> ProcessorServiceBuilder<Twice> {
    ProcessorService::builder().workers(n)
}

/// Runs `model` in every order, and gives all that it saw.
fn every_order<T: Ord + Debug + Send + 'static>(
    model: impl Fn() -> T + Send + Sync + 'static,
) -> BTreeSet<T> {
    every_order_within(3, model)
}

/// The same, with so many preemptions at most.
fn every_order_within<T: Ord + Debug + Send + 'static>(
    preemptions: usize,
    model: impl Fn() -> T + Send + Sync + 'static,
) -> BTreeSet<T> {
    let seen = Arc::new(Mutex::new((0, BTreeSet::new())));
    let saw = Arc::clone(&seen);
    let mut builder = Builder::new();
    builder.expect_explicit_explore = true;
    builder.max_branches = 100_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(move || {
        let one = model();
        let mut saw = saw.lock().unwrap();
        saw.0 += 1;
        saw.1.insert(one);
    });
    let (orders, seen) = std::mem::take(&mut *seen.lock().unwrap());
    println!("{orders} orders: {seen:?}");
    assert!(orders > 1, "there is more than one order");
    seen
}

fn set<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    all.into_iter().collect()
}

/// What was said of an abort, in an order.
fn code(abort: Abort) -> &'static str {
    match abort {
        Abort::Aborted => "aborted",
        Abort::StillWanted => "still wanted",
        Abort::Running => "running",
        Abort::Settled => "settled",
    }
}
