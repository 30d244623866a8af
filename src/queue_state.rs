//! What the queue's lock protects: lanes, gate, sleepers, and who waits for idleness.
//!
//! Methods that have somebody woken give the wakers out, for whoever holds the lock to wake once it is released.

use std::task::Waker;
use std::time::Instant;

use crate::hand::Taken;
use crate::idle::{IdleWatchers, Idleness};
use crate::inbox::{Gate, Inbox};
use crate::lanes::{Assigned, Lanes};
use crate::record::WorkerRecord;
use crate::sleepers::Sleepers;
use crate::status::WorkerId;
use crate::sync::Arc;

/// The queue, but for its lock.
#[derive(Debug)]
pub(crate) struct QueueState<I> {
    pub(crate) lanes: Lanes<I>,
    inbox: Arc<Inbox<I>>,
    /// As the inbox has it; changed under both locks.
    gate: Gate,
    is_paused: bool,
    /// Whether the inbox knows that somebody is to be woken for what comes in.
    calls: bool,
    pub(crate) sleepers: Sleepers,
    /// How many workers wait inside a request.
    pub(crate) waiting: usize,
    pub(crate) idle: IdleWatchers,
}

/// What a worker found.
pub(crate) enum Popped<I> {
    Item(Taken<I>),
    /// Nothing at the moment.
    Nothing,
    /// Something other than an item: there is mail for its processor.
    Mail,
    /// Nothing but what the worker already has, and a drain waits for that: it is to finish it.
    Finish,
    /// Nothing, for good: the queue is closed, or the worker is to leave.
    Closed,
}

/// How the queue is, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueStatus {
    pub(crate) queued: usize,
    /// When the oldest item came.
    pub(crate) oldest: Option<Instant>,
    pub(crate) is_paused: bool,
}

impl<I: Assigned> QueueState<I> {
    pub(crate) fn new(inbox: Arc<Inbox<I>>, is_paused: bool) -> Self {
        Self {
            lanes: Lanes::new(Arc::clone(&inbox)),
            inbox,
            gate: Gate::Open,
            is_paused,
            calls: false,
            sleepers: Sleepers::default(),
            waiting: 0,
            idle: IdleWatchers::default(),
        }
    }

    pub(crate) fn status(&self) -> QueueStatus {
        QueueStatus {
            queued: self.lanes.len(),
            oldest: self.lanes.oldest(),
            is_paused: self.is_paused,
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        self.gate
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(crate) fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
        self.inbox.set_gate(gate);
    }

    pub(crate) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
        if is_paused {
            self.lanes.empty_hands();
        }
        self.note_calls();
    }

    /// Has the inbox call for whoever sleeps, or no longer. To be called when somebody falls asleep, under the lock; a
    /// call too many does no harm. True: something came just before, and is to be looked at.
    pub(crate) fn note_calls(&mut self) -> bool {
        let calls = !self.is_paused && !self.sleepers.is_empty();
        if calls == self.calls {
            // Whoever puts something in and was told to call waits for this lock.
            return false;
        }
        self.calls = calls;
        self.inbox.set_calls(calls) && calls
    }

    /// The worker finds something, or sleeps; and who else is to be woken. Gives back a waker that is not needed.
    pub(crate) fn pop_or_sleep(
        &mut self,
        worker: &WorkerRecord,
        most: usize,
        waker: Waker,
    ) -> (Popped<I>, Vec<Waker>, Option<Waker>) {
        let (mut popped, mut woken) = self.pop(worker, most);
        let mut unused = Some(waker);
        if let (Popped::Nothing, Some(waker)) = (&popped, unused.take()) {
            unused = self.sleepers.sleep(worker.id, waker);
            if self.note_calls() {
                let (again, others) = self.pop(worker, most);
                popped = again;
                woken.extend(others);
            }
        }
        if !matches!(popped, Popped::Nothing) {
            unused = unused.or(self.sleepers.take(worker.id));
        }
        (popped, woken, unused)
    }

    /// Whether there is something that this worker may look for.
    pub(crate) fn is_ready(&self, worker: &WorkerRecord) -> bool {
        let has_items = !self.is_paused && self.lanes.has_for(worker.id);
        has_items || self.gate == Gate::Closed || worker.is_called()
    }

