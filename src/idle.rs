//! Who waits for workers to have nothing left to do.

use std::task::Waker;

use crate::status::WorkerId;

/// What somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idleness {
    /// That this worker has nothing, or, with `None`, that nothing is queued and no worker has anything.
    pub(crate) of: Option<WorkerId>,
    /// What this worker holds does not count: it is the one that waits.
    pub(crate) except: Option<WorkerId>,
}

/// Those who wait; kept under the queue's lock.
#[derive(Debug, Default)]
pub(crate) struct IdleWatchers {
    waiting: Vec<Watcher>,
    next: u64,
}

#[derive(Debug)]
struct Watcher {
    serial: u64,
    wants: Idleness,
    waker: Waker,
}

impl IdleWatchers {
    /// Whether the one who has `place` was told. Who was told need not look again: under load, a worker that had
    /// nothing for a moment has something again by the time anybody could look.
    pub(crate) fn was_told(&self, place: Option<u64>) -> bool {
        place.is_some_and(|serial| !self.waiting.iter().any(|one| one.serial == serial))
    }

    /// Registers `waker` under `place`, or under a new one, which it stores there. Gives back a waker that is
    /// no longer needed, to be dropped outside the lock.
    pub(crate) fn register(
        &mut self,
        place: &mut Option<u64>,
        wants: Idleness,
        waker: Waker,
    ) -> Option<Waker> {
        let mut waiting = self.waiting.iter_mut();
        if let Some(found) = waiting.find(|one| Some(one.serial) == *place) {
            return Some(std::mem::replace(&mut found.waker, waker));
        }
        let serial = self.next;
        self.next += 1;
        *place = Some(serial);
        self.waiting.push(Watcher {
            serial,
            wants,
            waker,
        });
        None
    }

    /// Takes one out; `None` where he has been told already.
    pub(crate) fn remove(&mut self, place: u64) -> Option<Waker> {
        let mut waiting = self.waiting.iter();
        let index = waiting.position(|one| one.serial == place)?;
        Some(self.waiting.swap_remove(index).waker)
    }

    /// Takes out those whose wish has come true.
    pub(crate) fn take_if(&mut self, woken: &mut Vec<Waker>, is_true: impl Fn(Idleness) -> bool) {
        // As a rule there is one, and his wish has not come true.
        if self.waiting.iter().any(|one| is_true(one.wants)) {
            let told = self.waiting.extract_if(.., |one| is_true(one.wants));
            woken.extend(told.map(|one| one.waker));
        }
    }
}
