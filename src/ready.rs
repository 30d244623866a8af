//! What a promise set is told: the keys of its members that have settled, in that order.

use std::collections::VecDeque;
use std::task::Waker;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use crate::wakers::{Wakers, wake_all};

/// A queue of settled members' keys. Workers announce, the set's owner takes.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Whether there is something to take, or somebody who waits. Written under the lock.
    is_busy: AtomicBool,
    announced: Mutex<Announced>,
}

#[derive(Debug, Default)]
struct Announced {
    keys: VecDeque<u32>,
    waiting: Wakers,
}

/// The same queue, as a set's members hold it: each of a few dozen shares one of these. Were it one for all, those
/// who insert and those who settle would count at the same place, and take its memory from each other each time.
#[derive(Debug)]
pub(crate) struct Announcer(Arc<Ready>);

impl Announcer {
    pub(crate) fn of(ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self(Arc::clone(ready)))
    }

    pub(crate) fn is_of_the_set_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The members under `keys` have settled. True: somebody waited for that.
    #[inline]
    pub(crate) fn announce(&self, keys: impl IntoIterator<Item = u32>) -> bool {
        self.0.announce(keys)
    }
}

impl Ready {
    /// The members under `keys` have settled. True: somebody waited for that.
    #[inline]
    pub(crate) fn announce(&self, keys: impl IntoIterator<Item = u32>) -> bool {
        let mut announced = self.announced.lock();
        announced.keys.extend(keys);
        let woken = announced.waiting.take();
        self.is_busy.store(true, Ordering::Relaxed);
        // LOCK: released before anybody is woken.
        drop(announced);
        let has_woken = !woken.is_empty();
        wake_all(woken);
        has_woken
    }

    /// Whether nothing is to be taken and nobody waits.
    ///
    /// ORDERING: relaxed. What was announced before, in an order that somebody knows of, is seen here by that order;
    /// of what is announced at the same time, either may come first. Who waits took his place under the lock of the
    /// set's members, which whoever asks here holds.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        !self.is_busy.load(Ordering::Relaxed)
    }

    /// Gives all that have settled to `keys`, which is empty: so whoever takes them one by one meets those who
    /// announce only once in a while.
    #[inline]
    pub(crate) fn take_all(&self, keys: &mut VecDeque<u32>) {
        if self.is_quiet() {
            return;
        }
        let mut announced = self.announced.lock();
        std::mem::swap(&mut announced.keys, keys);
        self.is_busy
            .store(!announced.waiting.is_empty(), Ordering::Relaxed);
    }

    /// The same, or a place among those who wait, under `place`. Gives back a waker that is not needed.
    pub(crate) fn take_all_or_wait(
        &self,
        keys: &mut VecDeque<u32>,
        place: &mut Option<u64>,
        waker: Waker,
    ) -> Option<Waker> {
        let mut announced = self.announced.lock();
        if announced.keys.is_empty() {
            self.is_busy.store(true, Ordering::Relaxed);
            return announced.waiting.register(place, waker);
        }
        std::mem::swap(&mut announced.keys, keys);
        Some(waker)
    }

    /// Gives up a place. There is no wake-up to pass on: an announcement wakes everybody.
    pub(crate) fn leave(&self, place: Option<u64>) {
        let unused = place.and_then(|place| self.announced.lock().waiting.remove(place));
        // LOCK: released above, before the waker is dropped.
        drop(unused);
    }

    /// Wakes everybody who waits: there may be nothing left to wait for.
    pub(crate) fn wake_all(&self) {
        let woken = self.announced.lock().waiting.take();
        wake_all(woken);
    }
}
