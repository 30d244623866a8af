//! Foreign code that calls back in, holds locks of its own, or ends at awkward moments.

mod support;

use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::task::{Context as TaskContext, Wake, Waker};
use std::thread;
use std::time::Duration;

use parallel_workers::{
    Context, Failure, ProcessorService, Promise, PromiseRefFuture, Shutdown, processor_fn,
};
use support::{Gated, echo, gated};

#[test]
fn a_lock_of_the_users_held_around_every_call_deadlocks_with_nothing() {
    let mutex = Arc::new(Mutex::new(0_u64));
    let inner = Arc::clone(&mutex);
    let service = ProcessorService::start(2, move || {
        let mutex = Arc::clone(&inner);
        processor_fn(move |n: &u32, _: &Context<'_>| {
            *mutex.lock().unwrap() += 1;
            *n
        })
    })
    .unwrap();
    thread::scope(|scope| {
        for caller in 0..3_u32 {
            let (service, mutex) = (&service, &mutex);
            scope.spawn(move || {
                for n in 0..500 {
                    let mut count = mutex.lock().unwrap();
                    let promise = service.queue_request(n * 3 + caller % 2);
                    let other = Arc::clone(mutex);
                    promise.clone().abort();
                    *count += 1;
                    drop(count);
                    // A callback that takes the lock, registered without it: it may run here and now.
                    promise.on_settled(move |_| *other.lock().unwrap() += 1);
                    let _guard = mutex.lock().unwrap();
                    drop(promise);
                    service.status();
                }
            });
        }
    });
    service.stop();
    assert!(*mutex.lock().unwrap() >= 3_000);
}

#[test]
fn a_request_that_is_aborted_as_its_service_stops_settles() {
    for round in 0..500 {
        let (service, _) = echo(1);
        let promise = service.queue_request(round);
        thread::scope(|scope| {
            scope.spawn(|| promise.abort());
            service.shutdown(if round % 2 == 0 {
                Shutdown::Discard
            } else {
                Shutdown::Drain { deadline: None }
            });
        });
        let outcome = promise.try_result().expect("it has settled");
        let is_known = matches!(outcome, Ok(_) | Err(Failure::Aborted | Failure::Stopped));
        assert!(is_known, "{outcome:?}");
        assert_eq!(service.status().settled.total(), 1);
    }
}

#[test]
fn a_hundred_threads_wait_for_one_promise_and_all_are_woken() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    let barrier = Barrier::new(101);
    thread::scope(|scope| {
        for n in 0..100 {
            let (promise, barrier) = (&promise, &barrier);
            scope.spawn(move || {
                barrier.wait();
                match n % 3 {
                    0 => assert_eq!(promise.wait(), Ok(&1)),
                    1 => assert_eq!(promise.wait_timeout(Duration::MAX), Some(Ok(&1))),
                    _ => assert_eq!(promise.clone().wait(), Ok(&1)),
                }
            });
        }
        barrier.wait();
        gated.gate.open();
    });
}

type Pinned = Pin<Box<PromiseRefFuture<'static, u32, u32>>>;

/// Polls its future again from inside `wake`.
struct PollsInline {
    future: Mutex<Option<Pinned>>,
    done: mpsc::Sender<u32>,
}

impl Wake for PollsInline {
    fn wake(self: Arc<Self>) {
        let mut future = self.future.lock().unwrap().take().unwrap();
        let polled = future
            .as_mut()
            .poll(&mut TaskContext::from_waker(Waker::noop()));
        if let std::task::Poll::Ready(Ok(n)) = polled {
            self.done.send(*n).unwrap();
        }
    }
}

#[test]
fn a_waker_that_polls_at_once_finds_the_outcome_and_no_lock() {
    // The future borrows its promise; a promise that is never freed can be borrowed for ever.
    static PROMISE: OnceLock<Promise<u32, u32>> = OnceLock::new();
    let (service, gated) = gated(1);
    let promise = PROMISE.get_or_init(|| service.queue_request(7));
    let (done, polled) = mpsc::channel();
    let waker = Arc::new(PollsInline {
        future: Mutex::new(None),
        done,
    });
    let mut future = Box::pin(promise.into_future());
    let registered = future
        .as_mut()
        .poll(&mut TaskContext::from_waker(&Waker::from(Arc::clone(
            &waker,
        ))));
    assert!(registered.is_pending());
    *waker.future.lock().unwrap() = Some(future);
    gated.gate.open();
    assert_eq!(polled.recv(), Ok(7));
}

#[test]
fn a_select_that_keeps_losing_to_another_future_loses_no_outcome() {
    let (service, _) = echo(2);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for n in 0..2_000 {
            let promise = service.queue_request(n);
            let mut awaited = None;
            while awaited.is_none() {
                tokio::select! {
                    outcome = &promise => awaited = Some(outcome.copied()),
                    () = tokio::task::yield_now() => {}
                }
            }
            assert_eq!(awaited, Some(Ok(n)));
        }
    });
}

const CHILD: &str = "PARALLEL_WORKERS_STATIC_CHILD";

/// Runs in a process of its own, which ends while a service in a static is at work.
#[test]
fn a_process_whose_main_returns_while_a_static_service_works_ends() {
    static SERVICE: OnceLock<ProcessorService<support::Numbers>> = OnceLock::new();
    if std::env::var_os(CHILD).is_some() {
        let gated = Gated::new();
        let service = SERVICE.get_or_init(|| gated.start(ProcessorService::builder().workers(2)));
        let _ = service.queue_requests(0..100);
        gated.gate.wait_for(2);
        return;
    }
    let test = "a_process_whose_main_returns_while_a_static_service_works_ends";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn an_input_may_wait_for_what_the_requests_before_it_led_to() {
    // A crawl: each request finds the next one, and the input is what was found.
    let (found, pages) = mpsc::channel();
    found.send(0).unwrap();
    let service = ProcessorService::start(2, move || {
        let found = found.clone();
        processor_fn(move |page: &u32, _: &Context<'_>| found.send(page + 1).is_ok())
    });
    let service = service.unwrap();
    let crawled = service.queue_requests(pages.iter().take(1000));
    assert_eq!(crawled.wait_for_all().len(), 1000);
}
