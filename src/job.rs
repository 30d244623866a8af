//! One request in a worker's hands.

use std::fmt;
use std::hash::Hash;

use crate::context::Context;
use crate::desk::{Begun, Desk};
use crate::dispatcher::Entry;
use crate::error::Failure;
use crate::record::Ending;
use crate::sync::Arc;

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
            let outcome = Err(Failure::WorkerLost);
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