    /// What a worker that looks for something finds, and who else is to be woken. `most`: how many it is to have at
    /// most, what it finds and what it gets into its hand.
    pub(crate) fn pop(&mut self, worker: &WorkerRecord, most: usize) -> (Popped<I>, Vec<Waker>) {
        if worker.is_called() {
            let popped = if worker.is_retired() {
                Popped::Closed
            } else {
                Popped::Mail
            };
            // It may have been woken for an item that it does not take.
            return (popped, self.take_other_sleeper().into_iter().collect());
        }
        if self.is_paused {
            return (Popped::Nothing, Vec::new());
        }
        let popped = self.hand(worker, |lanes| lanes.pop(worker.id, most));
        if matches!(popped, Popped::Item(_)) {
            return (popped, Vec::new());
        }
        match self.gate {
            Gate::Open => (Popped::Nothing, Vec::new()),
            Gate::Draining if worker.held() > 0 => (Popped::Finish, Vec::new()),
            Gate::Draining => {
                let woken = self.rouse();
                let popped = if self.gate == Gate::Closed {
                    Popped::Closed
                } else {
                    Popped::Nothing
                };
                (popped, woken)
            }
            Gate::Closed => (Popped::Closed, Vec::new()),
        }
    }

    /// Hands a worker what `take` finds for it.
    pub(crate) fn hand(
        &mut self,
        worker: &WorkerRecord,
        take: impl FnOnce(&mut Lanes<I>) -> Option<Taken<I>>,
    ) -> Popped<I> {
        match take(&mut self.lanes) {
            Some(taken) => {
                worker.hand();
                Popped::Item(taken)
            }
            None => Popped::Nothing,
        }
    }

    /// Whether no worker can take an item, and none is likely to: those that wait do not before others are done.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.sleepers.hopeless() + self.waiting >= self.lanes.workers().len()
    }

    /// The worker to wake for an item that has come in: its owner, or anybody.
    pub(crate) fn take_sleeper_for(&mut self, owner: Option<WorkerId>) -> Option<Waker> {
        match owner {
            None => self.take_sleeper(),
            Some(_) if self.is_paused => None,
            Some(id) => {
                let waker = self.sleepers.take(id);
                waker.or_else(|| self.sleepers.rouse_broken(id))
            }
        }
    }

    /// A worker to wake for an item that any worker may take.
    pub(crate) fn take_sleeper(&mut self) -> Option<Waker> {
        if self.is_paused {
            return None;
        }
        match self.sleepers.take_next() {
            Some(waker) => Some(waker),
            None if self.sleepers.hopeless() == 0 || !self.is_hopeless() => None,
            None => self.sleepers.rouse_all_broken().next(),
        }
    }

    /// Workers to wake for so many items.
    pub(crate) fn take_sleepers(&mut self, n: usize) -> Vec<Waker> {
        (0..n).map_while(|_| self.take_sleeper()).collect()
    }

    /// A worker to wake in the place of one that was woken and takes nothing.
    pub(crate) fn take_other_sleeper(&mut self) -> Option<Waker> {
        if self.lanes.shared_len() > 0 {
            self.take_sleeper()
        } else {
            None
        }
    }

    pub(crate) fn resume(&mut self) -> Vec<Waker> {
        self.set_paused(false);
        let owners: Vec<_> = self.lanes.assigned_workers().collect();
        let owners = owners.into_iter();
        let mut woken: Vec<_> = owners
            .filter_map(|id| self.take_sleeper_for(Some(id)))
            .collect();
        woken.extend(self.take_sleepers(self.lanes.shared_len()));
        woken
    }

    /// Takes out those who are to know that nothing is left to do, where that is so; a drain ends then.
    pub(crate) fn rouse(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        let all = Idleness {
            of: None,
            except: None,
        };
        // The inbox is looked at last, and closed in the same step: what has been let in is in it by then.
        let ends =
            self.gate == Gate::Draining && is_idle(&self.lanes, all) && self.inbox.close_if_empty();
        if ends {
            self.gate = Gate::Closed;
            woken = self.sleepers.take_all();
        }
        let lanes = &self.lanes;
        self.idle
            .take_if(&mut woken, |wanted| is_idle(lanes, wanted));
        woken
    }

    /// Whether there is nothing left to do, where that is asked.
    pub(crate) fn is_idle(&self, wanted: Idleness) -> bool {
        is_idle(&self.lanes, wanted)
    }
}

/// No item can move from a lane to a worker meanwhile, for that needs the lock: so once all the counts were seen
/// to be low, they are.
fn is_idle<I: Assigned>(lanes: &Lanes<I>, wanted: Idleness) -> bool {
    let has_nothing =
        |worker: &Arc<WorkerRecord>| Some(worker.id) == wanted.except || worker.held() == 0;
    match wanted.of {
        None => lanes.is_empty() && lanes.workers().all(has_nothing),
        Some(id) => {
            lanes.own_len(id) == 0
                && lanes
                    .workers()
                    .filter(|worker| worker.id == id)
                    .all(has_nothing)
        }
    }
}
