//! What is kept of one worker while it works: its figures, and what it has been told.
//!
//! A worker writes its own record and nobody else's, so keeping it costs no contention. Whoever reads it reads
//! atomics, and stops nobody.

use std::fmt;
use std::task::Waker;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::figures;
use crate::held::Held;
use crate::loss::Loss;
use crate::panic::catch;
use crate::spares::Spares;
use crate::status::{ProcessStatus, RequestStatus, WorkerId, WorkerState, WorkerStatus};
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, now};
use crate::usage;
use crate::wakers::wake_all;

/// One worker's record.
#[derive(Debug)]
pub(crate) struct WorkerRecord {
    pub(crate) id: WorkerId,
    /// The first of the workers of which each took the place of the one before.
    pub(crate) line: WorkerId,
    pub(crate) name: Arc<str>,
    born: Instant,
    /// Of a spare worker: how many are needed.
    spares: Option<Arc<Spares>>,
    figures: CachePadded<Figures>,
    /// Beside the figures, on lines of the worker's own too.
    pub(crate) held: CachePadded<Held>,
    /// Who wants to know when what the worker has is given up: where it drives futures, its thread or task.
    listener: Mutex<Option<Waker>>,
    keeper: Mutex<Keeper>,
    /// The id of the process that does its work; 0: there is none.
    process: AtomicU32,
}

/// What is called when all that a worker has is given up.
#[derive(Default)]
struct Keeper(Option<Arc<GiveUp>>);

pub(crate) type GiveUp = dyn Fn(Loss) + Send + Sync;

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&self.0.is_some()).finish()
    }
}

/// ORDERING: relaxed, but where `held` is read or written. The figures are counts that nobody acts on.
#[derive(Debug, Default)]
struct Figures {
    /// Jobs that were handed to this worker. Written under the queue's lock only.
    handed: AtomicU64,
    /// Those of them that are over, their callbacks too.
    finished: AtomicU64,
    outputs: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    /// Jobs that ended without either.
    dropped: AtomicU64,
    respawns: AtomicU64,
    /// Nanoseconds of busy periods that are over.
    busy: AtomicU64,
    /// Twice the nanosecond, since `born`, at which the present period began, plus 1 if it is a busy one.
    period: AtomicU64,
    /// Whether it has a processor.
    is_ready: AtomicBool,
    /// Whether its processor is to be made anew.
    is_spoilt: AtomicBool,
    /// Whether it is to leave, whether it was given up, with all it has, and whether there is mail for its processor:
    /// bits, so that one look at them, for each request, tells that there is none of these.
    called: AtomicU8,
    /// The hash of the request that it began last.
    last_hash: AtomicU32,
}

/// Bits of `Figures::called`.
const RETIRED: u8 = 1;
const MAIL: u8 = 2;
const LOST: u8 = 4;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Output,
    FailedOutput,
    Panicked,
    /// Nobody wanted its output any more.
    Aborted,
    /// Without an outcome of its own.
    Dropped,
}

impl WorkerRecord {
    pub(crate) fn new(id: WorkerId, name: Arc<str>) -> Self {
        Self {
            id,
            line: id,
            name,
            born: now(),
            spares: None,
            figures: CachePadded::default(),
            held: CachePadded::default(),
            listener: Mutex::default(),
            keeper: Mutex::default(),
            process: AtomicU32::new(0),
        }
    }

    /// The record of the worker that takes the place of a lost one.
    pub(crate) fn heir(&self, id: WorkerId) -> Self {
        let heir = Self {
            line: self.line,
            ..Self::new(id, Arc::clone(&self.name))
        };
        let respawns = self.figures.respawns.load(Ordering::Relaxed);
        heir.figures.respawns.store(respawns, Ordering::Relaxed);
        heir
    }

    /// The record of a worker that stands in for those that wait.
    pub(crate) fn spare(id: WorkerId, name: Arc<str>, spares: Arc<Spares>) -> Self {
        Self {
            spares: Some(spares),
            ..Self::new(id, name)
        }
    }

    pub(crate) fn is_spare(&self) -> bool {
        self.spares.is_some()
    }

    /// Whether it is a spare worker that is not needed at the moment, and so is to do nothing.
    #[inline]
    pub(crate) fn is_superfluous(&self) -> bool {
        let spares = self.spares.as_ref();
        spares.is_some_and(|spares| spares.are_too_many()) && !self.is_retired()
    }

    /// Waits while it is a spare worker that is not needed; after a while, it is to leave.
    #[inline]
    pub(crate) fn linger(&self) {
        if self.is_superfluous()
            && let Some(spares) = &self.spares
            && spares.linger()
        {
            self.retire();
        }
    }

