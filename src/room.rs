//! The room in a bounded queue: who may put a request in, and who waits for a place, in the order of coming.

use std::collections::VecDeque;
use std::ops::Deref;
use std::task::Waker;
use std::time::Instant;

use crate::blocking::block_until;
use crate::current;
use crate::error::QueueError;
use crate::service_id::ServiceId;
use crate::sync::Mutex;
use crate::wakers::wake_all;

/// Counts the free places of a queue. A place that is given back goes to whoever has waited longest, and to
/// nobody who came later.
#[derive(Debug)]
pub(crate) struct Room(Mutex<Places>);

#[derive(Debug)]
struct Places {
    /// Below zero where requests were queued that may not wait for room.
    free: i64,
    waiting: VecDeque<(u64, Waker)>,
    /// Those who have been given a place and have not fetched it.
    granted: Vec<u64>,
    next: u64,
    closed: bool,
}

/// What waiting for a place came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Granted,
    TimedOut,
    Closed,
}

impl Room {
    #[inline]
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Mutex::new(Places {
            free: i64::try_from(capacity).unwrap_or(i64::MAX),
            waiting: VecDeque::new(),
            granted: Vec::new(),
            next: 0,
            closed: false,
        }))
    }

    /// Takes a place if one is free and nobody waits for it.
    #[inline]
    pub(crate) fn try_take(&self) -> bool {
        let mut places = self.0.lock();
        let is_free = places.free > 0 && places.waiting.is_empty();
        if is_free {
            places.free -= 1;
        }
        is_free
    }

    /// Takes a place whether there is one or not: for those who must not wait, as a waiting worker would keep
    /// the queue full.
    pub(crate) fn take_anyway(&self) {
        self.0.lock().free -= 1;
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self) {
        let mut places = self.0.lock();
        places.free += 1;
        let woken = places.grant();
        // LOCK: released before anybody is woken.
        drop(places);
        wake_all(woken);
    }

    /// Nobody waits any more, now or later.
    pub(crate) fn close(&self) {
        let mut places = self.0.lock();
        places.closed = true;
        let woken: Vec<_> = places.waiting.drain(..).map(|(_, waker)| waker).collect();
        drop(places);
        wake_all(woken);
    }

    /// Takes a place, or waits for one under `key`. To be asked until it gives something, or to be left.
    fn poll(&self, key: &mut Option<u64>, waker: &Waker) -> Option<Waited> {
        let waker = waker.clone();
        let mut places = self.0.lock();
        let (entry, unused) = places.poll(key, waker);
        // LOCK: released before a waker, which is foreign code, is dropped.
        drop(places);
        drop(unused);
        entry
    }

    /// Stops waiting. A place that was granted in the meantime is taken.
    fn leave(&self, key: u64) -> Waited {
        let mut places = self.0.lock();
        if places.fetch(key) {
            return Waited::Granted;
        }
        let index = places
            .waiting
            .iter()
            .position(|(waiting, _)| *waiting == key);
        let unused = index.and_then(|index| places.waiting.remove(index));
        drop(places);
        drop(unused);
        Waited::TimedOut
    }
}

impl Places {
    fn poll(&mut self, key: &mut Option<u64>, waker: Waker) -> (Option<Waited>, Option<Waker>) {
        if key.is_some_and(|key| self.fetch(key)) {
            return (Some(Waited::Granted), Some(waker));
        }
        if self.closed {
            return (Some(Waited::Closed), Some(waker));
        }
        if let Some(slot) = self
            .waiting
            .iter_mut()
            .find(|(waiting, _)| Some(*waiting) == *key)
        {
            return (None, Some(std::mem::replace(&mut slot.1, waker)));
        }
        if self.free > 0 && self.waiting.is_empty() {
            self.free -= 1;
            return (Some(Waited::Granted), Some(waker));
        }
        *key = Some(self.next);
        self.waiting.push_back((self.next, waker));
        self.next += 1;
        (None, None)
    }

    /// Hands a free place to whoever has waited longest.
    fn grant(&mut self) -> Option<Waker> {
        if self.free <= 0 {
            return None;
        }
        let (key, waker) = self.waiting.pop_front()?;
        self.free -= 1;
        self.granted.push(key);
        Some(waker)
    }

    fn fetch(&mut self, key: u64) -> bool {
        let index = self.granted.iter().position(|granted| *granted == key);
        index.is_some_and(|index| {
            self.granted.swap_remove(index);
            true
        })
    }
}

/// How long a caller waits for room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    None,
    Until(Option<Instant>),
}

