//! Who waits, in whatever way.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use loom::thread;
use parallel_workers::PromiseSet;

use crate::{GATED, Started, every_order, set, workers};

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
fn an_insertion_of_what_has_settled_against_one_who_waits_for_another() {
    let seen = every_order(|| {
        Started::new(workers(1)).explore(|one| {
            let settled = one.service.queue_request(1);
            assert_eq!(settled.wait(), Ok(&2));
            let set = Arc::new(PromiseSet::new());
            let stands = one.service.queue_request(GATED);
            set.insert(stands.clone());
            let other = Arc::clone(&set);
            let other = thread::spawn(move || other.insert(settled));
            // Nobody but the other thread can end this.
            let first = set.select_next().map(|one| *one.request());
            other.join().unwrap();
            one.gate.open();
            assert_eq!(stands.wait(), Ok(&(2 * GATED)));
            first
        })
    });
    assert_eq!(seen, self::set([Some(1)]));
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
