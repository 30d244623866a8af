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

/// A queue that has shrunk to a quarter of its memory gives half of it back, but none below this.
const KEEP: usize = 1024;

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

    /// The member that settled next.
    pub(crate) fn take(&self) -> Option<u32> {
        self.0.lock().take()
    }

    /// The member that settled next, or a place among those who wait for it, under `place`.
    pub(crate) fn take_or_wait(&self, place: &mut Option<u64>, waker: &Waker) -> Option<u32> {
        let waker = waker.clone();
        let mut announced = self.0.lock();
        let taken = announced.take();
        let unused = match taken {
            Some(_) => Some(waker),
            None => announced.waiting.register(place, waker),
        };
        // LOCK: released before a waker, which is foreign code, is dropped.
        drop(announced);
        drop(unused);
        taken
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

impl Announced {
    fn take(&mut self) -> Option<u32> {
        let key = self.keys.pop_front()?;
        let capacity = self.keys.capacity();
        if capacity > KEEP && self.keys.len() < capacity / 4 {
            self.keys.shrink_to(capacity / 2);
        }
        Some(key)
    }
}
