//! How many workers of a service wait inside their requests, and how many spare ones stand in for them.

use std::time::Duration;

use crate::blocking::{block_until, deadline_after};
use crate::sync::Mutex;
use crate::wakers::{Wakers, wake_all};

/// A spare worker that is not needed stays for so long, for the next worker that waits.
const LINGER: Duration = Duration::from_millis(100);

/// The count of one service.
#[derive(Debug)]
pub(crate) struct Spares {
    count: Mutex<Count>,
    most: usize,
}

#[derive(Debug, Default)]
struct Count {
    /// Workers that wait, and have a spare one.
    waiting: usize,
    /// Spare workers that have not decided to leave.
    present: usize,
    /// Those of them that linger,
    lingering: usize,
    /// and how many of these have been called back.
    called: usize,
    wakers: Wakers,
    /// Whether the service is being stopped: then nobody lingers.
    is_over: bool,
}

/// What is to be done for a worker that is about to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// Nothing: a spare worker is there that is no longer needed elsewhere.
    Present,
    /// One is to be started. It is counted already.
    ToStart,
    /// There are as many as there may be.
    Refused,
}

impl Spares {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            count: Mutex::default(),
            most,
        }
    }

    /// A worker is about to wait.
    pub(crate) fn ask(&self) -> StandIn {
        let mut count = self.count.lock();
        let answer = if count.are_too_many() {
            StandIn::Present
        } else if count.lingering > count.called {
            count.called += 1;
            StandIn::Present
        } else if count.present < self.most {
            count.present += 1;
            StandIn::ToStart
        } else {
            return StandIn::Refused;
        };
        count.waiting += 1;
        let woken = count.wakers.take();
        drop(count);
        wake_all(woken);
        answer
    }

    /// The one that was to start did not, so its worker does not wait.
    pub(crate) fn did_not_start(&self) {
        let mut count = self.count.lock();
        count.present -= 1;
        count.waiting -= 1;
    }

    /// A worker waits no longer.
    pub(crate) fn dismiss(&self) {
        self.count.lock().waiting -= 1;
    }

    /// Whether there are more spare workers than needed, so that the one that asks is to do nothing.
    pub(crate) fn are_too_many(&self) -> bool {
        self.count.lock().are_too_many()
    }

    /// Keeps a spare worker that is not needed until it is called back, or for a while. True: it has to leave.
    pub(crate) fn linger(&self) -> bool {
        let mut count = self.count.lock();
        if !count.are_too_many() {
            return false;
        }
        count.lingering += 1;
        drop(count);
        let mut place = None;
        let was_called = block_until(deadline_after(LINGER), |waker| {
            let mut count = self.count.lock();
            if count.called > 0 || count.is_over {
                return Some(count.come_back());
            }
            // The waker is a thread's of this crate; nothing foreign is dropped here.
            count.wakers.register(&mut place, waker.clone());
            None
        });
        // LOCK: that it is not needed, and that it is counted no longer, is one step. Otherwise a worker that waits
        // meanwhile could count on it.
        !was_called.unwrap_or_else(|| {
            let mut count = self.count.lock();
            let was_called = count.come_back();
            if let Some(place) = place {
                count.wakers.remove(place);
            }
            was_called
        })
    }

    /// The service is being stopped.
    pub(crate) fn end_lingering(&self) {
        let mut count = self.count.lock();
        count.is_over = true;
        let woken = count.wakers.take();
        drop(count);
        wake_all(woken);
    }
}

impl Count {
    /// Whether more are at work than needed.
    fn are_too_many(&self) -> bool {
        self.present + self.called > self.waiting + self.lingering
    }

    /// One lingers no longer: it was called back, or leaves.
    fn come_back(&mut self) -> bool {
        self.lingering -= 1;
        let was_called = self.called > 0;
        if was_called {
            self.called -= 1;
        } else {
            self.present -= 1;
        }
        was_called
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_worker_that_is_free_stands_in_for_the_next_one_that_waits() {
        let spares = Spares::new(2);
        assert_eq!(spares.ask(), StandIn::ToStart);
        assert!(!spares.are_too_many() && !spares.linger());
        spares.dismiss();
        assert!(spares.are_too_many());
        assert_eq!(spares.ask(), StandIn::Present);
        assert_eq!(spares.ask(), StandIn::ToStart);
        assert_eq!(spares.ask(), StandIn::Refused);
        spares.dismiss();
        assert!(spares.linger());
        assert!(!spares.are_too_many());
        assert_eq!(spares.ask(), StandIn::ToStart);
    }

    #[test]
    fn one_that_did_not_start_is_not_counted() {
        let spares = Spares::new(1);
        assert_eq!(spares.ask(), StandIn::ToStart);
        spares.did_not_start();
        assert!(!spares.are_too_many());
        assert_eq!(spares.ask(), StandIn::ToStart);
    }
}
