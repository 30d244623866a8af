//! Storms: three workers and four callers who do everything there is to do, in very many orders.
//!
//! ```sh
//! RUSTFLAGS='--cfg parallel_workers_sync="shuttle"' cargo test --release --features async --target-dir target/shuttle --test shuttle
//! ```
//!
//! With threads, and with futures: 10,000 schedules of each, or `SHUTTLE_SCHEDULES`, half of them random and half by
//! probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010). A thread that waits for ever fails the run, and the
//! schedule is printed, for `shuttle::replay`.
#![cfg(parallel_workers_sync = "shuttle")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use parallel_workers::{
    Abort, Context, Failure, Handle, Processor, ProcessorService, Promise, PromiseSet, RequestId,
    Shutdown, Worker,
};
#[cfg(feature = "async")]
use parallel_workers::{Async, AsyncProcessor};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;

const WORKERS: usize = 3;
const CALLERS: usize = 4;
const STEPS: usize = 6;
/// Requests that are equal to others'.
const KEYS: u32 = 4;
/// A number that has a request of its own, for the rest of it, wait for that.
const NESTED: u32 = 100;

/// Everything that was ever queued.
type Runs = Arc<Mutex<BTreeSet<RequestId>>>;

struct Twice {
    runs: Runs,
    handle: Arc<Mutex<Option<Handle<Twice>>>>,
}

impl Processor for Twice {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        thread::yield_now();
        let handle = self.handle.lock().unwrap().clone();
        let Some(handle) = handle.filter(|_| *n >= NESTED) else {
            return 2 * n;
        };
        let Ok(inner) = handle.try_queue_request(n - NESTED) else {
            return 0;
        };
        self.runs.lock().unwrap().insert(inner.id());
        match inner.wait() {
            Ok(n) => n + 2 * NESTED,
            Err(_) => 0,
        }
    }
}

/// The same, by futures that wake themselves, and await what they need as often as they wait for it.
#[cfg(feature = "async")]
struct AsyncTwice<const SPAWNED: bool> {
    runs: Runs,
    handle: Own<Async<Self>>,
}

#[cfg(feature = "async")]
impl<const SPAWNED: bool> AsyncProcessor for AsyncTwice<SPAWNED> {
    type Request = u32;
    type Output = u32;

    async fn process(&self, n: &u32, _: &Context<'_>) -> u32 {
        let mut has_yielded = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut has_yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let handle = self.handle.lock().unwrap().clone();
        let Some(handle) = handle.filter(|_| *n >= NESTED) else {
            return 2 * n;
        };
        let Ok(inner) = handle.try_queue_request(n - NESTED) else {
            return 0;
        };
        self.runs.lock().unwrap().insert(inner.id());
        let inner = if thread_rng().gen_bool(0.5) {
            inner.wait().copied()
        } else {
            inner.await
        };
        inner.map_or(0, |n| n + 2 * NESTED)
    }
}

struct Caller<P: Processor> {
    service: Arc<ProcessorService<P>>,
    runs: Runs,
    promises: Vec<Promise<u32, u32>>,
}

impl<P: Processor<Request = u32, Output = u32>> Caller<P> {
    fn run(mut self) -> Vec<Promise<u32, u32>> {
        for _ in 0..STEPS {
            self.step();
        }
        self.promises
    }

    fn keep(&mut self, promise: Promise<u32, u32>) {
        self.runs.lock().unwrap().insert(promise.id());
        self.promises.push(promise);
    }

    fn any(&self) -> Option<&Promise<u32, u32>> {
        let n = self.promises.len();
        (n > 0).then(|| &self.promises[thread_rng().gen_range(0..n)])
    }

    fn worker(&self) -> Option<Worker<P>> {
        let workers = self.service.workers();
        let n = workers.len();
        (n > 0)
            .then(|| workers[thread_rng().gen_range(0..n)].id)
            .and_then(|id| self.service.worker(id))
    }

    fn step(&mut self) {
        let key = thread_rng().gen_range(0..KEYS);
        let service = Arc::clone(&self.service);
        match thread_rng().gen_range(0..22) {
            0..=4 => self.keep(service.queue_request(key)),
            5 => self.keep(service.queue_unshared(key)),
            6 => self.keep(service.queue_request(NESTED + key)),
            7 => {
                let set = service.queue_requests(0..key);
                let all = set.wait_for_all();
                all.into_iter().for_each(|promise| self.keep(promise));
            }
            8 | 9 => self.abort(),
            10 => _ = self.any().map(|promise| promise.wait().copied()),
            11 => self.call_back(),
            12 => self.select(),
            13 => self.poll_and_drop(),
            14 => {
                service.pause();
                thread::yield_now();
                service.resume();
            }
            15 => service.resize(1 + key as usize).unwrap(),
            16 => _ = self.worker().map(|worker| worker.kill().unwrap()),
            17 => {
                let answers = service.broadcast(|_| 7);
                for (_, answer) in answers.wait() {
                    assert!(matches!(answer, Ok(7) | Err(Failure::WorkerLost(_))));
                }
            }
            18 => {
                if let Some(worker) = self.worker() {
                    self.keep(worker.assign(key));
                }
            }
            19 => self.queue_and_give_up(key),
            20 => {
                let wanted = service.queue_request(key);
                self.runs.lock().unwrap().insert(wanted.id());
                drop(wanted.abort_on_drop());
            }
            _ => {
                service.wait_idle();
                assert!(service.status().workers.len() <= 2 * KEYS as usize);
            }
        }
    }

