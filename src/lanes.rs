//! What waits: for any worker, in the inbox, then in a lane, then perhaps in a worker's hand; and for each worker in a
//! lane of its own.
//!
//! A worker takes from its own lane and from the shared one in turn where both have something, so that neither
//! starves. One whose jobs are short takes several of the shared lane into its hand. They go back to the head of that
//! lane when another worker finds nothing else, or has come back for more twice while this one has not.
//!
//! What was assigned to a worker that is told to leave moves to the head of the shared lane; what was
//! assigned to one that is given up stays, for the worker that takes its place.

use std::time::Instant;

use crate::hand::{Hand, Taken};
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
    /// Whether a worker's turn, its own lane or the shared one, may have to be looked at, or noted.
    has_turns: bool,
    /// How many hands may have something in them.
    filled: usize,
    /// Counts how often workers that use their hands came for more.
    turns: u64,
}

/// A worker that is served.
#[derive(Debug)]
struct Seat<I> {
    worker: Arc<WorkerRecord>,
    own: Lane<I>,
    /// Whether the worker's last one was from its own lane.
    took_own: bool,
    hand: Arc<Hand<I>>,
    /// Whether something was put into the hand. Somebody may have taken it since.
    is_filled: bool,
    /// The worker's last turn.
    turn: u64,
}

