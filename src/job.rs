//! One request in a worker's hands.

use std::fmt;
use std::hash::Hash;

use crate::context::Context;
use crate::counters::Tally;
use crate::dispatcher::{Dispatcher, Entry};
use crate::error::Failure;
use crate::held::HeldPlace;
use crate::panic::{catch, discard};
use crate::record::{Ending, WorkerRecord};
use crate::sync::Arc;

/// What a worker and its jobs share.
pub(crate) struct Desk<R, T> {
    pub(crate) home: Arc<Dispatcher<R, T>>,
    pub(crate) record: Arc<WorkerRecord>,
}

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
    entry: Option<Arc<Entry<R, T>>>,
    /// Where the worker has noted that it holds this.
    place: HeldPlace,
    desk: Arc<Desk<R, T>>,
}

impl<R, T> Job<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(entry: Arc<Entry<R, T>>, place: HeldPlace, desk: Arc<Desk<R, T>>) -> Self {
        Self {
            entry: Some(entry),
            place,
            desk,
        }
    }

    /// What is to be processed.
    pub fn request(&self) -> &R {
        self.entry().run.request()
    }

    /// What the processor may know of its circumstances.
    pub fn context(&self) -> Context<'_> {
        Context {
            state: self.entry().run.state_word(),
            worker: self.desk.record.id,
            deadline: &self.desk.home.deadline,
        }
    }

    /// Gives the output to everybody who asked for it. Callbacks run here, on the calling thread.
    ///
    /// If the run was given up in the meantime, the output is dropped.
    pub fn settle(mut self, output: T) {
        let is_failure = self.desk.home.is_failure(&output);
        let ending = if is_failure {
            Ending::FailedOutput
        } else {
            Ending::Output
        };
        self.end(Ok(output), ending);
    }

    /// Calls `process` with the request, and settles with what it returns, or with its panic.
    ///
    /// After a panic [`Jobs::next`](crate::Jobs::next) gives `None`, so that the worker's processor, which may
    /// be in any state, is made anew.
    pub fn process(mut self, process: impl FnOnce(&R, &Context<'_>) -> T) {
        let processed = catch(|| {
            let trace = &self.entry().trace;
            trace.in_scope(|| process(self.request(), &self.context()))
        });
        match processed {
            Ok(output) => self.settle(output),
            Err(panic) => {
                self.desk.record.spoil();
                self.end(Err(Failure::Panicked(panic)), Ending::Panicked);
            }
        }
    }

    fn entry(&self) -> &Arc<Entry<R, T>> {
        self.entry
            .as_ref()
            .expect("a job has its run until it ends, which consumes the job")
    }

    fn end(&mut self, outcome: Result<T, Failure>, ending: Ending) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        let Desk { home, record } = &*self.desk;
        let ended = entry.run.state_word().finish();
        if ended.is_none() || ending == Ending::Dropped {
            record.count(Ending::Dropped);
        }
        match (ended, ending) {
            (Some(ended), Ending::Dropped) => {
                home.end_running(entry, ended, outcome, Tally::WorkerLost(Some(record)))
            }
            (Some(ended), ending) => {
                home.end_running(entry, ended, outcome, Tally::By(record, ending))
            }
            // It was given up, and settled by whoever did that.
            (None, _) => discard((entry, outcome)),
        }
        record.held.release(self.place);
        home.queue.finished(record);
    }
}

impl<R, T> Drop for Job<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.end(Err(Failure::WorkerLost), Ending::Dropped);
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
