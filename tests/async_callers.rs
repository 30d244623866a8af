//! Callers that await: under every executor, and dropped at every await.

mod support;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::{Stream, StreamExt};
use parallel_workers::{Failure, ProcessorService, Promise, PromiseSet, State};
use support::{Gated, Numbers, echo, gated, limit_time};

/// Runs a test's body under each executor.
fn everywhere<F: Future<Output = ()>>(body: impl Fn() -> F) {
    limit_time();
    futures::executor::block_on(body());
    smol::block_on(body());
    let mut one_thread = tokio::runtime::Builder::new_current_thread();
    one_thread.build().unwrap().block_on(body());
    let mut many_threads = tokio::runtime::Builder::new_multi_thread();
    many_threads.build().unwrap().block_on(body());
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a future once, with a waker that tells whether it is still known to anybody.
fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Arc<Counting>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(waker));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// A service with one worker and room for one request, both taken.
fn full() -> (ProcessorService<Numbers>, Gated) {
    let gated = Gated::new();
    let builder = ProcessorService::builder().workers(1).capacity(1);
    let service = gated.start(builder);
    service.queue_request(100);
    gated.gate.wait_for(1);
    service.queue_request(101);
    (service, gated)
}

#[test]
fn a_full_queue_is_waited_for_without_blocking() {
    everywhere(async || {
        let (service, gated) = full();
        let waker = Arc::new(Counting::default());
        let mut first = service.queue_request_async(1);
        let mut second = service.queue_request_async(2);
        assert!(poll_once(&mut first, &waker).is_pending());
        assert!(poll_once(&mut second, &waker).is_pending());
        assert_eq!(service.status().queued, 1, "nothing is queued meanwhile");
        gated.gate.open();
        let (first, second) = futures::join!(first, second);
        assert_eq!((first.await, second.await), (Ok(1), Ok(2)));
    });
}

#[test]
fn a_request_that_is_given_up_while_it_waits_leaves_nothing_behind() {
    let (service, gated) = full();
    let waker = Arc::new(Counting::default());
    let mut given_up = service.queue_request_async(1);
    let mut other = service.queue_request_async(2);
    assert!(poll_once(&mut given_up, &waker).is_pending());
    assert!(poll_once(&mut given_up, &waker).is_pending());
    let other_waker = Arc::new(Counting::default());
    assert!(poll_once(&mut other, &other_waker).is_pending());
    drop(given_up);
    assert_eq!(Arc::strong_count(&waker), 1, "no waker stays behind");
    gated.gate.open();
    let other = futures::executor::block_on(other);
    assert_eq!(other.wait(), Ok(&2));
    service.stop();
    assert_eq!(service.status().settled.outputs, 3, "it never ran");
    assert_eq!(waker.0.load(Ordering::SeqCst), 0);
}

#[test]
fn a_place_that_was_granted_to_one_who_has_gone_is_the_next_ones() {
    let (service, gated) = full();
    let waker = Arc::new(Counting::default());
    let mut granted = service.queue_request_async(1);
    let mut next = service.queue_request_async(2);
    assert!(poll_once(&mut granted, &waker).is_pending());
    assert!(poll_once(&mut next, &waker).is_pending());
    gated.gate.let_one_pass();
    gated.gate.wait_for(2);
    // The place is the first one's, who goes without having fetched it.
    assert_eq!(waker.0.load(Ordering::SeqCst), 1);
    drop(granted);
    assert_eq!(waker.0.load(Ordering::SeqCst), 2);
    assert!(poll_once(&mut next, &waker).is_ready());
    gated.gate.open();
}

#[test]
fn joining_needs_no_room_and_a_stop_ends_the_wait() {
    everywhere(async || {
        let (service, gated) = full();
        let joined = service.queue_request_async(101).await;
        assert_eq!(joined.state(), State::Queued);
        let waker = Arc::new(Counting::default());
        let mut refused = service.queue_request_async(1);
        assert!(poll_once(&mut refused, &waker).is_pending());
        let mut stop = service.stop_async();
        assert!(poll_once(&mut stop, &waker).is_pending());
        assert_eq!(refused.await.await, Err(Failure::Stopped));
        gated.gate.open();
        stop.await;
        assert_eq!(joined.await, Ok(101));
        assert_eq!(
            service.queue_request_async(1).await.await,
            Err(Failure::Stopped)
        );
    });
}