    /// A job goes to this worker. To be called under the queue's lock, so that no job is between the two.
    #[inline]
    pub(crate) fn hand(&self) {
        // ORDERING: written under one lock only, so no other write can come between load and store. Release
        // and the lock let `held` see it.
        let handed = self.figures.handed.load(Ordering::Relaxed);
        self.figures.handed.store(handed + 1, Ordering::Release);
    }

    /// A job is over.
    #[inline]
    pub(crate) fn finish(&self) {
        // ORDERING: SeqCst, against `Queue::watchers`: see `Queue::finished`.
        self.figures.finished.fetch_add(1, Ordering::SeqCst);
    }

    /// How many jobs it has. Exact under the queue's lock, except that it may be about to fall.
    pub(crate) fn held(&self) -> usize {
        // ORDERING: SeqCst, see `finish`. `finished` is read first, so that the difference is never negative.
        let finished = self.figures.finished.load(Ordering::SeqCst);
        let handed = self.figures.handed.load(Ordering::Acquire);
        usize::try_from(handed.saturating_sub(finished)).unwrap_or(usize::MAX)
    }

    /// How many of its jobs have not settled: of those it holds, those whose callbacks do not run yet.
    pub(crate) fn running(&self) -> usize {
        // Read in this order the difference may be too small for a moment, never too large.
        let handed = self.figures.handed.load(Ordering::Acquire);
        let dropped = self.figures.dropped.load(Ordering::Relaxed);
        let ended = self.outputs() + self.panicked() + dropped;
        usize::try_from(handed.saturating_sub(ended)).unwrap_or(usize::MAX)
    }

    #[inline]
    pub(crate) fn count(&self, ending: Ending) {
        let add = |figure: &AtomicU64| figure.fetch_add(1, Ordering::Relaxed);
        match ending {
            Ending::Output => add(&self.figures.outputs),
            Ending::FailedOutput => {
                add(&self.figures.failed);
                add(&self.figures.outputs)
            }
            Ending::Panicked => add(&self.figures.panicked),
            Ending::Aborted | Ending::Dropped => add(&self.figures.dropped),
        };
    }

