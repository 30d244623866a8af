//! Small models of what may happen at the same time, each run in every order that loom finds to matter.
//!
//! ```sh
//! RUSTFLAGS='--cfg parallel_workers_sync="loom"' cargo test --release --target-dir target/loom --test loom
//! ```
//!
//! Each takes a whole service, queues a request or two, and looks at what its callers see. What it saw in all orders
//! together has to be all that may be seen: so no model passes because nothing ever happened in it. A thread that waits
//! for ever is a deadlock to loom, which fails the model.
//!
//! At most three preemptions (two, of many requests), or `LOOM_MAX_PREEMPTIONS`; starting and stopping the service is gone through in one order,
//! unless that is what the model is of.
#![cfg(parallel_workers_sync = "loom")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use loom::model::Builder;
use loom::thread;
use parallel_workers::{
    Abort, Context, Failure, Handle, Processor, ProcessorService, ProcessorServiceBuilder, Promise,
    PromiseSet, Shutdown, State, WorkerId,
};

/// Says twice the number, and how often it was asked.
struct Twice {
    runs: Arc<AtomicUsize>,
    /// Somewhere in a run others may come between.
    step: loom::sync::atomic::AtomicUsize,
    /// For requests that queue others.
    handle: Arc<Mutex<Option<Handle<Twice>>>>,
}

/// A number that has a request of its own, for half of it, wait for that.
const NESTED: u32 = 10;

impl Processor for Twice {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.step.fetch_add(1, Ordering::Relaxed);
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
}

impl Started {
    fn new(builder: ProcessorServiceBuilder<Twice>) -> Self {
        let runs = Arc::new(AtomicUsize::new(0));
        let handle: Arc<Mutex<Option<Handle<Twice>>>> = Arc::default();
        let (counted, queues) = (Arc::clone(&runs), Arc::clone(&handle));
        let service = builder.start(move || Twice {
            runs: Arc::clone(&counted),
            step: loom::sync::atomic::AtomicUsize::new(0),
            handle: Arc::clone(&queues),
        });
        let service = service.unwrap();
        *handle.lock().unwrap() = Some(service.handle());
        Self { service, runs }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
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

#[test]
fn an_abort_against_the_start() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let abort = promise.abort();
            let outcome = promise.wait().copied();
            assert_eq!(outcome.is_err(), abort == Abort::Aborted);
            assert_eq!(one.runs(), usize::from(outcome.is_ok()));
            code(abort)
        })
    });
    assert_eq!(seen, set(["aborted", "running", "settled"]));
}

#[test]
fn two_clones_that_abort_at_once() {
    let seen = every_order(|| {
        Started::new(workers(1).paused(true)).explore(|one| {
            let promise = one.service.queue_request(1);
            let clone = promise.clone();
            let other = thread::spawn(move || code(clone.abort()));
            let abort = code(promise.abort());
            // Whoever was told that it is over can read how.
            assert_eq!(promise.try_result(), Some(Err(Failure::Aborted)));
            (abort, other.join().unwrap())
        })
    });
    assert_eq!(seen, set([("aborted", "settled"), ("settled", "aborted")]));
}

#[test]
fn a_join_against_the_last_abort() {
    let seen = every_order(|| {
        Started::new(workers(1).paused(true)).explore(|one| {
            let first = one.service.queue_request(1);
            let handle = one.service.handle();
            let other = thread::spawn(move || handle.queue_request(1));
            let abort = first.abort();
            let second = other.join().unwrap();
            one.service.resume();
            assert_eq!(first.wait(), Err(Failure::Aborted));
            assert_eq!(second.wait(), Ok(&2));
            assert_eq!(one.runs(), 1);
            assert_eq!(first == second, abort == Abort::StillWanted);
            code(abort)
        })
    });
    assert_eq!(seen, set(["aborted", "still wanted"]));
}

