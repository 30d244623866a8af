//! What a service counts beside its workers' own records.

use crate::event::Outcome;
use crate::record::{Ending, WorkerRecord};
use crate::status::{Settled, WorkerId};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};

/// ORDERING: relaxed throughout; these are counts that nobody acts on.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    aborted: AtomicU64,
    worker_lost: AtomicU64,
    stopped: AtomicU64,
    callback_panics: AtomicU64,
    roll: Mutex<Roll>,
}

/// The workers there are, and what those did that are no longer.
#[derive(Debug, Default)]
struct Roll {
    present: Vec<Arc<WorkerRecord>>,
    /// Spare ones, which are not listed.
    spare: Vec<Arc<WorkerRecord>>,
    /// Those that were given up, and whose threads have not ended.
    lost: Vec<Arc<WorkerRecord>>,
    departed: Settled,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tally<'a> {
    By(&'a WorkerRecord, Ending),
    /// Before it began, or by the worker that had begun it.
    Aborted(Option<&'a WorkerRecord>),
    /// With its worker, or because there was none.
    WorkerLost(Option<&'a WorkerRecord>),
    Stopped,
}

impl<'a> Tally<'a> {
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::By(_, Ending::Output) => Outcome::Output,
            Self::By(_, Ending::FailedOutput) => Outcome::Failed,
            Self::By(_, Ending::Panicked) => Outcome::Panicked,
            Self::By(_, Ending::Dropped) | Self::WorkerLost(_) => Outcome::WorkerLost,
            Self::Aborted(_) | Self::By(_, Ending::Aborted) => Outcome::Aborted,
            Self::Stopped => Outcome::Stopped,
        }
    }

    /// Who had the run.
    pub(crate) fn worker(self) -> Option<&'a WorkerRecord> {
        match self {
            Self::By(worker, _) => Some(worker),
            Self::WorkerLost(worker) | Self::Aborted(worker) => worker,
            Self::Stopped => None,
        }
    }

    /// Whether it gave an output that is no failure.
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::By(_, Ending::Output))
    }
}

impl Counters {
    #[inline]
    pub(crate) fn count(&self, tally: Tally<'_>) {
        let counter = match tally {
            Tally::By(worker, ending) => return worker.count(ending),
            Tally::Aborted(_) => &self.aborted,
            Tally::WorkerLost(_) => &self.worker_lost,
            Tally::Stopped => &self.stopped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn callbacks_panicked(&self, panics: u64) {
        if panics > 0 {
            self.callback_panics.fetch_add(panics, Ordering::Relaxed);
        }
    }

    pub(crate) fn now_callback_panics(&self) -> u64 {
        self.callback_panics.load(Ordering::Relaxed)
    }

    /// A worker has begun.
    pub(crate) fn arrive(&self, worker: Arc<WorkerRecord>) {
        let mut roll = self.roll.lock();
        if worker.is_spare() {
            roll.spare.push(worker);
        } else {
            roll.present.push(worker);
        }
    }

    /// A worker is given up: it is not listed any more, and what it did is counted on.
    pub(crate) fn lose(&self, id: WorkerId) {
        let mut roll = self.roll.lock();
        let lost = take(&mut roll.present, id);
        roll.lost.extend(lost);
    }

    /// A worker's thread is at its end.
    pub(crate) fn depart(&self, id: WorkerId) {
        let mut roll = self.roll.lock();
        let departed = take(&mut roll.present, id)
            .or_else(|| take(&mut roll.lost, id))
            .or_else(|| take(&mut roll.spare, id));
        if let Some(worker) = departed {
            add(&mut roll.departed, &worker);
        }
    }

    /// Has spare workers that drive futures look up.
    pub(crate) fn rouse_spares(&self) {
        let spare = self.roll.lock().spare.clone();
        // LOCK: released above, before anybody is woken.
        spare.iter().for_each(|worker| worker.rouse());
    }

    pub(crate) fn settled(&self) -> Settled {
        let roll = self.roll.lock();
        let mut settled = roll.departed;
        let all = roll.present.iter().chain(&roll.lost).chain(&roll.spare);
        all.for_each(|worker| add(&mut settled, worker));
        settled.aborted = self.aborted.load(Ordering::Relaxed);
        settled.worker_lost = self.worker_lost.load(Ordering::Relaxed);
        settled.stopped = self.stopped.load(Ordering::Relaxed);
        settled
    }

    /// The workers that have not come to their end, in the order in which they began.
    pub(crate) fn present(&self) -> Vec<Arc<WorkerRecord>> {
        self.roll.lock().present.clone()
    }
}

fn take(workers: &mut Vec<Arc<WorkerRecord>>, id: WorkerId) -> Option<Arc<WorkerRecord>> {
    let index = workers.iter().position(|worker| worker.id == id)?;
    Some(workers.remove(index))
}

fn add(settled: &mut Settled, worker: &WorkerRecord) {
    settled.failed += worker.failed();
    settled.outputs += worker.outputs();
    settled.panicked += worker.panicked();
}
