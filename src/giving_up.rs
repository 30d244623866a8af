//! How runs end that no worker ends: a shutdown discards or abandons them, or their worker is given up.

use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::blocking::deadline_after;
use crate::counters::Tally;
use crate::dispatcher::{Dispatcher, Entry};
use crate::error::Failure;
use crate::hand::Taken;
use crate::in_flight::KeyHash;
use crate::loss::Loss;
use crate::panic::discard;
use crate::record::WorkerRecord;
use crate::state::Phase;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// Who ends a run writes its outcome at once; for so long at most it is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

impl<R, T> Dispatcher<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Refuses new requests, but those from inside; closes when nothing is left.
    pub(crate) fn drain(&self) {
        self.queue.drain();
        self.close_room();
    }

    /// Refuses all requests, and settles what is queued.
    pub(crate) fn close(&self) {
        let mut queued = self.queue.close();
        self.close_room();
        queued.extend(self.parked.drain());
        for entry in queued {
            if entry.run.state_word().withdraw() {
                self.end_queued(&entry, Failure::Stopped);
            }
            discard(entry);
        }
    }

    fn close_room(&self) {
        if let Some(room) = &self.room {
            room.close();
        }
    }

    /// Gives up everything that runs, and whatever is between the queue and a worker.
    pub(crate) fn abandon(&self) {
        let workers = self.queue.seats();
        // ORDERING: SeqCst, as with a worker that is lost. Workers that drive futures drop them.
        self.is_abandoned.store(true, Ordering::SeqCst);
        workers.iter().for_each(|worker| {
            worker.rouse();
            worker.tell_keeper(Loss::Abandoned);
        });
        let mut others = Vec::new();
        for entry in self.in_flight.collect(|_| true) {
            if entry.run.state_word().withdraw() {
                self.end_queued(&entry, Failure::Stopped);
                discard(entry);
            } else if let Some(ended) = entry.run.state_word().finish() {
                let id = entry.run.worker();
                let worker = workers.iter().find(|worker| Some(worker.id) == id);
                let tally = Tally::WorkerLost(worker.map(Arc::as_ref));
                self.end_running(
                    entry,
                    ended,
                    Err(Failure::WorkerLost(Loss::Abandoned)),
                    tally,
                    None,
                );
            } else {
                others.push(entry);
            }
        }
        // What others end at this moment is settled a few lines further on: their workers may have been told before this.
        let deadline = deadline_after(PATIENCE);
        for entry in others {
            entry.run.wait_until_settled(deadline);
            discard(entry);
        }
    }

    /// Gives up what a worker runs. It has been lost, so it begins nothing more.
    pub(crate) fn give_up(&self, worker: &WorkerRecord) {
        for entry in self.running_with(worker) {
            if let Some(ended) = entry.run.state_word().finish() {
                let tally = Tally::WorkerLost(Some(worker));
                self.end_running(
                    entry,
                    ended,
                    Err(Failure::WorkerLost(Loss::Killed)),
                    tally,
                    None,
                );
            }
        }
    }

    /// Puts back a run that a worker was given and did not begin.
    pub(crate) fn put_back(&self, taken: Taken<Arc<Entry<R, T>>>) {
        if let Err(refused) = self.queue.put_back(taken)
            && refused.run.state_word().withdraw()
        {
            self.end_queued(&refused, Failure::Stopped);
            discard(refused);
        }
    }

    /// When the drain that goes on gives up.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.lock() = deadline;
    }

    /// What a worker runs.
    pub(crate) fn running_with(&self, worker: &WorkerRecord) -> Vec<Arc<Entry<R, T>>> {
        let is_its = |entry: &Entry<R, T>| {
            entry.run.worker() == Some(worker.id) && entry.run.reading().phase() == Phase::Running
        };
        // As a rule it runs one, the one that it began last. Only one that runs several needs a look at everything.
        let held = worker.held();
        if held == 0 {
            return Vec::new();
        }
        let hash = KeyHash(worker.last_hash());
        let last = (held == 1).then(|| self.in_flight.find(hash, is_its));
        match last.flatten() {
            Some(last) => vec![last],
            None => self.in_flight.collect(is_its),
        }
    }
}