/// A caller's place in a bounded queue, or his wait for one; given back if it is not kept.
pub(crate) struct Place<D: Deref<Target = Room>> {
    room: Option<D>,
    is_taken: bool,
    /// Under which he waits.
    key: Option<u64>,
}

impl<D: Deref<Target = Room>> Place<D> {
    #[inline]
    pub(crate) fn new(room: Option<D>) -> Self {
        Self {
            room,
            is_taken: false,
            key: None,
        }
    }

    #[inline]
    pub(crate) fn try_take(&mut self) -> bool {
        self.is_taken = self.is_taken || self.room.as_deref().is_none_or(Room::try_take);
        self.is_taken
    }

    /// Waits for a place, and gives the request back to be admitted once more: an equal one may have come.
    pub(crate) fn wait<R>(
        &mut self,
        service: ServiceId,
        patience: Patience,
        request: R,
    ) -> Result<R, QueueError<R>> {
        let deadline = match patience {
            Patience::None => return Err(QueueError::Full(request)),
            Patience::Until(deadline) => deadline,
        };
        let waited = block_until(deadline, |waker| self.poll(service, waker));
        match waited.unwrap_or_else(|| self.leave()) {
            Waited::Granted => Ok(request),
            Waited::TimedOut => Err(QueueError::TimedOut(request)),
            Waited::Closed => Err(QueueError::Stopped(request)),
        }
    }

    /// The same, for a task. `None`: it is woken.
    pub(crate) fn poll(&mut self, service: ServiceId, waker: &Waker) -> Option<Waited> {
        if current::is_inside(service) && self.leave() != Waited::Granted {
            self.room.as_deref().inspect(|room| room.take_anyway());
            self.is_taken = true;
        }
        let waited = match self.room.as_deref() {
            Some(room) if !self.is_taken => room.poll(&mut self.key, waker)?,
            _ => Waited::Granted,
        };
        self.key = None;
        self.is_taken = waited == Waited::Granted;
        Some(waited)
    }

    /// Stops waiting. A place that was granted in the meantime is taken.
    fn leave(&mut self) -> Waited {
        let waited = match (self.room.as_deref(), self.key.take()) {
            (Some(room), Some(key)) => room.leave(key),
            _ => Waited::TimedOut,
        };
        self.is_taken |= waited == Waited::Granted;
        waited
    }

    /// The place is the request's, which gives it back.
    #[inline]
    pub(crate) fn keep(&mut self) {
        self.room = None;
    }
}

impl<D: Deref<Target = Room>> Drop for Place<D> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
        if let (Some(room), true) = (self.room.as_deref(), self.is_taken) {
            room.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::block_on;
    use crate::sync::{Arc, thread};

    fn take(room: &Room) -> Waited {
        let mut key = None;
        block_on(|waker| room.poll(&mut key, waker))
    }

    #[test]
    fn a_newcomer_does_not_overtake_those_who_wait() {
        let room = Room::new(1);
        assert!(room.try_take());
        let mut first = None;
        assert_eq!(room.poll(&mut first, Waker::noop()), None);
        room.give_back();
        assert!(!room.try_take(), "the place is the first one's");
        assert_eq!(room.poll(&mut first, Waker::noop()), Some(Waited::Granted));
    }

    #[test]
    fn a_place_granted_at_the_moment_of_the_timeout_is_not_lost() {
        let room = Room::new(1);
        assert!(room.try_take());
        let (mut first, mut second) = (None, None);
        assert_eq!(room.poll(&mut first, Waker::noop()), None);
        assert_eq!(room.poll(&mut second, Waker::noop()), None);
        assert_eq!(second.map(|key| room.leave(key)), Some(Waited::TimedOut));
        room.give_back();
        assert_eq!(first.map(|key| room.leave(key)), Some(Waited::Granted));
        room.give_back();
        assert!(room.try_take());
    }

    #[test]
    fn closing_wakes_those_who_wait() {
        let room = Arc::new(Room::new(1));
        assert!(room.try_take());
        let waiting = {
            let room = Arc::clone(&room);
            thread::spawn(move || take(&room))
        };
        room.close();
        assert_eq!(waiting.join().ok(), Some(Waited::Closed));
        assert_eq!(take(&room), Waited::Closed);
    }

    #[test]
    fn places_taken_anyway_are_paid_back_before_anybody_is_let_in() {
        let room = Room::new(1);
        room.take_anyway();
        room.take_anyway();
        room.give_back();
        assert!(!room.try_take());
        room.give_back();
        assert!(room.try_take());
    }
}
