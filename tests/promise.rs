//! One promise: waiting, awaiting, asking, taking the output.

mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parallel_workers::{Context, Failure, ProcessorService, State, processor_fn};
use support::{Gate, echo, gated};

#[test]
fn many_threads_wait_for_one_promise_and_all_get_the_same_output() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(5);
    let barrier = Arc::new(Barrier::new(9));
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let (promise, barrier) = (promise.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                let first: *const u32 = promise.wait().unwrap();
                assert_eq!(promise.wait(), Ok(&5));
                first as usize
            })
        })
        .collect();
    barrier.wait();
    gated.gate.open();
    let places: Vec<_> = waiting
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert!(places.iter().all(|place| *place == places[0]));
}

#[test]
fn waits_that_run_out_say_so_and_lose_nothing() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(5);
    assert_eq!(promise.wait_timeout(Duration::ZERO), None);
    assert_eq!(
        promise.wait_deadline(Instant::now() - Duration::from_millis(1)),
        None
    );
    let begin = Instant::now();
    assert_eq!(promise.wait_timeout(Duration::from_millis(50)), None);
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert_eq!(promise.try_result(), None);
    gated.gate.open();
    assert_eq!(promise.wait(), Ok(&5));
    assert_eq!(promise.wait_timeout(Duration::ZERO), Some(Ok(&5)));
    assert_eq!(promise.wait_deadline(Instant::now()), Some(Ok(&5)));
}

#[test]
fn a_timeout_that_is_too_long_for_the_clock_means_for_ever() {
    let (service, _) = echo(1);
    for timeout in [
        Duration::MAX,
        Duration::from_secs(u64::MAX / 2),
        Duration::from_nanos(1),
    ] {
        let promise = service.queue_request(1);
        if let Some(outcome) = promise.wait_timeout(timeout) {
            assert_eq!(outcome, Ok(&1));
        }
        assert_eq!(promise.wait(), Ok(&1));
    }
}

#[test]
fn a_promise_tells_its_state_its_request_and_its_worker() {
    let (service, gated) = gated(1);
    let running = service.queue_request(1);
    gated.gate.wait_for(1);
    let queued = service.queue_request(2);
    assert_eq!(
        (running.state(), queued.state()),
        (State::Running, State::Queued)
    );
    assert_eq!((running.is_settled(), queued.worker()), (false, None));
    let worker = service.status().workers[0].id;
    assert_eq!(running.worker(), Some(worker));
    gated.gate.open();
    queued.wait().unwrap();
    assert_eq!(
        (queued.state(), queued.worker(), *queued.request()),
        (State::Settled, Some(worker), 2)
    );
}

#[test]
fn what_a_promise_prints_says_what_it_is_waiting_for() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    gated.gate.wait_for(1);
    assert_eq!(
        format!("{promise:?}"),
        "Promise { request: 1, state: Running }"
    );
    gated.gate.open();
    promise.wait().unwrap();
    assert_eq!(
        format!("{promise:?}"),
        "Promise { request: 1, outcome: Ok(1) }"
    );
}

#[test]
fn whoever_is_woken_finds_that_the_worker_has_let_go() {
    struct Tell(mpsc::Sender<()>);
    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(2, move || {
        let gate = inner.clone();
        processor_fn(move |n: &u32, _: &Context<'_>| {
            gate.pass();
            vec![*n]
        })
    })
    .unwrap();
    for n in 0..2_000 {
        let promise = service.queue_request(n);
        let (sender, woken) = mpsc::channel();
        let waker = Waker::from(Arc::new(Tell(sender)));
        let mut future = Box::pin((&promise).into_future());
        assert!(
            future
                .as_mut()
                .poll(&mut TaskContext::from_waker(&waker))
                .is_pending()
        );
        gate.let_one_pass();
        woken.recv().unwrap();
        drop(future);
        assert_eq!(promise.into_output().ok(), Some(vec![n]));
    }
}

#[test]
fn a_promise_that_is_not_settled_or_not_alone_keeps_its_output() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    let promise = promise.into_output().expect_err("it is not settled");
    let other = promise.clone();
    gated.gate.open();
    promise.wait().unwrap();
    service.wait_idle();
    let promise = promise.into_output().expect_err("it is not alone");
    drop(other);
    assert_eq!(promise.into_output().ok(), Some(1));
}

