//! What waits: for any worker, in the inbox and then in a lane, and for each worker in a lane of its own.
//!
//! A worker takes from its own lane and from the shared one in turn where both have something, so that neither
//! starves. What was assigned to a worker that is told to leave moves to the head of the shared lane; what was
//! assigned to one that is given up stays, for the worker that takes its place.

use std::time::Instant;

use crate::inbox::Inbox;
use crate::lane::{Lane, Placed};
use crate::record::WorkerRecord;
use crate::status::WorkerId;
use crate::sync::Arc;

/// Something that may have to be done by one worker.
pub(crate) trait Assigned: Placed {
    /// The line of workers whose turn it is; `None`: any worker may take it.
    fn line(&self) -> Option<WorkerId>;
    /// From now on any worker may take it.
    fn release(&self);
}

/// All lanes of a service, kept under the queue's lock, but for the inbox, which has its own.
#[derive(Debug)]
pub(crate) struct Lanes<I> {
    inbox: Arc<Inbox<I>>,
    /// What came before all that is in the inbox.
    shared: Lane<I>,
    /// The workers that are served, in the order in which they came.
    seats: Vec<Seat<I>>,
    /// How many wait in lanes of their workers. None, as a rule, and then nobody looks there.
    assigned: usize,
}

/// A worker that is served.
#[derive(Debug)]
struct Seat<I> {
    worker: Arc<WorkerRecord>,
    own: Lane<I>,
    /// Whether the worker's last one was from its own lane.
    took_own: bool,
}

/// An item that was taken, and when it came, as far as the lane knows.
pub(crate) type Taken<I> = (I, Option<Instant>);

