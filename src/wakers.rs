//! A list of wakers waiting for one event.

use std::task::Waker;

use crate::panic::catch;

/// Who is to be woken; kept inside the mutex of what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    /// Serial number and waker of each. Serial numbers are never reused, so a waiter that was woken and looks
    /// for its old entry cannot find that of another.
    waiting: Vec<(u64, Waker)>,
    next: u64,
}

impl Wakers {
    /// Registers `waker` under `key`, or under a new key, which it stores there. Gives back a waker that is
    /// no longer needed, to be dropped outside the lock.
    pub(crate) fn register(&mut self, key: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        if let Some((_, slot)) = self
            .waiting
            .iter_mut()
            .find(|(serial, _)| Some(*serial) == *key)
        {
            return Some(std::mem::replace(slot, waker));
        }
        *key = Some(self.next);
        self.waiting.push((self.next, waker));
        self.next += 1;
        None
    }

    /// Takes one out; `None` where it has been woken already.
    pub(crate) fn remove(&mut self, key: u64) -> Option<Waker> {
        let index = self.waiting.iter().position(|(serial, _)| *serial == key)?;
        Some(self.waiting.swap_remove(index).1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes all of them, to be woken with [`wake_all`] once the lock is released.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        // As a rule nobody waits, and this is asked for each run that settles.
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.waiting.drain(..).map(|(_, waker)| waker).collect()
    }
}

/// Wakes every one of them.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(wake);
}

/// Wakes one. A waker is foreign code: one that panics harms nobody else, nor does the payload of its panic.
pub(crate) fn wake(waker: Waker) {
    let _ = catch(|| waker.wake());
}
