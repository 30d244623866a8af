//! Where callers put what any worker may take.
//!
//! Callers and workers would meet at every item if they shared one lane. So callers push into the inbox, under a lock
//! of its own, and workers take from another lane, under the queue's lock; when that is empty, the two lanes are
//! swapped. The order stays that of arrival, and callers and workers meet once in a while.
//!
//! Where items come about as fast as they are done, they would still meet at almost each, and both be slower for it. So
//! a worker whose jobs are short lets a few gather before it comes for more, for less than a microsecond. But not where
//! somebody has waited for an outcome, and may put in the next item because of it, and not where only one came since
//! the last time.
//!
//! The inbox's lock is the innermost: whoever holds the queue's may take it, and nothing is called under it.

use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::blocking::others_can_run;
use crate::lane::{Lane, Placed};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicI32, Ordering};

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
pub(crate) struct Inbox<I> {
    incoming: CachePadded<Mutex<Incoming<I>>>,
    /// For how many nanoseconds items are to gather. Below zero: so often, they are not to, whatever comes. `None`: nobody
    /// can put anything in while a worker looks on.
    lull: Option<CachePadded<AtomicI32>>,
}

#[derive(Debug)]
struct Incoming<I> {
    lane: Lane<I>,
    gate: Gate,
    /// Whether somebody sleeps who is to be woken for what comes in.
    calls: bool,
}

/// In nanoseconds; about what it takes to put in four items.
const LONGEST_LULL: i32 = 800;
const SHORTEST_LULL: i32 = 100;
/// Once somebody has waited, there is none for so many times.
const PATIENCE: i32 = 64;
/// So few at a time are too few,
const FEW: usize = 16;
/// and so many more than need be.
const MANY: usize = 128;

/// How long items are to gather from now on, where `found` had come since the last time.
fn next_lull(lull: i32, found: usize) -> i32 {
    match found {
        _ if lull < 0 => lull + 1,
        0 | 1 => 0,
        ..FEW => (2 * lull).clamp(SHORTEST_LULL, LONGEST_LULL),
        FEW..MANY => lull,
        MANY.. => lull / 2,
    }
}

impl<I: Placed> Inbox<I> {
    pub(crate) fn new() -> Self {
        let incoming = Incoming {
            lane: Lane::new(),
            gate: Gate::Open,
            calls: false,
        };
        Self {
            incoming: CachePadded::new(Mutex::new(incoming)),
            lull: others_can_run().then(CachePadded::default),
        }
    }

    /// Puts an item in, and says whether somebody is to be woken for it; gives it back where the gate does not let it
    /// through.
    #[inline]
    pub(crate) fn push(&self, item: I, is_inside: bool, now: Option<Instant>) -> Result<bool, I> {
        let mut incoming = self.incoming.lock();
        if !incoming.gate.lets_in(is_inside) {
            return Err(item);
        }
        incoming.lane.push(item, now);
        Ok(incoming.calls)
    }

    /// Puts an item in that was let in before.
    pub(crate) fn push_accepted(&self, item: I, now: Option<Instant>) {
        self.incoming.lock().lane.push(item, now);
    }

    /// Gives all that is here for `lane`, which is empty.
    #[inline]
    pub(crate) fn swap(&self, lane: &mut Lane<I>) {
        std::mem::swap(&mut self.incoming.lock().lane, lane);
        // ORDERING: relaxed, here and below: it is no more than a hint, and of two that write it at a time either may win.
        if let Some(lull) = &self.lull {
            let before = lull.load(Ordering::Relaxed);
            let next = next_lull(before, lane.len());
            if next != before {
                lull.store(next, Ordering::Relaxed);
            }
        }
    }

    /// For how long items are to gather.
    #[inline]
    pub(crate) fn lull(&self) -> Option<Duration> {
        let lull = self.lull.as_ref()?.load(Ordering::Relaxed);
        let nanos = u64::try_from(lull).ok().filter(|lull| *lull > 0);
        nanos.map(Duration::from_nanos)
    }

    /// Somebody waited for an outcome.
    #[inline]
    pub(crate) fn do_not_gather(&self) {
        // Not written each time, for others look at it all the time.
        if let Some(lull) = &self.lull
            && lull.load(Ordering::Relaxed) > -PATIENCE / 2
        {
            lull.store(-PATIENCE, Ordering::Relaxed);
        }
    }

    /// Takes `item` out; `None` where it is not here.
    pub(crate) fn remove(&self, item: &I, wants_time: bool) -> Option<(I, Option<Instant>)> {
        self.incoming.lock().lane.remove_timed(item, wants_time)
    }

    pub(crate) fn len(&self) -> usize {
        self.incoming.lock().lane.len()
    }

    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.incoming.lock().lane.oldest()
    }

    /// From now on somebody sleeps who is to be woken, or nobody does. Gives whether something is here that came
    /// before.
    pub(crate) fn set_calls(&self, calls: bool) -> bool {
        let mut incoming = self.incoming.lock();
        incoming.calls = calls;
        !incoming.lane.is_empty()
    }

    pub(crate) fn set_gate(&self, gate: Gate) {
        self.incoming.lock().gate = gate;
    }

    /// Lets nothing in any more, if nothing is here.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut incoming = self.incoming.lock();
        let is_empty = incoming.lane.is_empty();
        if is_empty {
            incoming.gate = Gate::Closed;
        }
        is_empty
    }

    /// Takes everything out.
    pub(crate) fn drain(&self) -> Vec<I> {
        self.incoming.lock().lane.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_gather_only_where_a_few_come_at_a_time() {
        let after = |found: &[usize]| {
            let next = |lull, found: &usize| next_lull(lull, *found);
            found.iter().fold(0, next)
        };
        assert_eq!(
            (0..PATIENCE).fold(-PATIENCE, |lull, _| next_lull(lull, 2)),
            0
        );
        assert_eq!(after(&[1, 1, 1]), 0);
        assert_eq!(after(&[2]), SHORTEST_LULL);
        assert_eq!(after(&[2; 20]), LONGEST_LULL);
        assert_eq!(after(&[2, 2, FEW]), 2 * SHORTEST_LULL);
        assert_eq!(after(&[2, 2, MANY]), SHORTEST_LULL);
        assert_eq!(after(&[2, 2, 2, 1]), 0);
    }

    struct Item;

    impl Placed for Item {
        fn place(&self, _: u32) {}
        fn position(&self) -> u32 {
            0
        }
        fn is_same(&self, _: &Self) -> bool {
            false
        }
    }

    #[test]
    fn nothing_gathers_for_a_while_once_somebody_has_waited() {
        let inbox = Inbox {
            // As where there is more than one processor.
            lull: Some(CachePadded::default()),
            ..Inbox::new()
        };
        let swap_few = || {
            (0..2).for_each(|_| inbox.push_accepted(Item, None));
            inbox.swap(&mut Lane::new());
            inbox.lull()
        };
        assert!(swap_few().is_some());
        inbox.do_not_gather();
        assert!((0..PATIENCE).all(|_| swap_few().is_none()));
        assert!(swap_few().is_some());
    }
}