#[test]
fn an_output_need_not_be_clone_to_be_borrowed_or_taken() {
    struct Unique(u32);
    let service =
        ProcessorService::start(1, || processor_fn(|n: &u32, _: &Context<'_>| Unique(*n))).unwrap();
    let promise = service.queue_request(3);
    let borrowed = futures::executor::block_on(async { (&promise).await.map(|unique| unique.0) });
    assert_eq!(borrowed, Ok(3));
    service.wait_idle();
    assert_eq!(promise.into_output().map(|unique| unique.0).ok(), Some(3));
}

#[test]
fn a_promise_is_awaited_under_futures_executor_tokio_and_smol() {
    let (service, _) = echo(2);
    let ask = |n| {
        let (one, other) = (service.queue_request(n), service.queue_request(n + 1));
        async move { one.await.unwrap() + (&other).await.copied().unwrap() }
    };
    assert_eq!(futures::executor::block_on(ask(1)), 3);
    assert_eq!(smol::block_on(ask(2)), 5);
    let current = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert_eq!(current.block_on(ask(3)), 7);
    let many = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let promise = service.queue_request(4);
    assert_eq!(
        many.block_on(many.spawn(async move { promise.await }))
            .unwrap(),
        Ok(4)
    );
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_the_latest_waker_of_a_future_is_woken_and_none_stays_behind() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
    let wakers: Vec<_> = counts
        .iter()
        .map(|count| Waker::from(Arc::clone(count)))
        .collect();
    let mut future = pin!((&promise).into_future());
    let mut dropped = Box::pin((&promise).into_future());
    for waker in &wakers[..2] {
        assert_eq!(
            future.as_mut().poll(&mut TaskContext::from_waker(waker)),
            Poll::Pending
        );
    }
    assert!(
        dropped
            .as_mut()
            .poll(&mut TaskContext::from_waker(&wakers[2]))
            .is_pending()
    );
    drop(dropped);
    gated.gate.open();
    service.wait_idle();
    let woken: Vec<_> = counts
        .iter()
        .map(|count| count.0.load(Ordering::SeqCst))
        .collect();
    assert_eq!(woken, [0, 1, 0]);
    assert_eq!(
        future
            .as_mut()
            .poll(&mut TaskContext::from_waker(&wakers[0])),
        Poll::Ready(Ok(&1))
    );
    assert_eq!(
        future
            .as_mut()
            .poll(&mut TaskContext::from_waker(&wakers[0])),
        Poll::Ready(Ok(&1))
    );
    drop(wakers);
    assert!(counts.iter().all(|count| Arc::strong_count(count) == 1));
}

#[test]
fn ten_thousand_waits_that_ran_out_and_futures_that_were_dropped_leave_nothing() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    for _ in 0..10_000 {
        assert_eq!(promise.wait_timeout(Duration::ZERO), None);
        let mut future = Box::pin((&promise).into_future());
        assert!(
            future
                .as_mut()
                .poll(&mut TaskContext::from_waker(&waker))
                .is_pending()
        );
    }
    assert_eq!(Arc::strong_count(&count), 2, "no copy of the waker stayed");
    gated.gate.open();
    promise.wait().unwrap();
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    let waker = Waker::from(Arc::new(Panics));
    let mut future = pin!((&promise).into_future());
    assert!(
        future
            .as_mut()
            .poll(&mut TaskContext::from_waker(&waker))
            .is_pending()
    );
    let (sender, receiver) = mpsc::channel();
    promise.on_settled(move |_| sender.send(()).unwrap());
    gated.gate.open();
    assert_eq!(promise.wait(), Ok(&1));
    receiver.recv().unwrap();
    assert_eq!(service.queue_request(2).wait(), Ok(&2));
    assert_eq!(service.status().workers[0].respawns, 0);
}

#[test]
fn a_wait_that_runs_out_as_the_promise_settles_says_one_or_the_other() {
    let (service, _) = echo(1);
    for n in 0..5_000 {
        let promise = service.queue_request(n);
        if let Some(outcome) = promise.wait_timeout(Duration::from_micros(u64::from(n % 50))) {
            assert_eq!(outcome, Ok(&n));
        }
        assert_eq!(promise.wait(), Ok(&n));
    }
}

#[test]
fn a_promise_outlives_its_service() {
    let (service, _) = echo(1);
    let done = service.queue_request(1);
    drop(service);
    assert_eq!(done.wait(), Ok(&1));
    assert_eq!(done.into_output().ok(), Some(1));
    assert_eq!(
        Failure::Stopped.to_string(),
        "the service was stopped before it began the request"
    );
}