    fn abort(&self) {
        if let Some(promise) = self.any() {
            let abort = promise.abort();
            if matches!(abort, Abort::Aborted | Abort::StillWanted) {
                assert_eq!(promise.try_result(), Some(Err(Failure::Aborted)));
            }
        }
    }

    fn call_back(&self) {
        if let Some(promise) = self.any() {
            let promise = promise.clone();
            promise.on_settled(|promise| assert!(promise.is_settled()));
        }
    }

    fn select(&self) {
        let set: PromiseSet<u32, u32> = self.promises.iter().cloned().collect();
        for _ in 0..2 {
            if let Some(promise) = set.select_next() {
                assert!(promise.is_settled());
            }
        }
    }

    /// Waits for room as a task does, and gives up if there is none at once.
    fn queue_and_give_up(&mut self, key: u32) {
        let mut queueing = Box::pin(self.service.queue_request_async(key));
        let mut cx = TaskContext::from_waker(Waker::noop());
        if let Poll::Ready(promise) = queueing.as_mut().poll(&mut cx) {
            self.keep(promise);
        }
    }

    fn poll_and_drop(&self) {
        if let Some(promise) = self.any() {
            let mut future = Box::pin(promise.into_future());
            let _ = future
                .as_mut()
                .poll(&mut TaskContext::from_waker(Waker::noop()));
        }
    }
}

/// The way into a service, for its own processors.
type Own<P> = Arc<Mutex<Option<Handle<P>>>>;

/// Threads, or futures.
trait Backend: Processor<Request = u32, Output = u32> {
    fn new(runs: Runs, own: Own<Self>) -> Self;
}

impl Backend for Twice {
    fn new(runs: Runs, handle: Own<Self>) -> Self {
        Self { runs, handle }
    }
}

#[cfg(feature = "async")]
impl<const SPAWNED: bool> Backend for Async<AsyncTwice<SPAWNED>> {
    fn new(runs: Runs, handle: Own<Self>) -> Self {
        let worker = Async::new(AsyncTwice { runs, handle });
        let worker = worker.concurrency(2).cancel_on_abort(true);
        if !SPAWNED {
            return worker;
        }
        worker.spawned_by(|task| {
            // The smallest of runtimes.
            thread::spawn(|| shuttle::future::block_on(task.run()));
        })
    }
}

fn storm<P: Backend>() {
    let runs = Runs::default();
    let handle: Own<P> = Arc::default();
    let (ran, queues) = (Arc::clone(&runs), Arc::clone(&handle));
    let builder = ProcessorService::builder().workers(WORKERS).capacity(8);
    let service = builder.start(move || P::new(Arc::clone(&ran), Arc::clone(&queues)));
    let service = Arc::new(service.unwrap());
    *handle.lock().unwrap() = Some(service.handle());
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let caller = Caller {
                service: Arc::clone(&service),
                runs: Arc::clone(&runs),
                promises: Vec::new(),
            };
            thread::spawn(|| caller.run())
        })
        .collect();
    let promises: Vec<_> = callers
        .into_iter()
        .flat_map(|caller| caller.join().unwrap())
        .collect();
    if thread_rng().gen_bool(0.5) {
        service.stop();
    } else {
        service.shutdown(Shutdown::Discard);
    }
    for promise in &promises {
        match promise.try_result().expect("everything has settled") {
            Ok(output) => assert!(*output == 2 * promise.request() || *output == 0),
            Err(Failure::Aborted | Failure::WorkerLost(_) | Failure::Stopped) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let status = service.status();
    assert_eq!((status.queued, status.running), (0, 0));
    assert_eq!(
        status.settled.total(),
        runs.lock().unwrap().len() as u64,
        "what was queued is what was settled: {:?}",
        status.settled
    );
}

fn schedules() -> usize {
    let asked = std::env::var("SHUTTLE_SCHEDULES").ok();
    asked.map_or(10_000, |asked| asked.parse().unwrap())
}

fn check<P: Backend>(scheduler: impl Scheduler + 'static) {
    let mut config = shuttle::Config::new();
    config.stack_size = 0x4_0000;
    shuttle::Runner::new(scheduler, config).run(storm::<P>);
}

#[test]
fn every_request_of_a_storm_settles_in_random_orders() {
    check::<Twice>(RandomScheduler::new(schedules() / 2));
}

#[test]
fn every_request_of_a_storm_settles_in_adverse_orders() {
    check::<Twice>(PctScheduler::new(3, schedules() / 2));
}

#[cfg(feature = "async")]
#[test]
fn every_future_of_a_storm_settles_in_random_orders() {
    check::<Async<AsyncTwice<false>>>(RandomScheduler::new(schedules() / 2));
}

#[cfg(feature = "async")]
#[test]
fn every_future_of_a_storm_settles_in_adverse_orders() {
    check::<Async<AsyncTwice<false>>>(PctScheduler::new(3, schedules() / 2));
}

#[cfg(feature = "async")]
#[test]
fn every_task_of_a_storm_settles() {
    check::<Async<AsyncTwice<true>>>(RandomScheduler::new(schedules() / 2));
}