#[test]
fn a_join_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let first = one.service.queue_request(1);
            let second = one.service.queue_request(1);
            let shares = first == second;
            assert_eq!((second.wait(), first.wait()), (Ok(&2), Ok(&2)));
            assert_eq!(one.runs(), if shares { 1 } else { 2 });
            shares
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn one_of_two_leaves_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1).paused(true)).explore(|one| {
            let leaves = one.service.queue_request(1);
            let stays = one.service.queue_request(1);
            one.service.resume();
            let abort = leaves.abort();
            assert_eq!(stays.wait(), Ok(&2));
            let outcome = leaves.wait().copied();
            // Running: it was at its end, and is not to be stopped.
            assert_eq!(outcome.is_err(), abort == Abort::StillWanted, "{abort:?}");
            code(abort)
        })
    });
    assert_eq!(seen, set(["still wanted", "running", "settled"]));
}

#[test]
fn a_wait_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let other = promise.clone();
            let other = thread::spawn(move || other.wait().copied());
            let was_settled = promise.is_settled();
            assert_eq!(promise.wait(), Ok(&2));
            assert_eq!(other.join().unwrap(), Ok(2));
            was_settled
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[derive(Default)]
struct CountedWaker(AtomicUsize);

impl Wake for CountedWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_future_that_is_dropped_against_the_settlement() {
    let seen = every_order(|| {
        let counted = Arc::new(CountedWaker::default());
        let seen = Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let waker = Waker::from(Arc::clone(&counted));
            let mut future = Box::pin((&promise).into_future());
            let polled = future
                .as_mut()
                .poll(&mut std::task::Context::from_waker(&waker));
            drop((future, waker));
            assert_eq!(promise.wait(), Ok(&2));
            polled.is_ready()
        });
        assert_eq!(Arc::strong_count(&counted), 1, "no waker stays behind");
        (seen, counted.0.load(Ordering::Relaxed))
    });
    assert_eq!(seen, set([(false, 0), (false, 1), (true, 0)]));
}

/// A waker that wakes its thread.
struct Unpark(thread::Thread, loom::sync::atomic::AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        // A new waker each time: only the last one may be counted on.
        let unpark = Arc::new(Unpark(
            thread::current(),
            loom::sync::atomic::AtomicBool::new(false),
        ));
        let waker = Waker::from(Arc::clone(&unpark));
        let polled = future
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker));
        if let Poll::Ready(output) = polled {
            return output;
        }
        while !unpark.1.load(Ordering::Acquire) {
            thread::park();
        }
    }
}

#[test]
fn an_await_with_changing_wakers_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let was_settled = promise.is_settled();
            let waker = Waker::noop();
            let mut future = pin!((&promise).into_future());
            let _ = future
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker));
            assert_eq!(block_on(future), Ok(&2));
            was_settled
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn a_callback_against_the_settlement() {
    let seen = every_order(|| {
        let called = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&called);
        let was_settled = Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let was_settled = promise.is_settled();
            promise.on_settled(move |promise| {
                assert_eq!(promise.try_result(), Some(Ok(&2)));
                counted.fetch_add(1, Ordering::Relaxed);
            });
            was_settled
        });
        assert_eq!(called.load(Ordering::Relaxed), 1);
        was_settled
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn an_insertion_into_a_set_against_the_settlement() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            let was_settled = promise.is_settled();
            let set = PromiseSet::new();
            set.insert(promise);
            let next = set.select_next().map(|promise| promise.wait().copied());
            assert_eq!(next, Some(Ok(2)));
            assert!(set.select_next().is_none());
            was_settled
        })
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn two_that_select_against_two_settlements() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let set = Arc::new(one.service.queue_requests([1, 2]));
            let other = Arc::clone(&set);
            let select = |set: &PromiseSet<u32, u32>| set.select_next().map(|one| *one.request());
            let other = thread::spawn(move || select(&other));
            let mine = select(&set);
            let others = other.join().unwrap();
            assert!(set.is_empty() && set.try_select().is_none());
            (mine, others)
        })
    });
    assert_eq!(seen, self::set([(Some(1), Some(2)), (Some(2), Some(1))]));
}