impl<I: Assigned> Lanes<I> {
    pub(crate) fn new(inbox: Arc<Inbox<I>>) -> Self {
        Self {
            inbox,
            shared: Lane::new(),
            seats: Vec::new(),
            assigned: 0,
            has_turns: false,
            filled: 0,
            turns: 0,
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
        self.hands().map(Hand::len).sum::<usize>() + self.shared.len() + self.inbox.len()
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

    /// The next item for a worker that has nothing in its hand, which is to have so many at most, with this one.
    pub(crate) fn pop(&mut self, id: WorkerId, most: usize) -> Option<Taken<I>> {
        if self.shared.is_empty() {
            self.inbox.swap(&mut self.shared);
        }
        if !self.has_turns && self.filled == 0 && most == 1 {
            return self.shared.pop();
        }
        let Some(index) = self.seats.iter().position(|seat| seat.worker.id == id) else {
            return self.shared.pop();
        };
        self.begin_turn(index);
        let seat = &mut self.seats[index];
        seat.took_own = !seat.own.is_empty() && (!seat.took_own || self.shared.is_empty());
        if seat.took_own {
            self.assigned -= 1;
            return seat.own.pop();
        }
        let has_own = !seat.own.is_empty();
        if self.has_turns {
            self.has_turns = self.assigned > 0 || self.seats.iter().any(|seat| seat.took_own);
        }
        let taken = self.shared.pop()?;
        if !has_own {
            self.fill(index, most - 1);
        }
        Some(taken)
    }

    /// A worker comes for more: puts back what it has not begun, what has waited in another hand since before the last
    /// time that it came, and all that is in hands where nothing else is left.
    fn begin_turn(&mut self, index: usize) {
        let before = self.seats[index].turn;
        self.turns += 1;
        self.seats[index].turn = self.turns;
        if self.filled == 0 {
            return;
        }
        let needs_all = self.shared.is_empty();
        for other in 0..self.seats.len() {
            let seat = &self.seats[other];
            if needs_all || other == index || seat.turn < before {
                self.empty_hand(other);
            }
        }
    }

    /// Puts up to `n` items into a worker's hand, and fewer where others have to do as much.
    fn fill(&mut self, index: usize, n: usize) {
        let n = n.min(self.shared.len() / self.seats.len());
        if n > 0 {
            let seat = &mut self.seats[index];
            seat.hand.fill((0..n).map_while(|_| self.shared.pop()));
            seat.is_filled = true;
            self.filled += 1;
        }
    }

    /// Puts back into the shared lane what is in a worker's hand. Gives how many items these are.
    fn empty_hand(&mut self, index: usize) -> usize {
        let seat = &mut self.seats[index];
        if !seat.is_filled {
            return 0;
        }
        seat.is_filled = false;
        self.filled -= 1;
        let items = seat.hand.drain();
        let emptied = items.len();
        for (item, came) in items.into_iter().rev() {
            self.shared.push_front(item, came);
        }
        emptied
    }

    /// Puts back what is in all hands.
    pub(crate) fn empty_hands(&mut self) {
        (0..self.seats.len()).for_each(|index| _ = self.empty_hand(index));
    }

    /// The hand of a worker that is served.
    pub(crate) fn hand_of(&self, id: WorkerId) -> Option<Arc<Hand<I>>> {
        let mut seats = self.seats.iter();
        let seat = seats.find(|seat| seat.worker.id == id)?;
        Some(Arc::clone(&seat.hand))
    }

    /// The hands that may have something in them.
    fn hands(&self) -> impl Iterator<Item = &Hand<I>> {
        // As a rule there are none, and then nobody looks for them.
        let seats = if self.filled > 0 {
            &self.seats[..]
        } else {
            &[]
        };
        let filled = seats.iter().filter(|seat| seat.is_filled);
        filled.map(|seat| &*seat.hand)
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
            return removed
                .or_else(|| self.inbox.remove(item, wants_time))
                .or_else(|| self.hands().find_map(|hand| hand.remove(item)));
        };
        let mut seats = self.seats.iter_mut();
        let seat = seats.find(|seat| seat.worker.line == line)?;
        let removed = seat.own.remove_timed(item, wants_time)?;
        self.assigned -= 1;
        Some(removed)
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<I> {
        self.empty_hands();
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
        own.chain(self.hands().filter_map(Hand::oldest))
            .chain(self.shared.oldest())
            .chain(self.inbox.oldest())
            .min()
    }

    /// Serves a worker, from now on.
    pub(crate) fn seat(&mut self, worker: Arc<WorkerRecord>) {
        self.seats.push(Seat {
            worker,
            own: Lane::new(),
            took_own: false,
            hand: Arc::new(Hand::new()),
            is_filled: false,
            turn: 0,
        });
    }

    /// Serves `heir` in the place of a worker that was given up, with what was assigned to that one. False: it is
    /// not served.
    pub(crate) fn succeed(&mut self, lost: WorkerId, heir: Arc<WorkerRecord>) -> bool {
        let Some(index) = self.seats.iter().position(|seat| seat.worker.id == lost) else {
            return false;
        };
        self.empty_hand(index);
        let seat = &mut self.seats[index];
        seat.worker = heir;
        // The lost worker still knows the old one.
        seat.hand = Arc::new(Hand::new());
        true
    }

    /// Serves a worker no longer. Gives how many items others may take now.
    pub(crate) fn unseat(&mut self, id: WorkerId) -> usize {
        let released = self.release(id);
        self.seats.retain(|seat| seat.worker.id != id);
        released
    }

    /// Lets others take what was assigned to a worker, and what it has in its hand. Gives how many items these are.
    pub(crate) fn release(&mut self, id: WorkerId) -> usize {
        let Some(index) = self.seats.iter().position(|seat| seat.worker.id == id) else {
            return 0;
        };
        let seat = &mut self.seats[index];
        let own = std::mem::replace(&mut seat.own, Lane::new());
        let released = own.len();
        own.iter().for_each(|item| item.release());
        self.assigned -= released;
        self.shared.prepend(own);
        released + self.empty_hand(index)
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
        let is_wanted = |seat: &Seat<I>| {
            seat.worker.line == line && (!seat.worker.is_retired() || seat.worker.is_lost())
        };
        let Some(index) = self.seats.iter().position(is_wanted) else {
            item.release();
            return None;
        };
        self.assigned += 1;
        self.has_turns = true;
        // From now on it takes turns between its own lane and the shared one.
        self.empty_hand(index);
        Some(&mut self.seats[index])
    }
}
