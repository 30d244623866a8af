//! What tests wait with: gates that processors stand at, and a clock that ends a test that hangs.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::collections::HashSet;
use std::future::poll_fn;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::task::{Poll, Waker};
use std::time::Duration;

use parallel_workers::{
    Context, ProcessorFn, ProcessorService, ProcessorServiceBuilder, processor_fn,
};

/// No test binary takes longer than this.
const LIMIT: Duration = Duration::from_secs(240);

/// Ends the process, and so fails the run, if it hangs.
pub fn limit_time() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            std::thread::park_timeout(LIMIT);
            eprintln!("a test has hung for {LIMIT:?}");
            std::process::abort();
        });
    });
}

/// Threads stand here until it is opened; a test can wait until they do.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    arrived: usize,
    passes: usize,
    is_open: bool,
    tasks: Vec<Waker>,
}

impl GateState {
    fn lets_pass(&mut self) -> bool {
        if !self.is_open && self.passes > 0 {
            self.passes -= 1;
            return true;
        }
        self.is_open
    }
}

impl Gate {
    pub fn new() -> Self {
        limit_time();
        Self::default()
    }

    /// Stands at the gate until it is open.
    pub fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.arrived += 1;
        changed.notify_all();
        while !state.lets_pass() {
            state = changed.wait(state).unwrap();
        }
    }

    /// The same, for a task: it comes to the gate when it is first polled.
    pub fn passing(&self) -> impl Future<Output = ()> + Send + use<> {
        let gate = self.clone();
        let mut has_arrived = false;
        poll_fn(move |cx| {
            let (state, changed) = &*gate.0;
            let mut state = state.lock().unwrap();
            state.arrived += usize::from(!has_arrived);
            has_arrived = true;
            changed.notify_all();
            if state.lets_pass() {
                return Poll::Ready(());
            }
            state.tasks.push(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Waits until `n` have come to the gate, all in all.
    pub fn wait_for(&self, n: usize) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        while state.arrived < n {
            state = changed.wait(state).unwrap();
        }
    }

    /// Opens it for all, and for good.
    pub fn open(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.is_open = true;
        state.tasks.drain(..).for_each(Waker::wake);
        changed.notify_all();
    }

    /// Lets one pass.
    pub fn let_one_pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.passes += 1;
        state.tasks.drain(..).for_each(Waker::wake);
        changed.notify_all();
    }
}

/// A gate for each key.
#[derive(Clone)]
pub struct Gates<K>(Arc<(Mutex<GatesState<K>>, Condvar)>);

struct GatesState<K> {
    arrived: HashSet<K>,
    open: HashSet<K>,
}

impl<K: Hash + Eq + Clone> Gates<K> {
    pub fn new() -> Self {
        limit_time();
        let state = GatesState {
            arrived: HashSet::new(),
            open: HashSet::new(),
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    pub fn pass(&self, key: &K) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.arrived.insert(key.clone());
        changed.notify_all();
        while !state.open.contains(key) {
            state = changed.wait(state).unwrap();
        }
    }

    pub fn wait_for(&self, key: &K) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        while !state.arrived.contains(key) {
            state = changed.wait(state).unwrap();
        }
    }

    pub fn open(&self, key: K) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open.insert(key);
        changed.notify_all();
    }
}

/// What such a processor does with a number.
pub type Number = Box<dyn FnMut(&u32, &Context<'_>) -> u32>;

/// A processor of numbers that gives each number itself, once a gate lets it.
pub type Numbers = ProcessorFn<u32, u32, Number>;

/// Counts what ran.
pub type Runs = Arc<AtomicUsize>;

pub fn runs(runs: &Runs) -> usize {
    runs.load(Ordering::SeqCst)
}

/// A builder of a service whose requests stand at `gate`.
pub struct Gated {
    pub gate: Gate,
    pub runs: Runs,
}

impl Gated {
    pub fn new() -> Self {
        Self {
            gate: Gate::new(),
            runs: Runs::default(),
        }
    }

    pub fn start(&self, builder: ProcessorServiceBuilder<Numbers>) -> ProcessorService<Numbers> {
        let (gate, runs) = (self.gate.clone(), Arc::clone(&self.runs));
        let service = builder.start(move || {
            let (gate, runs) = (gate.clone(), Arc::clone(&runs));
            let function: Number = Box::new(move |n, _| {
                runs.fetch_add(1, Ordering::SeqCst);
                gate.pass();
                *n
            });
            processor_fn(function)
        });
        service.expect("the service starts")
    }
}

/// A gated service with `workers` workers.
pub fn gated(workers: usize) -> (ProcessorService<Numbers>, Gated) {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(workers));
    (service, gated)
}

/// A service that gives each number itself, at once.
pub fn echo(workers: usize) -> (ProcessorService<Numbers>, Gated) {
    let (service, gated) = gated(workers);
    gated.gate.open();
    (service, gated)
}

/// Counts how many of its copies are alive.
#[derive(Default)]
pub struct Alive(Arc<AtomicUsize>);

impl Alive {
    pub fn make(&self) -> Living {
        self.0.fetch_add(1, Ordering::SeqCst);
        Living(Arc::clone(&self.0))
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub struct Living(Arc<AtomicUsize>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An example that `cargo test` has built.
pub fn example(name: &str) -> std::path::PathBuf {
    // The test is at target/PROFILE/deps/, the examples at target/PROFILE/examples/.
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(|deps| deps.parent()).unwrap();
    profile.join("examples").join(name)
}