#[test]
fn an_insertion_against_one_who_selects() {
    every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let set = Arc::new(PromiseSet::new());
            let inserted = one.service.queue_request(1);
            let was_settled = inserted.is_settled();
            set.insert(one.service.queue_request(2));
            let other = Arc::clone(&set);
            let other = thread::spawn(move || other.insert(inserted));
            let first = set.select_next().map(|one| *one.request());
            other.join().unwrap();
            let second = set.select_next().map(|one| *one.request());
            assert_eq!(
                self::set([first, second]),
                self::set([Some(1), Some(2)]),
                "each once"
            );
            (first, was_settled)
        })
    });
}

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
fn a_request_against_the_stop() {
    let seen = every_order(|| {
        let one = Started::new(workers(1));
        let handle = one.service.handle();
        loom::explore();
        let other = thread::spawn(move || {
            let promise = handle.try_queue_request(1).ok();
            promise.map(|promise| promise.wait().copied())
        });
        one.service.stop();
        loom::stop_exploring();
        let outcome = other.join().unwrap();
        // Accepted means that it settles, with its output; refused, that it never ran.
        assert_eq!(one.runs(), usize::from(outcome.is_some()));
        assert!(outcome.is_none() || outcome == Some(Ok(2)), "{outcome:?}");
        outcome.is_some()
    });
    assert_eq!(seen, set([false, true]));
}

#[test]
fn a_request_against_a_stop_that_discards() {
    let seen = every_order(|| {
        let one = Started::new(workers(1));
        let handle = one.service.handle();
        loom::explore();
        let other = thread::spawn(move || {
            let promise = handle.try_queue_request(1).ok();
            promise.map(|promise| promise.wait().copied())
        });
        let report = one.service.shutdown(Shutdown::Discard);
        loom::stop_exploring();
        let outcome = other.join().unwrap();
        let ran = usize::from(outcome == Some(Ok(2)));
        assert_eq!((one.runs(), report.still_running), (ran, 0));
        match outcome {
            None => "refused",
            Some(Ok(_)) => "processed",
            Some(Err(Failure::Stopped)) => "stopped",
            Some(Err(other)) => panic!("{other}"),
        }
    });
    assert_eq!(seen, set(["refused", "processed", "stopped"]));
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
                Err(Failure::WorkerLost) => (false, true),
                other => panic!("{other:?}"),
            }
        })
    });
    // Processed by the first; by its heir; lost with the first.
    assert_eq!(seen, set([(true, true), (true, false), (false, true)]));
}

#[test]
fn a_pause_against_a_request() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            one.service.pause();
            let later = one.service.queue_request(2);
            let has_begun = promise.state() != State::Queued;
            assert_eq!(later.state(), State::Queued, "nothing begins after a pause");
            one.service.resume();
            assert_eq!((promise.wait(), later.wait()), (Ok(&2), Ok(&4)));
            has_begun
        })
    });
    assert_eq!(seen, set([false, true]));
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
fn a_place_in_a_full_queue_against_an_abort() {
    every_order(|| {
        let builder = workers(1).paused(true).capacity(1);
        Started::new(builder).explore(|one| {
            let first = one.service.queue_request(1);
            let handle = one.service.handle();
            // Waits for a place.
            let other = thread::spawn(move || handle.queue_request(2));
            let abort = first.abort();
            assert_eq!(abort, Abort::Aborted);
            let second = other.join().unwrap();
            one.service.resume();
            assert_eq!(second.wait(), Ok(&4));
        })
    });
}

#[test]
fn a_wait_for_idleness_against_the_end_of_a_request() {
    every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let promise = one.service.queue_request(1);
            one.service.wait_idle();
            assert_eq!(promise.try_result(), Some(Ok(&2)));
        })
    });
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
