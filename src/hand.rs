//! What a worker has taken from the shared lane and not begun.
//!
//! Workers would meet at the shared lane at every item. So one whose jobs are short takes several at a time into its
//! hand, under a lock that it has almost to itself. What is there waits as before: it can be aborted, and others take
//! it back as soon as they have nothing else to do, or the worker turns out to be held up.
//!
//! The lock of a hand is taken under the queue's, or alone, and nothing is called under it.

use std::collections::VecDeque;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::lane::Placed;
use crate::record::WorkerRecord;
use crate::sync::Mutex;

/// An item that was taken, and when it came, as far as the lane knows.
pub(crate) type Taken<I> = (I, Option<Instant>);

/// The hand of one worker.
#[derive(Debug)]
pub(crate) struct Hand<I>(CachePadded<Mutex<VecDeque<Taken<I>>>>);

impl<I: Placed> Hand<I> {
    pub(crate) fn new() -> Self {
        Self(CachePadded::new(Mutex::new(VecDeque::new())))
    }

    /// The next item, for the worker whose hand it is.
    #[inline]
    pub(crate) fn take(&self, worker: &WorkerRecord) -> Option<Taken<I>> {
        let mut items = self.0.lock();
        let taken = items.pop_front()?;
        // LOCK: under the hand's, so that whoever finds the hand empty finds the worker busy.
        worker.hand();
        Some(taken)
    }

    /// Puts items in. To be called under the queue's lock.
    #[inline]
    pub(crate) fn fill(&self, items: impl Iterator<Item = Taken<I>>) {
        self.0.lock().extend(items);
    }

    /// Takes everything out.
    pub(crate) fn drain(&self) -> VecDeque<Taken<I>> {
        let mut items = self.0.lock();
        if items.is_empty() {
            // As a rule: then its memory is kept for the next ones.
            return VecDeque::new();
        }
        std::mem::take(&mut *items)
    }

    /// Takes `item` out; `None` where it is not here. There are never many.
    pub(crate) fn remove(&self, item: &I) -> Option<Taken<I>> {
        let mut items = self.0.lock();
        let index = items.iter().position(|(one, _)| one.is_same(item))?;
        items.remove(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// When the first item came.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.0.lock().front().and_then(|(_, came)| *came)
    }
}
