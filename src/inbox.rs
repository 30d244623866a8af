//! Where callers put what any worker may take.
//!
//! Callers and workers would meet at every item if they shared one lane. So callers push into the inbox, under a lock
//! of its own, and workers take from another lane, under the queue's lock; when that is empty, the two lanes are
//! swapped. The order stays that of arrival, and callers and workers meet once in a while.
//!
//! The inbox's lock is the innermost: whoever holds the queue's may take it, and nothing is called under it.

use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::lane::{Lane, Placed};
use crate::sync::Mutex;

/// What may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Only what comes from a worker or a callback of the service, which have to finish what they began.
    Draining,
    Closed,
}

impl Gate {
    pub(crate) fn lets_in(self, is_inside: bool) -> bool {
        match self {
            Self::Open => true,
            Self::Draining => is_inside,
            Self::Closed => false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inbox<I>(CachePadded<Mutex<Incoming<I>>>);

#[derive(Debug)]
struct Incoming<I> {
    lane: Lane<I>,
    gate: Gate,
    /// Whether somebody sleeps who is to be woken for what comes in.
    calls: bool,
}

impl<I: Placed> Inbox<I> {
    pub(crate) fn new() -> Self {
        Self(CachePadded::new(Mutex::new(Incoming {
            lane: Lane::new(),
            gate: Gate::Open,
            calls: false,
        })))
    }

    /// Puts an item in, and says whether somebody is to be woken for it; gives it back where the gate does not let it
    /// through.
    #[inline]
    pub(crate) fn push(&self, item: I, is_inside: bool, now: Option<Instant>) -> Result<bool, I> {
        let mut incoming = self.0.lock();
        if !incoming.gate.lets_in(is_inside) {
            return Err(item);
        }
        incoming.lane.push(item, now);
        Ok(incoming.calls)
    }

    /// Puts an item in that was let in before.
    pub(crate) fn push_accepted(&self, item: I, now: Option<Instant>) {
        self.0.lock().lane.push(item, now);
    }

    /// Gives all that is here for `lane`, which is empty.
    #[inline]
    pub(crate) fn swap(&self, lane: &mut Lane<I>) {
        std::mem::swap(&mut self.0.lock().lane, lane);
    }

    /// Takes `item` out; `None` where it is not here.
    pub(crate) fn remove(&self, item: &I, wants_time: bool) -> Option<(I, Option<Instant>)> {
        self.0.lock().lane.remove_timed(item, wants_time)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().lane.len()
    }

    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.0.lock().lane.oldest()
    }

    /// From now on somebody sleeps who is to be woken, or nobody does. Gives whether something is here that came
    /// before.
    pub(crate) fn set_calls(&self, calls: bool) -> bool {
        let mut incoming = self.0.lock();
        incoming.calls = calls;
        !incoming.lane.is_empty()
    }

    pub(crate) fn set_gate(&self, gate: Gate) {
        self.0.lock().gate = gate;
    }

    /// Lets nothing in any more, if nothing is here.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut incoming = self.0.lock();
        let is_empty = incoming.lane.is_empty();
        if is_empty {
            incoming.gate = Gate::Closed;
        }
        is_empty
    }

    /// Takes everything out.
    pub(crate) fn drain(&self) -> Vec<I> {
        self.0.lock().lane.drain()
    }
}
