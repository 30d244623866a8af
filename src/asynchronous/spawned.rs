//! Requests as tasks of a runtime, which a worker only hands out.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::asynchronous::AsyncProcessor;
use crate::asynchronous::driver::stand_in;
use crate::asynchronous::request::{Dropped, Processed, Request};
use crate::blocking::block_on;
use crate::current::{Borrowed, Reserve};
use crate::job::Job;
use crate::jobs::Jobs;
use crate::record::WorkerRecord;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use crate::task;
use crate::waits::Named;
use crate::wakers::wake_all;

/// A request, to be run as a task of a runtime: see [`Async::spawned_by`](crate::Async::spawned_by).
#[must_use = "a task that is not run settles its promise with `Failure::WorkerLost`"]
pub struct Task<A: AsyncProcessor> {
    processor: Arc<A>,
    request: Request<A>,
    inside: Option<Borrowed>,
    permit: Permit,
}

impl<A: AsyncProcessor> Task<A> {
    /// Processes the request, and settles its promise.
    pub async fn run(self) {
        let Self {
            processor,
            request,
            inside,
            permit,
        } = self;
        let (job, processed) = {
            let task = task::Task::default();
            let mut process = pin!(request.process(&processor));
            poll_fn(|cx| {
                let _inside = inside.as_ref().map(Borrowed::enter);
                let polled = task.poll(|| process.as_mut().poll(cx));
                permit.note(polled.is_pending() && task.waits());
                polled
            })
            .await
        };
        let _inside = inside.as_ref().map(Borrowed::enter);
        match processed {
            Processed::Output(output) => job.settle(output),
            Processed::Panicked(panic) => job.panicked(panic),
            Processed::Unwanted => job.abort(),
        }
        // After its callbacks, so that a worker which has finished has nothing left.
        drop(permit);
    }
}

impl<A: AsyncProcessor> fmt::Debug for Task<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("context", &self.request.job.context())
            .finish_non_exhaustive()
    }
}

/// What a worker needs to hand requests out.
pub(super) struct Spawned<A> {
    processor: Arc<A>,
    dropped: Dropped,
    concurrency: usize,
    out: Arc<Mutex<Out>>,
}

/// How many are out, and who waits for that to change.
#[derive(Default)]
struct Out {
    count: usize,
    /// How many of them wait for requests of this crate.
    waiting: usize,
    worker: Option<Waker>,
}

/// One that is out.
struct Permit {
    out: Arc<Mutex<Out>>,
    /// Whether it is among those that wait. Written by whoever polls the task.
    waits: AtomicBool,
}

impl Permit {
    /// Whether the task waits for requests of this crate.
    fn note(&self, waits: bool) {
        // ORDERING: relaxed; a task is polled by one thread at a time, and the runtime orders them.
        if self.waits.swap(waits, Ordering::Relaxed) != waits {
            self.change(|out| {
                out.waiting = out.waiting.wrapping_add_signed(if waits { 1 } else { -1 });
            });
        }
    }

    fn change(&self, change: impl FnOnce(&mut Out)) {
        let mut out = self.out.lock();
        change(&mut out);
        let woken = out.worker.take();
        // LOCK: released before anybody is woken.
        drop(out);
        wake_all(woken);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.note(false);
        self.change(|out| out.count -= 1);
    }
}

impl<A: AsyncProcessor> Spawned<A> {
    pub(super) fn new(processor: Arc<A>, dropped: Dropped, concurrency: usize) -> Self {
        Self {
            processor,
            dropped,
            concurrency,
            out: Arc::default(),
        }
    }

    /// Hands jobs out until the worker is to hand control back, and then waits for those that are out.
    pub(super) fn hand_out(&self, jobs: &mut Jobs<A::Request, A::Output>, spawn: &dyn Fn(Task<A>)) {
        let inside = Borrowed::of_this_thread(Arc::new(Refusing));
        let mut is_leaving = false;
        let mut standing_in = None;
        block_on(|waker| {
            let mut cx = Context::from_waker(waker);
            // Tasks that were given up end by themselves, and are counted as this worker's until they have.
            let is_given_up = jobs.poll_given_up(&mut cx).is_ready();
            is_leaving |= is_given_up;
            let mut rests = false;
            while !is_leaving && !rests && self.has_room(waker) {
                match jobs.poll_next(&mut cx) {
                    Poll::Ready(Some(job)) => spawn(self.task(job, inside.clone())),
                    Poll::Ready(None) => {
                        is_leaving = jobs.must_return();
                        // A spare worker that is not needed at the moment.
                        rests = !is_leaving;
                    }
                    Poll::Pending => return None,
                }
            }
            // Asked first, so that a task which begins to wait after the look below wakes this thread.
            if (is_leaving || rests) && self.is_over(waker) {
                return Some(());
            }
            while is_leaving && !is_given_up && self.have_to_wait() {
                stand_in(&mut standing_in);
                match jobs.poll_own(&mut cx) {
                    Poll::Ready(job) => spawn(self.task(job, inside.clone())),
                    Poll::Pending => break,
                }
            }
            None
        });
    }

    fn task(&self, job: Job<A::Request, A::Output>, inside: Option<Borrowed>) -> Task<A> {
        let dropped = self.dropped;
        Task {
            processor: Arc::clone(&self.processor),
            request: Request { job, dropped },
            inside,
            permit: self.permit(),
        }
    }

    fn has_room(&self, waker: &Waker) -> bool {
        self.ask(waker, |out| out.count - out.waiting < self.concurrency)
    }

    fn is_over(&self, waker: &Waker) -> bool {
        self.ask(waker, |out| out.count == 0)
    }

    fn have_to_wait(&self) -> bool {
        self.out.lock().waiting > 0
    }

    /// Whether it is so; if not, the waker is woken when that may have changed.
    fn ask(&self, waker: &Waker, is_so: impl Fn(&Out) -> bool) -> bool {
        // The waker is this thread's, so nothing foreign is cloned or dropped here.
        let mut out = self.out.lock();
        let is_so = is_so(&out);
        out.worker = (!is_so).then(|| waker.clone());
        is_so
    }

    fn permit(&self) -> Permit {
        self.out.lock().count += 1;
        Permit {
            out: Arc::clone(&self.out),
            waits: AtomicBool::new(false),
        }
    }
}

/// Nobody stands in for a runtime's thread.
struct Refusing;

impl Reserve for Refusing {
    fn stand_in(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn runs(&self, _: &WorkerRecord) -> Vec<Named> {
        // What its worker has handed out is not held up by a thread that waits.
        Vec::new()
    }
}
