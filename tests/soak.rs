//! Everything at once, on real threads, for a while: four callers who do at random whatever there is to do.
//!
//! One second, or `SOAK_SECONDS`; ten minutes before a release:
//!
//! ```sh
//! SOAK_SECONDS=600 cargo test --release --test soak -- --nocapture
//! ```
//!
//! The thread sanitizer, to which `std`'s locks are invisible, runs this and no other test: so there are none here.

use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parallel_workers::{
    Abort, Context, Failure, Handle, Processor, ProcessorService, Promise, PromiseSet, Worker,
};

const CALLERS: u64 = 4;
/// Requests that are equal to others'.
const KEYS: u64 = 50;
/// Numbers from here on have a request of their own, for the rest of them, wait for that.
const NESTED: u64 = 1_000;
/// A number that panics.
const PANICS: u64 = 7;
/// How many promises a caller keeps.
const KEPT: usize = 100;

/// How often anybody queued something, and it was let in.
type Queued = Arc<AtomicU64>;

struct Twice {
    queued: Queued,
    handle: Arc<OnceLock<Handle<Twice>>>,
}

impl Processor for Twice {
    type Request = u64;
    type Output = u64;

    fn process(&mut self, n: &u64, context: &Context<'_>) -> u64 {
        match *n {
            PANICS => panic!("as it should"),
            n if n >= NESTED => {
                let inner = self.handle.wait().try_queue_request(n - NESTED);
                let Ok(inner) = inner else { return 0 };
                self.queued.fetch_add(1, Ordering::Relaxed);
                inner.wait().map_or(0, |n| n + 2 * NESTED)
            }
            n => {
                for _ in 0..n % 8 {
                    thread::yield_now();
                }
                std::hint::black_box(context.is_cancelled());
                2 * n
            }
        }
    }
}

/// Numbers at random, by xorshift (Marsaglia, 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

struct Caller<'a> {
    service: &'a ProcessorService<Twice>,
    queued: &'a AtomicU64,
    chance: Chance,
    promises: Vec<Promise<u64, u64>>,
    steps: u64,
}

impl Caller<'_> {
    fn keep(&mut self, promise: Promise<u64, u64>) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.promises.push(promise);
        if self.promises.len() > KEPT {
            let index = self.chance.below(KEPT as u64) as usize;
            settles_well(&self.promises.swap_remove(index));
        }
    }

    fn any(&mut self) -> Option<Promise<u64, u64>> {
        let n = self.promises.len() as u64;
        (n > 0).then(|| self.promises[self.chance.below(n) as usize].clone())
    }

    fn worker(&mut self) -> Option<Worker<Twice>> {
        let workers = self.service.workers();
        let n = workers.len() as u64;
        let id = (n > 0).then(|| workers[self.chance.below(n) as usize].id);
        id.and_then(|id| self.service.worker(id))
    }

    fn step(&mut self) {
        self.steps += 1;
        let key = self.chance.below(KEYS);
        let service = self.service;
        match self.chance.below(1_000) {
            0..400 => self.keep(service.queue_request(key)),
            400..430 => self.keep(service.queue_unshared(key)),
            430..450 => self.keep(service.queue_request(NESTED + key)),
            450..550 => self.abort(),
            550..650 => {
                _ = self
                    .any()
                    .map(|one| one.wait_timeout(Duration::ZERO).is_some())
            }
            650..700 => {
                if let Some(promise) = self.any() {
                    promise.on_settled(|promise| assert!(promise.is_settled()));
                }
            }
            700..750 => self.select(),
            750..760 => {
                let set = service.queue_requests(0..key);
                set.wait_for_all()
                    .into_iter()
                    .for_each(|promise| self.keep(promise));
            }
            760..860 => {
                if let Some(worker) = self.worker() {
                    self.keep(worker.assign(key));
                }
            }
            rest => self.rare(rest, key),
        }
    }

    /// What concerns all.
    fn rare(&mut self, which: u64, key: u64) {
        let service = self.service;
        match which {
            860..870 => {
                service.pause();
                service.resume();
            }
            870..872 => service.resize(1 + key as usize % 4).unwrap(),
            872..874 => _ = self.worker().map(|worker| worker.kill().unwrap()),
            874..880 => {
                for (_, answer) in service.broadcast(|_| 7).wait() {
                    assert!(matches!(answer, Ok(7) | Err(Failure::WorkerLost(_))));
                }
            }
            880..890 => _ = std::hint::black_box(service.status().to_string()),
            890..892 => service.wait_idle(),
            _ => {}
        }
    }

    fn abort(&mut self) {
        let Some(promise) = self.any() else { return };
        if matches!(promise.abort(), Abort::Aborted | Abort::StillWanted) {
            assert_eq!(promise.try_result(), Some(Err(Failure::Aborted)));
        }
    }

    fn select(&mut self) {
        let some = self.promises.iter().rev().take(8).cloned();
        let set: PromiseSet<u64, u64> = some.collect();
        for promise in set.select().take(2) {
            settles_well(&promise);
        }
    }
}

fn settles_well(promise: &Promise<u64, u64>) {
    match promise.wait() {
        // Nested requests come to nothing where what they wait for does.
        Ok(output) => assert!(*output == 2 * promise.request() || *output == 0),
        Err(Failure::Panicked(panic)) => assert_eq!(panic.message(), "as it should"),
        Err(Failure::Aborted | Failure::WorkerLost(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The panics that belong to it are not printed.
fn be_quiet() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&"as it should") {
            before(info);
        }
    }));
}

#[test]
fn whatever_callers_do_every_request_settles_once() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(1, |asked| asked.parse().unwrap());
    be_quiet();
    let threads_before = threads();
    let (queued, handle) = (Queued::default(), Arc::new(OnceLock::new()));
    let (counted, queues) = (Arc::clone(&queued), Arc::clone(&handle));
    let builder = ProcessorService::builder().workers(3).capacity(200);
    let service = builder.start(move || Twice {
        queued: Arc::clone(&counted),
        handle: Arc::clone(&queues),
    });
    let service = service.unwrap();
    assert!(handle.set(service.handle()).is_ok());
    let (is_over, steps) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 1..=CALLERS {
            let (service, queued, is_over, steps) = (&service, &*queued, &is_over, &steps);
            scope.spawn(move || {
                let mut caller = Caller {
                    service,
                    queued,
                    chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                    promises: Vec::new(),
                    steps: 0,
                };
                while !is_over.load(Ordering::Relaxed) {
                    caller.step();
                }
                caller.promises.iter().for_each(settles_well);
                steps.fetch_add(caller.steps, Ordering::Relaxed);
            });
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            thread::park_timeout(end.saturating_duration_since(Instant::now()));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    service.stop();
    let status = service.status();
    println!(
        "{} steps, {} joined\n{status}",
        steps.load(Ordering::Relaxed),
        status.coalesced
    );
    assert_eq!((status.queued, status.running), (0, 0));
    let settled = status.settled.total() + status.coalesced;
    assert_eq!(settled, queued.load(Ordering::Relaxed), "each settled once");
    drop((service, handle));
    // A lost worker's thread ends by itself.
    let patience = Instant::now() + Duration::from_secs(60);
    while threads() > threads_before {
        assert!(Instant::now() < patience, "{} threads are left", threads());
        thread::yield_now();
    }
}
