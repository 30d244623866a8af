//! Requests that await: what is woken, dropped and cancelled while others look.

use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::thread;
use parallel_workers::{
    Async, AsyncProcessor, Context, Failure, ProcessorService, Promise, QueueRequest,
};

use crate::{code, every_order, every_order_within, set};

/// What futures wait for.
#[derive(Default)]
struct Bell(loom::sync::Mutex<(bool, Vec<Waker>)>);

impl Bell {
    fn ring(&self) {
        let mut bell = self.0.lock().unwrap();
        bell.0 = true;
        let woken = std::mem::take(&mut bell.1);
        drop(bell);
        woken.into_iter().for_each(Waker::wake);
    }

    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut bell = self.0.lock().unwrap();
            if bell.0 {
                return Poll::Ready(());
            }
            bell.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Doubles numbers, once the bell has rung; those above ten, once nobody wants them.
struct Twice(Arc<Bell>);

impl AsyncProcessor for Twice {
    type Request = u32;
    type Output = u32;

    async fn process(&self, n: &u32, context: &Context<'_>) -> u32 {
        if *n > 10 {
            context.cancelled().await;
        } else {
            self.0.wait().await;
        }
        2 * n
    }
}

/// What `interesting` gives of a service with one worker, in every order.
fn explore<T>(
    with: fn(Async<Twice>) -> Async<Twice>,
    interesting: impl FnOnce(&ProcessorService<Async<Twice>>, &Arc<Bell>) -> T,
) -> T {
    let bell = Arc::new(Bell::default());
    let inner = Arc::clone(&bell);
    let builder = ProcessorService::builder().workers(1).max_spare_workers(0);
    let service = builder.start(move || with(Async::new(Twice(Arc::clone(&inner)))));
    let service = service.unwrap();
    loom::explore();
    let seen = interesting(&service, &bell);
    loom::stop_exploring();
    bell.ring();
    service.stop();
    let status = service.status();
    assert_eq!((status.queued, status.running), (0, 0));
    seen
}

fn outcome(promise: &Promise<u32, u32>) -> &'static str {
    match promise.wait() {
        Ok(2) => "2",
        Ok(22) => "22",
        Err(Failure::Aborted) => "aborted",
        Err(Failure::WorkerLost(_)) => "lost",
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_futures_that_are_woken_against_their_worker() {
    every_order_within(2, || {
        explore(
            |worker| worker,
            |service, bell| {
                let bell = Arc::clone(bell);
                let ringing = thread::spawn(move || bell.ring());
                let promises = [1, 2].map(|n| service.queue_request(n));
                assert_eq!(
                    promises.map(|promise| promise.wait().copied()),
                    [Ok(2), Ok(4)]
                );
                ringing.join().unwrap();
            },
        )
    });
}

#[test]
fn a_future_that_waits_to_be_cancelled_against_the_last_abort() {
    let seen = every_order(|| {
        explore(
            |worker| worker,
            |service, _| {
                let promise = service.queue_request(11);
                let abort = promise.abort();
                (code(abort), outcome(&promise))
            },
        )
    });
    assert_eq!(seen, set([("running", "22"), ("aborted", "aborted")]));
}

#[test]
fn a_future_that_is_dropped_against_the_last_abort() {
    let seen = every_order(|| {
        explore(
            |worker| worker.cancel_on_abort(true),
            |service, bell| {
                let promise = service.queue_request(1);
                let bell = Arc::clone(bell);
                let ringing = thread::spawn(move || bell.ring());
                let abort = promise.abort();
                let outcome = outcome(&promise);
                ringing.join().unwrap();
                (code(abort), outcome)
            },
        )
    });
    let expected = [
        ("aborted", "aborted"),
        ("running", "aborted"),
        ("running", "2"),
        ("settled", "2"),
    ];
    assert_eq!(seen, set(expected));
}

#[test]
fn a_kill_against_a_future_that_is_never_ready() {
    let seen = every_order(|| {
        explore(
            |worker| worker,
            |service, bell| {
                let promise = service.queue_request(1);
                let killed = service.worker_named("worker-0").unwrap();
                killed.kill().unwrap();
                // What the killed worker had begun it has dropped, and its thread has ended: else this is a deadlock.
                bell.ring();
                outcome(&promise)
            },
        )
    });
    assert_eq!(seen, set(["2", "lost"]));
}

#[test]
fn a_place_for_one_who_waits_against_one_who_gives_up() {
    every_order_within(2, || {
        let bell = Arc::new(Bell::default());
        bell.ring();
        let builder = ProcessorService::builder()
            .workers(1)
            .capacity(1)
            .paused(true);
        let service = builder
            .start(move || Async::new(Twice(Arc::clone(&bell))))
            .unwrap();
        let first = service.queue_request(1);
        let mut waiting: Vec<QueueRequest<u32, u32>> =
            [2, 3].map(|n| service.queue_request_async(n)).into();
        for one in &mut waiting {
            let mut cx = std::task::Context::from_waker(Waker::noop());
            assert!(std::pin::Pin::new(one).poll(&mut cx).is_pending());
        }
        let (last, given_up) = (waiting.pop().unwrap(), waiting.pop().unwrap());
        loom::explore();
        let giving_up = thread::spawn(move || drop(given_up));
        service.resume();
        assert_eq!(first.wait(), Ok(&2));
        let last = loom::future::block_on(last);
        assert_eq!(last.wait(), Ok(&6));
        loom::stop_exploring();
        giving_up.join().unwrap();
        service.stop();
    });
}