#[test]
fn a_stop_finishes_what_is_queued_and_can_be_waited_for_again() {
    everywhere(async || {
        let (service, gated) = gated(2);
        let promises: Vec<_> = (0..50).map(|n| service.queue_request(n)).collect();
        gated.gate.wait_for(2);
        let waker = Arc::new(Counting::default());
        let mut given_up = service.stop_async();
        assert!(poll_once(&mut given_up, &waker).is_pending());
        drop(given_up);
        assert_eq!(Arc::strong_count(&waker), 1);
        assert_eq!(service.queue_request(50).wait(), Err(Failure::Stopped));
        gated.gate.open();
        service.stop_async().await;
        assert!(
            promises
                .iter()
                .all(|promise| matches!(promise.try_result(), Some(Ok(_))))
        );
        assert!(service.workers().is_empty());
        service.stop_async().await;
    });
}

#[test]
fn a_service_without_workers_stops() {
    everywhere(async || {
        let (service, _) = echo(1);
        service.resize(0).unwrap();
        while !service.workers().is_empty() {
            std::thread::yield_now();
        }
        let promise = service.queue_request(1);
        service.stop_async().await;
        assert_eq!(promise.await, Err(Failure::Stopped));
    });
}

#[test]
fn idleness_is_waited_for_without_blocking() {
    everywhere(async || {
        let (service, gated) = gated(2);
        let waker = Arc::new(Counting::default());
        let promises: Vec<_> = (0..10).map(|n| service.queue_request(n)).collect();
        let mut idle = service.wait_idle_async();
        assert!(poll_once(&mut idle, &waker).is_pending());
        let mut given_up = service.wait_idle_async();
        assert!(poll_once(&mut given_up, &waker).is_pending());
        drop(given_up);
        assert_eq!(
            Arc::strong_count(&waker),
            2,
            "only the other one's waker is left"
        );
        gated.gate.open();
        idle.await;
        assert!(promises.iter().all(Promise::is_settled));
        service.wait_idle_async().await;
    });
}

/// A service whose maps read four ahead.
fn windowed(gated: &Gated) -> ProcessorService<Numbers> {
    gated.start(ProcessorService::builder().workers(2).window(4))
}

#[test]
fn a_map_is_a_stream_with_a_strict_window_in_order() {
    everywhere(async || {
        let gated = Gated::new();
        gated.gate.open();
        let service = windowed(&gated);
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        let numbers = (0..).inspect(move |_| _ = counting.fetch_add(1, Ordering::SeqCst));
        let mut yielded = 0;
        let mut map = pin!(service.map_async(numbers).take(100));
        while let Some(promise) = map.next().await {
            assert_eq!(promise.wait(), Ok(&yielded));
            yielded += 1;
            assert!(asked.load(Ordering::SeqCst) <= yielded as usize + 4);
        }
        assert_eq!(yielded, 100);
    });
}

