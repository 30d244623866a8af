//! What a promise set is told: the keys of its members that have settled, in that order.

use std::collections::VecDeque;
use std::task::Waker;

use crate::sync::Mutex;
use crate::wakers::{Wakers, wake_all};

/// A queue of settled members' keys. Workers announce, the set's owner takes.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Announced>);

#[derive(Debug, Default)]
struct Announced {
    keys: VecDeque<u32>,
    waiting: Wakers,
}

impl Ready {
    /// The member under `key` has settled.
    pub(crate) fn announce(&self, key: u32) {
        let mut announced = self.0.lock();
        announced.keys.push_back(key);
        let woken = announced.waiting.take();
        // LOCK: released before anybody is woken.
        drop(announced);
        wake_all(woken);
    }

    /// Gives all that have settled to `keys`, which is empty: so whoever takes them one by one meets those who
    /// announce only once in a while.
    pub(crate) fn take_all(&self, keys: &mut VecDeque<u32>) {
        std::mem::swap(&mut self.0.lock().keys, keys);
    }

    /// The same, or a place among those who wait, under `place`. Gives back a waker that is not needed.
    pub(crate) fn take_all_or_wait(
        &self,
        keys: &mut VecDeque<u32>,
        place: &mut Option<u64>,
        waker: Waker,
    ) -> Option<Waker> {
        let mut announced = self.0.lock();
        if announced.keys.is_empty() {
            return announced.waiting.register(place, waker);
        }
        std::mem::swap(&mut announced.keys, keys);
        Some(waker)
    }

    /// Gives up a place. There is no wake-up to pass on: an announcement wakes everybody.
    pub(crate) fn leave(&self, place: Option<u64>) {
        let unused = place.and_then(|place| self.0.lock().waiting.remove(place));
        // LOCK: released above, before the waker is dropped.
        drop(unused);
    }

    /// Wakes everybody who waits: there may be nothing left to wait for.
    pub(crate) fn wake_all(&self) {
        let woken = self.0.lock().waiting.take();
        wake_all(woken);
    }
}