impl<I: Assigned> Lanes<I> {
    pub(crate) fn new(inbox: Arc<Inbox<I>>) -> Self {
        Self {
            inbox,
            shared: Lane::new(),
            seats: Vec::new(),
            assigned: 0,
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.shared_len() + self.assigned
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait for whoever comes.
    pub(crate) fn shared_len(&self) -> usize {
        self.shared.len() + self.inbox.len()
    }

    /// Whether there is surely something for whoever comes; the inbox is not looked at.
    pub(crate) fn has_more(&self) -> bool {
        !self.shared.is_empty()
    }

    /// How many wait for this worker alone.
    pub(crate) fn own_len(&self, id: WorkerId) -> usize {
        self.own(id).map_or(0, Lane::len)
    }

    /// Whether there is something that this worker may take.
    pub(crate) fn has_for(&self, id: WorkerId) -> bool {
        self.shared_len() > 0 || (self.assigned > 0 && self.own_len(id) > 0)
    }

    /// Puts an item in that was assigned to a worker; `now`, where the caller has the time at hand. Gives the worker
    /// whose it is; `None`, if that one is gone, so that any worker may take it.
    pub(crate) fn push(&mut self, item: I, now: Option<Instant>) -> Option<WorkerId> {
        let Some(seat) = self.seat_to_fill(&item) else {
            self.inbox.push_accepted(item, now);
            return None;
        };
        seat.own.push(item, now);
        Some(seat.worker.id)
    }

    /// Puts an item back where it was taken from. Gives the worker whose alone it is.
    pub(crate) fn push_front(&mut self, (item, came): Taken<I>) -> Option<WorkerId> {
        let Some(seat) = self.seat_to_fill(&item) else {
            self.shared.push_front(item, came);
            return None;
        };
        seat.own.push_front(item, came);
        Some(seat.worker.id)
    }

    /// The next item for a worker.
    pub(crate) fn pop(&mut self, id: WorkerId) -> Option<Taken<I>> {
        if self.shared.is_empty() {
            self.inbox.swap(&mut self.shared);
        }
        if self.assigned > 0
            && let Some(seat) = self.seats.iter_mut().find(|seat| seat.worker.id == id)
        {
            seat.took_own = !seat.own.is_empty() && (!seat.took_own || self.shared.is_empty());
            if seat.took_own {
                self.assigned -= 1;
                return seat.own.pop();
            }
        }
        self.shared.pop()
    }

    /// The next item that was assigned to a worker.
    pub(crate) fn pop_own(&mut self, id: WorkerId) -> Option<Taken<I>> {
        let mut seats = self.seats.iter_mut();
        let taken = seats.find(|seat| seat.worker.id == id)?.own.pop();
        self.assigned -= usize::from(taken.is_some());
        taken
    }

    /// Takes `item` out, wherever it stands; `None` where it is in no lane. When it came is looked up if
    /// somebody wants to know.
    pub(crate) fn remove(&mut self, item: &I, wants_time: bool) -> Option<Taken<I>> {
        let Some(line) = item.line() else {
            let removed = self.shared.remove_timed(item, wants_time);
            return removed.or_else(|| self.inbox.remove(item, wants_time));
        };
        let mut seats = self.seats.iter_mut();
        let seat = seats.find(|seat| seat.worker.line == line)?;
        let removed = seat.own.remove_timed(item, wants_time)?;
        self.assigned -= 1;
        Some(removed)
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<I> {
        let mut items = self.shared.drain();
        items.extend(self.inbox.drain());
        let own = self.seats.iter_mut().flat_map(|seat| seat.own.drain());
        items.extend(own);
        self.assigned = 0;
        items
    }

    /// When the oldest of all items came.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let own = self.seats.iter().filter_map(|seat| seat.own.oldest());
        own.chain(self.shared.oldest())
            .chain(self.inbox.oldest())
            .min()
    }

    /// Serves a worker, from now on.
    pub(crate) fn seat(&mut self, worker: Arc<WorkerRecord>) {
        self.seats.push(Seat {
            worker,
            own: Lane::new(),
            took_own: false,
        });
    }

    /// Serves `heir` in the place of a worker that was given up, with what was assigned to that one. False: it is
    /// not served.
    pub(crate) fn succeed(&mut self, lost: WorkerId, heir: Arc<WorkerRecord>) -> bool {
        let mut seats = self.seats.iter_mut();
        let seat = seats.find(|seat| seat.worker.id == lost);
        seat.map(|seat| seat.worker = heir).is_some()
    }

    /// Serves a worker no longer. Gives how many items others may take now.
    pub(crate) fn unseat(&mut self, id: WorkerId) -> usize {
        let released = self.release(id);
        self.seats.retain(|seat| seat.worker.id != id);
        released
    }

    /// Lets others take what was assigned to a worker. Gives how many items these are.
    pub(crate) fn release(&mut self, id: WorkerId) -> usize {
        let mut seats = self.seats.iter_mut();
        let Some(seat) = seats.find(|seat| seat.worker.id == id) else {
            return 0;
        };
        let own = std::mem::replace(&mut seat.own, Lane::new());
        let released = own.len();
        own.iter().for_each(|item| item.release());
        self.assigned -= released;
        self.shared.prepend(own);
        released
    }

    /// The workers that are served, in the order in which they came.
    pub(crate) fn workers(&self) -> impl ExactSizeIterator<Item = &Arc<WorkerRecord>> {
        self.seats.iter().map(|seat| &seat.worker)
    }

    /// The workers to which something was assigned that they have not taken.
    pub(crate) fn assigned_workers(&self) -> impl Iterator<Item = WorkerId> {
        let assigned = self.seats.iter().filter(|seat| !seat.own.is_empty());
        assigned.map(|seat| seat.worker.id)
    }

    fn own(&self, id: WorkerId) -> Option<&Lane<I>> {
        let mut seats = self.seats.iter();
        let seat = seats.find(|seat| seat.worker.id == id);
        seat.map(|seat| &seat.own)
    }

    /// The seat of the worker that an item was assigned to, which is put in its lane next. An item for a worker that is
    /// gone, or is about to leave, is for all; one for a worker that was given up waits for the next of its line.
    fn seat_to_fill(&mut self, item: &I) -> Option<&mut Seat<I>> {
        let line = item.line()?;
        let mut seats = self.seats.iter_mut();
        let seat = seats.find(|seat| {
            seat.worker.line == line && (!seat.worker.is_retired() || seat.worker.is_lost())
        });
        match &seat {
            Some(_) => self.assigned += 1,
            None => item.release(),
        }
        seat
    }
}
