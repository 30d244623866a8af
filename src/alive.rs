//! How many threads a service has, and who waits for there to be none.

use std::task::Waker;
use std::time::Instant;

use crate::blocking::block_until;
use crate::sync::{Arc, Mutex};
use crate::wakers::{Wakers, wake_all};

/// The count of one service.
#[derive(Default)]
pub(crate) struct Alive(Mutex<(usize, Wakers)>);

impl Alive {
    /// Whether there is none by `deadline`.
    pub(crate) fn wait_for_none(&self, deadline: Option<Instant>) -> bool {
        let mut place = None;
        let is_over = block_until(deadline, |waker| {
            let is_over = self.poll_none(&mut place, waker);
            is_over.then_some(())
        });
        self.leave(place);
        is_over.is_some()
    }

    /// Whether there is none; if not, `waker` is woken when there is, unless its place is left before.
    pub(crate) fn poll_none(&self, place: &mut Option<u64>, waker: &Waker) -> bool {
        // LOCK: a clone is foreign code, and so is a drop: before it, and after it.
        let waker = waker.clone();
        let mut alive = self.0.lock();
        let is_over = alive.0 == 0;
        let unused = if is_over {
            Some(waker)
        } else {
            alive.1.register(place, waker)
        };
        drop(alive);
        drop(unused);
        is_over
    }

    /// Nobody waits at `place` any more.
    pub(crate) fn leave(&self, place: Option<u64>) {
        let unused = place.and_then(|place| self.0.lock().1.remove(place));
        drop(unused);
    }
}

/// A worker's thread comes to its end, if it has not been let go before.
pub(crate) struct EndOfThread(pub(crate) Arc<Mutex<Option<AliveThread>>>);

impl Drop for EndOfThread {
    fn drop(&mut self) {
        let alive = self.0.lock().take();
        // LOCK: released above, before those who wait are woken.
        drop(alive);
    }
}

/// One of them.
pub(crate) struct AliveThread(Arc<Alive>);

impl AliveThread {
    pub(crate) fn new(alive: &Arc<Alive>) -> Self {
        alive.0.lock().0 += 1;
        Self(Arc::clone(alive))
    }
}

impl Drop for AliveThread {
    fn drop(&mut self) {
        let mut alive = self.0.0.lock();
        alive.0 -= 1;
        let woken = if alive.0 == 0 {
            alive.1.take()
        } else {
            Vec::new()
        };
        drop(alive);
        wake_all(woken);
    }
}