    pub(crate) fn outputs(&self) -> u64 {
        self.figures.outputs.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.figures.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn panicked(&self) -> u64 {
        self.figures.panicked.load(Ordering::Relaxed)
    }

    /// The worker has nothing to do from now on.
    pub(crate) fn rest(&self) {
        let now = self.nanos();
        let (since, was_busy) = self.period();
        if was_busy {
            self.figures
                .busy
                .fetch_add(now.saturating_sub(since), Ordering::Relaxed);
        }
        self.figures.period.store(now << 1, Ordering::Release);
    }

    /// The worker has something to do from now on. Gives the time, if it had nothing before.
    #[inline]
    pub(crate) fn work(&self) -> Option<u64> {
        if !figures::ARE_KEPT || self.period().1 {
            return None;
        }
        let now = self.nanos();
        self.figures.period.store((now << 1) | 1, Ordering::Release);
        Some(now)
    }

    pub(crate) fn set_ready(&self, is_ready: bool) {
        self.figures.is_ready.store(is_ready, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.figures.is_ready.load(Ordering::Relaxed)
    }

    /// The processor may be in any state: a request panicked in it.
    pub(crate) fn spoil(&self) {
        // ORDERING: release, and acquire in `is_spoilt`: whoever makes the processor anew sees what the job
        // that spoilt it did.
        self.figures.is_spoilt.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_spoilt(&self) -> bool {
        self.figures.is_spoilt.load(Ordering::Acquire)
    }

    /// The worker is to leave; false if it was to before.
    pub(crate) fn retire(&self) -> bool {
        // ORDERING: the queue's lock, taken next by whoever retires a worker, and by the worker when it looks for
        // an item, orders this.
        self.figures.called.fetch_or(RETIRED, Ordering::AcqRel) & RETIRED == 0
    }

    /// Whether it is to leave, or has mail.
    #[inline]
    pub(crate) fn is_called(&self) -> bool {
        self.figures.called.load(Ordering::Acquire) != 0
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.figures.called.load(Ordering::Acquire) & RETIRED != 0
    }

    /// The worker is given up; false if it was before.
    pub(crate) fn lose(&self) -> bool {
        // ORDERING: SeqCst, see `StateWord`. Lost and retired in one step, for what is assigned to a worker that is
        // retired and not lost goes to others, and one that is lost and not retired would ask for more.
        self.figures
            .called
            .fetch_or(LOST | RETIRED, Ordering::SeqCst)
            & LOST
            == 0
    }

    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.figures.called.load(Ordering::SeqCst) & LOST != 0
    }

    /// Has `waker` woken by [`rouse`](Self::rouse).
    pub(crate) fn listen(&self, waker: &Waker) {
        if let Some(known) = &*self.listener.lock()
            && known.will_wake(waker)
        {
            return;
        }
        let waker = waker.clone();
        let unused = self.listener.lock().replace(waker);
        // LOCK: released above; what is dropped here is foreign.
        drop(unused);
    }

    /// Nobody listens any more.
    pub(crate) fn stop_listening(&self) {
        let unused = self.listener.lock().take();
        drop(unused);
    }

    /// Who is told that what the worker has is given up, before it is settled.
    pub(crate) fn set_keeper(&self, keeper: Option<Arc<GiveUp>>) {
        let unused = std::mem::replace(&mut *self.keeper.lock(), Keeper(keeper));
        // LOCK: released above; what is dropped here is foreign.
        drop(unused);
    }

    /// Tells that one.
    pub(crate) fn tell_keeper(&self, loss: Loss) {
        let keeper = self.keeper.lock().0.clone();
        if let Some(keeper) = keeper {
            // Foreign, and called on the thread of whoever gives the worker up. What it leaves undone is done next.
            let _ = catch(|| keeper(loss));
        }
    }

    /// What the worker has is given up, and was said to be before this.
    pub(crate) fn rouse(&self) {
        let woken = self.listener.lock().take();
        // LOCK: released above, before anybody is woken.
        wake_all(woken);
    }

    /// There is mail for the worker's processor, or no longer.
    pub(crate) fn set_mail(&self, has_mail: bool) {
        // ORDERING: as in `retire`; and the mail itself is under a lock of its own.
        if has_mail {
            self.figures.called.fetch_or(MAIL, Ordering::AcqRel);
        } else {
            self.figures.called.fetch_and(!MAIL, Ordering::AcqRel);
        }
    }

    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.figures.called.load(Ordering::Acquire) & MAIL != 0
    }

    /// The worker is about to begin a request with this hash.
    #[inline]
    pub(crate) fn note_hash(&self, hash: u32) {
        // ORDERING: the step of the run's state word, which comes next, releases it.
        self.figures.last_hash.store(hash, Ordering::Relaxed);
    }

    pub(crate) fn last_hash(&self) -> u32 {
        self.figures.last_hash.load(Ordering::Acquire)
    }

    /// The processor has been made anew.
    pub(crate) fn respawned(&self) {
        self.figures.is_spoilt.store(false, Ordering::Release);
        self.figures.respawns.fetch_add(1, Ordering::Relaxed);
    }

    /// How this worker is. `assigned`: how many requests wait for it alone.
    pub(crate) fn status(&self, assigned: usize) -> WorkerStatus {
        let state = match (self.is_ready(), self.held()) {
            (_, 1..) => WorkerState::Busy,
            (true, 0) => WorkerState::Idle,
            (false, 0) => WorkerState::Starting,
        };
        // One reading of the clock for all three, so that busy and idle time add up to the uptime.
        let now = self.nanos();
        let uptime = Duration::from_nanos(now);
        let busy = self.busy_until(now).min(uptime);
        WorkerStatus {
            id: self.id,
            name: self.name.to_string(),
            state,
            uptime,
            busy,
            idle: uptime - busy,
            processed: self.outputs(),
            failed: self.failed(),
            panicked: self.panicked(),
            respawns: self.figures.respawns.load(Ordering::Relaxed),
            assigned,
            requests: self.requests(now),
            process: self.process(),
        }
    }

    /// Another process does the worker's work from now on, or, with 0, none does.
    #[cfg(feature = "process")]
    pub(crate) fn set_process(&self, id: u32) {
        // ORDERING: relaxed; it is told to readers of the status only.
        self.process.store(id, Ordering::Relaxed);
    }

    fn process(&self) -> Option<ProcessStatus> {
        match self.process.load(Ordering::Relaxed) {
            0 => None,
            id => Some(usage::of_process(id)),
        }
    }

    fn requests(&self, now: u64) -> Vec<RequestStatus> {
        let all = self.held.all().into_iter();
        let requests = all.map(|held| RequestStatus {
            id: held.id,
            running: Duration::from_nanos(now.saturating_sub(held.since)),
        });
        requests.collect()
    }

    fn busy_until(&self, now: u64) -> Duration {
        // A period that ends between the two loads would be counted twice or not at all: read again then.
        let mut period = self.figures.period.load(Ordering::Acquire);
        loop {
            let over = self.figures.busy.load(Ordering::Acquire);
            let again = self.figures.period.load(Ordering::Acquire);
            if period == again {
                let running = if period & 1 == 1 {
                    now.saturating_sub(period >> 1)
                } else {
                    0
                };
                return Duration::from_nanos(over + running);
            }
            period = again;
        }
    }

    #[inline]
    fn period(&self) -> (u64, bool) {
        let period = self.figures.period.load(Ordering::Relaxed);
        (period >> 1, period & 1 == 1)
    }

    /// Nanoseconds since it was started.
    pub(crate) fn nanos(&self) -> u64 {
        u64::try_from(now().saturating_duration_since(self.born).as_nanos())
            .unwrap_or(u64::MAX >> 1)
    }
}