#[test]
fn an_unordered_map_yields_as_requests_settle() {
    everywhere(async || {
        let gated = Gated::new();
        gated.gate.open();
        let service = windowed(&gated);
        let map = service.map_unordered_async(0..100);
        let mut numbers: Vec<_> = map.map(|promise| *promise.wait().unwrap()).collect().await;
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_map_does_not_block_on_a_full_queue_and_loses_no_step() {
    everywhere(async || {
        let gated = Gated::new();
        let builder = ProcessorService::builder().workers(1).window(8).capacity(1);
        let service = gated.start(builder);
        let waker = Arc::new(Counting::default());
        let mut map = service.map_async(0..20);
        assert!(poll_once(&mut map.next(), &waker).is_pending());
        gated.gate.wait_for(1);
        // One runs, one is queued, one waits for room.
        for _ in 0..3 {
            assert!(poll_once(&mut map.next(), &waker).is_pending());
            assert_eq!(service.status().queued, 1);
        }
        gated.gate.open();
        let numbers: Vec<_> = map.map(|promise| *promise.wait().unwrap()).collect().await;
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn dropping_a_map_aborts_what_nobody_else_wants() {
    let gated = Gated::new();
    let service = windowed(&gated);
    let waker = Arc::new(Counting::default());
    for unordered in [false, true] {
        let mut map: Pin<Box<dyn Stream<Item = _>>> = if unordered {
            Box::pin(service.map_unordered_async(10..))
        } else {
            Box::pin(service.map_async(0..))
        };
        assert!(poll_once(&mut map.next(), &waker).is_pending());
        gated.gate.wait_for(2);
        let wanted = service.queue_request(if unordered { 13 } else { 3 });
        drop(map);
        assert_eq!(Arc::strong_count(&waker), 1);
        assert_eq!(wanted.state(), State::Queued);
        let aborted = service.status().settled.aborted;
        assert_eq!(aborted, if unordered { 4 } else { 1 });
    }
    gated.gate.open();
}

#[test]
fn a_future_that_is_dropped_withdraws_its_ticket_where_it_was_told_to() {
    everywhere(async || {
        let (service, gated) = gated(1);
        let running = service.queue_request(1);
        gated.gate.wait_for(1);
        let (one, other) = (service.queue_request(2), service.queue_request(2));
        let waker = Arc::new(Counting::default());
        let (mut one, mut other) = (one.abort_on_drop(), other.abort_on_drop());
        assert!(poll_once(&mut one, &waker).is_pending());
        assert!(poll_once(&mut other, &waker).is_pending());
        drop(one);
        assert_eq!(other.state(), State::Queued, "somebody still wants it");
        assert_eq!(waker.0.load(Ordering::SeqCst), 0);
        drop(other);
        assert_eq!(Arc::strong_count(&waker), 1);
        assert_eq!(service.status().settled.aborted, 1);
        gated.gate.open();
        assert_eq!(running.abort_on_drop().await, Ok(1));
    });
}

#[test]
fn a_set_is_a_stream_that_is_safe_to_drop_between_steps() {
    everywhere(async || {
        let (service, gated) = gated(2);
        let mut set: PromiseSet<_, _> = (0..20).map(|n| service.queue_request(n)).collect();
        let waker = Arc::new(Counting::default());
        for _ in 0..3 {
            assert!(poll_once(&mut set.next(), &waker).is_pending());
        }
        gated.gate.open();
        let mut numbers = Vec::new();
        while let Some(promise) = set.next().await {
            numbers.push(*promise.wait().unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_awaited_can_be_sent_to_any_thread() {
    let (service, _) = echo(2);
    let service = Arc::new(service);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inner = Arc::clone(&service);
    let sum = runtime.spawn(async move {
        let first = inner.queue_request_async(1).await.await.unwrap();
        let mapped: Vec<_> = inner.map_async(0..10).collect().await;
        let aborting = inner.queue_request(5).abort_on_drop().await.unwrap();
        inner.wait_idle_async().await;
        inner.stop_async().await;
        first + aborting + mapped.iter().map(|one| *one.wait().unwrap()).sum::<u32>()
    });
    assert_eq!(runtime.block_on(sum).unwrap(), 51);
}

#[test]
fn two_tasks_that_wait_for_room_are_woken_one_for_each_place() {
    let (service, gated) = full();
    let mut waiting: Vec<_> = (0..10).map(|n| service.queue_request_async(n)).collect();
    let woken: Vec<_> = (0..10).map(|_| Arc::new(Counting::default())).collect();
    for (one, waker) in waiting.iter_mut().zip(&woken) {
        assert!(poll_once(one, waker).is_pending());
    }
    gated.gate.let_one_pass();
    gated.gate.wait_for(2);
    let times: Vec<_> = woken
        .iter()
        .map(|waker| waker.0.load(Ordering::SeqCst))
        .collect();
    assert_eq!(times, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    drop(waiting);
    gated.gate.open();
    futures::executor::block_on(service.stop_async());
    assert_eq!(service.status().settled.outputs, 2);
}
