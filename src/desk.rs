//! Where a worker works: how what it has begun is processed, and how it ends.

use std::hash::Hash;

use crate::context::Context;
use crate::counters::Tally;
use crate::dispatcher::{Dispatcher, Entry};
use crate::ending::Notes;
use crate::error::Failure;
use crate::held::HeldPlace;
use crate::loss::Loss;
use crate::panic::{Panic, catch, discard};
use crate::record::{Ending, WorkerRecord};
use crate::status::WorkerId;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// What a worker and its jobs share.
pub(crate) struct Desk<R, T> {
    pub(crate) home: Arc<Dispatcher<R, T>>,
    pub(crate) record: Arc<WorkerRecord>,
}

/// A run that a worker has begun, and that it has to end.
#[must_use = "somebody waits for its end"]
pub(crate) struct Begun<R, T> {
    pub(crate) entry: Arc<Entry<R, T>>,
    /// Where the worker has noted that it holds this.
    pub(crate) place: HeldPlace,
    /// The line of workers that it was assigned to.
    pub(crate) line: Option<WorkerId>,
}

impl<R, T> Desk<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// What the processor may know of the circumstances of a run.
    pub(crate) fn context<'a>(&'a self, entry: &'a Entry<R, T>) -> Context<'a> {
        Context {
            state: entry.run.state_word(),
            subscribers: entry.run.subscribers(),
            worker: self.record.id,
            deadline: &self.home.deadline,
            attempts: entry.run.attempts(),
        }
    }

    /// Why what its processor drops has no output.
    pub(crate) fn loss(&self) -> Loss {
        let Self { home, record } = self;
        // ORDERING: SeqCst, as where these are set; here it is told to nobody but a reader.
        match (record.is_lost(), home.is_abandoned.load(Ordering::SeqCst)) {
            (true, _) => Loss::Killed,
            (false, true) => Loss::Abandoned,
            (false, false) => Loss::Dropped,
        }
    }

    /// Calls `process` with the request, and ends the run with what it returns, or with its panic.
    #[inline]
    pub(crate) fn process(
        &self,
        begun: Begun<R, T>,
        process: impl FnOnce(&R, &Context<'_>) -> T,
        notes: Notes<'_, R, T>,
    ) {
        let entry = &*begun.entry;
        let processed = catch(|| {
            let context = self.context(entry);
            entry
                .trace
                .in_scope(|| process(entry.run.request(), &context))
        });
        match processed {
            Ok(output) => self.settle(begun, output, notes),
            Err(panic) => {
                self.record.spoil();
                self.panicked(begun, panic, notes);
            }
        }
    }

    /// Ends a run with the panic that came instead of an output.
    pub(crate) fn panicked(&self, begun: Begun<R, T>, panic: Panic, notes: Notes<'_, R, T>) {
        let outcome = Err(Failure::Panicked(panic));
        self.end(begun, outcome, Ending::Panicked, notes);
    }

    /// Ends a run with an output.
    #[inline]
    pub(crate) fn settle(&self, begun: Begun<R, T>, output: T, notes: Notes<'_, R, T>) {
        let ending = if self.home.is_failure(&output) {
            Ending::FailedOutput
        } else {
            Ending::Output
        };
        self.end(begun, Ok(output), ending, notes);
    }

    /// Puts a run that was not begun after all back into the queue, where it is the next one. If nobody wants it any more, it
    /// is aborted.
    pub(crate) fn give_back(&self, begun: Begun<R, T>) {
        let Self { home, record } = self;
        // It takes up room again, before anybody can take it.
        home.take_place_anyway();
        if !begun.entry.run.give_back(record.id, begun.line) {
            home.give_back_place();
            return self.end(begun, Err(Failure::Aborted), Ending::Aborted, None);
        }
        record.held.release(begun.place);
        home.put_back((begun.entry, None));
        record.count(Ending::Dropped);
        home.queue.finished(record);
    }

    /// Ends a run.
    #[inline]
    pub(crate) fn end(
        &self,
        Begun { entry, place, .. }: Begun<R, T>,
        outcome: Result<T, Failure>,
        ending: Ending,
        notes: Notes<'_, R, T>,
    ) {
        let Self { home, record } = self;
        let ended = entry.run.state_word().finish();
        if ended.is_none() || matches!(ending, Ending::Aborted | Ending::Dropped) {
            record.count(Ending::Dropped);
        }
        let tally = match ending {
            Ending::Aborted => Tally::Aborted(Some(record)),
            Ending::Dropped => Tally::WorkerLost(Some(record)),
            ending => Tally::By(record, ending),
        };
        match ended {
            Some(ended) => home.end_running(entry, ended, outcome, tally, notes),
            // It was given up, and settled by whoever did that.
            None => discard((entry, outcome)),
        }
        record.held.release(place);
        home.queue.finished(record);
    }
}
