//! One request in a worker's hands.

use std::fmt;
#[cfg(any(feature = "nats", feature = "process"))]
use std::future::Future;
use std::hash::Hash;
#[cfg(any(feature = "nats", feature = "process"))]
use std::pin::Pin;
#[cfg(any(feature = "nats", feature = "process"))]
use std::task::{self, Waker};

use crate::context::Context;
use crate::desk::{Begun, Desk};
use crate::dispatcher::Entry;
use crate::error::Failure;
use crate::loss::Loss;
#[cfg(any(feature = "async", feature = "process"))]
use crate::panic::Panic;
use crate::record::Ending;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// A request that a worker has begun, and that it owes an output.
///
/// It can be settled once, by value, from any thread. Dropped without that, it settles its promise with
/// [`Failure::WorkerLost`]: whatever becomes of a job, nobody waits for it for ever.
#[must_use = "a job that is dropped settles its promise with `Failure::WorkerLost`"]
pub struct Job<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Taken when the job ends.
    begun: Option<Begun<R, T>>,
    desk: Arc<Desk<R, T>>,
}

impl<R, T> Job<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(begun: Begun<R, T>, desk: Arc<Desk<R, T>>) -> Self {
        Self {
            begun: Some(begun),
            desk,
        }
    }

    /// What is to be processed.
    pub fn request(&self) -> &R {
        self.entry().run.request()
    }

    /// What the processor may know of its circumstances.
    pub fn context(&self) -> Context<'_> {
        self.desk.context(self.entry())
    }

    /// Gives the output to everybody who asked for it. Callbacks run here, on the calling thread.
    ///
    /// If the run was given up in the meantime, the output is dropped.
    pub fn settle(mut self, output: T) {
        if let Some(begun) = self.begun.take() {
            self.desk.settle(begun, output, None);
        }
    }

    /// Calls `process` with the request, and settles with what it returns, or with its panic.
    ///
    /// After a panic [`Jobs::next`](crate::Jobs::next) gives `None`, so that the worker's processor, which may
    /// be in any state, is made anew.
    pub fn process(mut self, process: impl FnOnce(&R, &Context<'_>) -> T) {
        if let Some(begun) = self.begun.take() {
            self.desk.process(begun, process, None);
        }
    }

    /// Ends the request without an output, because nobody wants it any more: its promise settles with
    /// [`Failure::Aborted`]. If somebody does want it, this is as dropping the job.
    ///
    /// For processors that give up what [`Context::is_cancelled`] is true of.
    pub fn abort(mut self) {
        if !self.context().is_cancelled() {
            return;
        }
        if let Some(begun) = self.begun.take() {
            let outcome = Err(Failure::Aborted);
            self.desk.end(begun, outcome, Ending::Aborted, None);
        }
    }

    /// Gives the request back, for it has not been begun after all: it is the next one that a worker takes, this one or
    /// another. If nobody wants it any more, its promise settles with [`Failure::Aborted`].
    ///
    /// For processors that send requests elsewhere ahead of need, and take back what was not begun there. How long it has
    /// waited is counted anew.
    pub fn give_back(mut self) {
        if let Some(begun) = self.begun.take() {
            self.desk.give_back(begun);
        }
    }

    /// Has the request begun once more, by this worker or another, because whatever had begun it was lost: as
    /// [`give_back`](Self::give_back), and [`Context::attempt`] is one more from now on.
    ///
    /// Only for requests that may be processed twice.
    pub fn retry(self) {
        // ORDERING: relaxed; the queue's lock hands it to the worker that takes the request.
        let attempts = self.entry().run.attempts();
        attempts.fetch_add(1, Ordering::Relaxed);
        self.give_back();
    }

    /// Ends the request without an output, and says why there is none: its promise settles with
    /// [`Failure::WorkerLost`]. A job that is dropped does the same, for [`Loss::Dropped`].
    pub fn lose(mut self, loss: Loss) {
        if let Some(begun) = self.begun.take() {
            let outcome = Err(Failure::WorkerLost(loss));
            self.desk.end(begun, outcome, Ending::Dropped, None);
        }
    }

    /// Ends the request without an output, because it was begun `starts` times and no worker has survived it: its promise
    /// settles with [`Failure::Poisoned`].
    pub fn poison(mut self, starts: u32) {
        if let Some(begun) = self.begun.take() {
            let outcome = Err(Failure::Poisoned { starts });
            self.desk.end(begun, outcome, Ending::Dropped, None);
        }
    }

    /// Whether equal requests may share its run.
    #[cfg(feature = "nats")]
    pub(crate) fn is_shared(&self) -> bool {
        self.entry().run.reading().is_listed()
    }

    /// Whether nobody wants its output any more; if not, `waker` is woken when that is so, or earlier.
    #[cfg(any(feature = "nats", feature = "process"))]
    pub(crate) fn poll_cancelled(&self, waker: &Waker) -> bool {
        let mut cancelled = self.context().cancelled();
        let polled = Pin::new(&mut cancelled).poll(&mut task::Context::from_waker(waker));
        // It stays among the subscribers until the run ends.
        cancelled.stay();
        polled.is_ready()
    }

    /// What it stands for.
    #[cfg(any(feature = "async", feature = "nats", feature = "process"))]
    pub(crate) fn into_begun(mut self) -> Option<Begun<R, T>> {
        self.begun.take()
    }

    /// Ends it with the panic that came instead of an output, which does the processor no harm.
    #[cfg(any(feature = "async", feature = "process"))]
    pub(crate) fn panicked(mut self, panic: Panic) {
        if let Some(begun) = self.begun.take() {
            self.desk.panicked(begun, panic, None);
        }
    }

    /// Calls `f` as a part of processing this, where that is traced.
    #[cfg(feature = "async")]
    pub(crate) fn in_scope<U>(&self, f: impl FnOnce() -> U) -> U {
        self.entry().trace.in_scope(f)
    }

    fn entry(&self) -> &Entry<R, T> {
        let begun = self.begun.as_ref();
        &begun
            .expect("a job has its run until it ends, which consumes the job")
            .entry
    }
}

impl<R, T> Drop for Job<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            let outcome = Err(Failure::WorkerLost(self.desk.loss()));
            self.desk.end(begun, outcome, Ending::Dropped, None);
        }
    }
}

impl<R, T> fmt::Debug for Job<R, T>
where
    R: Hash + Eq + Send + Sync + fmt::Debug + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("request", self.request())
            .field("worker", &self.desk.record.id)
            .finish()
    }
}
