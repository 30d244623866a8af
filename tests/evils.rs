//! Everything foreign may panic, at every stage, with a payload that panics again: each request settles all the same,
//! the counts are exact, all workers go on, and nothing is left behind.

mod support;

use std::any::Any;
use std::future::{Future, IntoFuture};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Wake, Waker};

use parallel_workers::{Context, Failure, Processor, ProcessorService, Promise};
use support::limit_time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Factory,
    Hash,
    Eq,
    Process,
    OutputDrop,
    RequestDrop,
    Callback,
    Waker,
    Exit,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Factory,
        Self::Hash,
        Self::Eq,
        Self::Process,
        Self::OutputDrop,
        Self::RequestDrop,
        Self::Callback,
        Self::Waker,
        Self::Exit,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evil {
    None,
    Panic,
    /// A panic whose payload panics when it is dropped.
    Bomb,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a payload that is dropped");
    }
}

/// What is to happen, once, and where.
#[derive(Debug)]
struct Plan {
    stage: Stage,
    evil: Evil,
    was_done: AtomicBool,
}

impl Plan {
    fn reach(&self, stage: Stage) {
        if stage != self.stage
            || self.evil == Evil::None
            || self.was_done.swap(true, Ordering::SeqCst)
        {
            return;
        }
        match self.evil {
            Evil::None => {}
            Evil::Panic => panic!("at {stage:?}"),
            Evil::Bomb => panic_any(Bomb),
        }
    }
}

/// The request at which it happens.
const EVIL: u32 = 7;
const REQUESTS: u32 = 20;

struct Request {
    key: u32,
    /// Counts what is alive, too.
    plan: Arc<Plan>,
}

impl Request {
    fn reach(&self, stage: Stage) {
        if self.key == EVIL {
            self.plan.reach(stage);
        }
    }
}

impl Hash for Request {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reach(Stage::Hash);
        self.key.hash(state);
    }
}

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.reach(Stage::Eq);
        self.key == other.key
    }
}

impl Eq for Request {}

impl Drop for Request {
    fn drop(&mut self) {
        self.reach(Stage::RequestDrop);
    }
}

#[derive(Clone)]
struct Output(u32, Arc<Plan>);

impl Drop for Output {
    fn drop(&mut self) {
        if self.0 == EVIL {
            self.1.reach(Stage::OutputDrop);
        }
    }
}

struct Evils(Arc<Plan>);

impl Processor for Evils {
    type Request = Request;
    type Output = Output;

    fn process(&mut self, request: &Request, _: &Context<'_>) -> Output {
        request.reach(Stage::Process);
        // So that there has to be another processor.
        assert!(
            request.key != EVIL || self.0.stage != Stage::Factory,
            "for the factory"
        );
        Output(request.key, Arc::clone(&self.0))
    }
}

impl Drop for Evils {
    fn drop(&mut self) {
        self.0.reach(Stage::Exit);
    }
}

struct EvilWaker(Arc<Plan>);

impl Wake for EvilWaker {
    fn wake(self: Arc<Self>) {
        self.0.reach(Stage::Waker);
    }
}

/// Calls `f`, whose panic is for its caller, as a panic of `Hash` is.
fn guarded<T>(f: impl FnOnce() -> T) -> Option<T> {
    // The payload may panic when it is dropped, and the payload of that panic does not.
    let discard = |payload: Box<dyn Any + Send>| {
        drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
    };
    catch_unwind(AssertUnwindSafe(f)).map_err(discard).ok()
}

type Evilly = Promise<Request, Output>;

/// Queues a round of requests while the service is paused. Gives the promises that are kept, and how many were accepted.
fn queue(service: &ProcessorService<Evils>, plan: &Arc<Plan>, first: u32) -> (Vec<Evilly>, u64) {
    service.pause();
    let queue = |key| {
        let plan = Arc::clone(plan);
        guarded(|| service.queue_request(Request { key, plan }))
    };
    let mut accepted = 0;
    let mut kept = Vec::new();
    for key in first..first + REQUESTS {
        let Some(promise) = queue(key) else { continue };
        accepted += 1;
        // An equal one, so that they are compared.
        accepted += u64::from(queue(key).is_some());
        if key == EVIL && matches!(plan.stage, Stage::Callback | Stage::Waker) {
            let called = Arc::clone(plan);
            promise.on_settled(move |_| called.reach(Stage::Callback));
            let waker = Waker::from(Arc::new(EvilWaker(Arc::clone(plan))));
            let mut future = IntoFuture::into_future(promise.clone());
            let polled = Pin::new(&mut future).poll(&mut TaskContext::from_waker(&waker));
            assert!(polled.is_pending());
            // Somebody awaits it until it is settled.
            promise.on_settled(move |_| drop(future));
        }
        // What nobody holds is dropped by its worker.
        if key != EVIL || !matches!(plan.stage, Stage::OutputDrop | Stage::RequestDrop) {
            kept.push(promise);
        }
    }
    service.resume();
    (kept, accepted)
}

fn survives(stage: Stage, evil: Evil, workers: usize) {
    let plan = Arc::new(Plan {
        stage,
        evil,
        was_done: AtomicBool::new(false),
    });
    let (inner, made) = (Arc::clone(&plan), AtomicBool::new(false));
    let builder = ProcessorService::builder().workers(workers).paused(true);
    let first = Arc::new(AtomicBool::new(true));
    let is_first = Arc::clone(&first);
    let service = builder.start(move || {
        made.store(true, Ordering::SeqCst);
        if !is_first.load(Ordering::SeqCst) {
            inner.reach(Stage::Factory);
        }
        Evils(Arc::clone(&inner))
    });
    let service = service.unwrap();
    first.store(false, Ordering::SeqCst);

    let (promises, mut accepted) = queue(&service, &plan, 0);
    for promise in &promises {
        let panics =
            matches!(stage, Stage::Process) && evil != Evil::None || stage == Stage::Factory;
        match promise.wait() {
            Ok(output) => assert_eq!(output.0, promise.request().key),
            Err(Failure::Panicked(_)) => assert!(panics && promise.request().key == EVIL),
            Err(other) => panic!("{other}"),
        }
    }
    // They go on, all of them, with whatever comes.
    let (more, again) = queue(&service, &plan, 100);
    accepted += again;
    assert!(more.iter().all(|promise| promise.wait().is_ok()));
    service.wait_idle();
    let status = service.status();
    assert_eq!(
        status.settled.total() + status.coalesced,
        accepted,
        "{status}"
    );
    assert_eq!(
        (status.queued, status.running, status.workers.len()),
        (0, 0, workers)
    );
    let callbacks = u64::from(stage == Stage::Callback && evil != Evil::None);
    assert_eq!(status.callback_panics, callbacks);
    let happened = plan.was_done.load(Ordering::SeqCst);
    assert!(happened || evil == Evil::None || stage == Stage::Exit);
    drop((promises, more));
    service.stop();
    drop(service);
    assert_eq!(plan.was_done.load(Ordering::SeqCst), evil != Evil::None);
    assert_eq!(Arc::strong_count(&plan), 1, "something was left behind");
}

#[test]
fn every_stage_survives_every_evil() {
    limit_time();
    // There are many of them, and each would be printed.
    std::panic::set_hook(Box::new(|_| {}));
    for stage in Stage::ALL {
        for evil in [Evil::None, Evil::Panic, Evil::Bomb] {
            for workers in [1, 4] {
                let survived = guarded(|| survives(stage, evil, workers));
                assert!(survived.is_some(), "{stage:?}, {evil:?}, {workers} workers");
            }
        }
    }
}
