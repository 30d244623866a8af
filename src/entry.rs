//! What callers and tables do with one run of a service.

use std::hash::Hash;

use crate::blocking::block_on;
use crate::current;
use crate::dispatcher::Entry;
use crate::error::Failure;
use crate::in_flight::{KeyHash, Keyed};
use crate::lane::Placed;
use crate::lanes::Assigned;
use crate::request_id::RequestId;
use crate::run::Left;
use crate::share::Share;
use crate::state::{Abort, Ticket};
use crate::status::WorkerId;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::waits::{self, Named, Obstacle, Target};

impl<R, T> Entry<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// The caller of `ticket` wants the run no longer.
    pub(crate) fn abort(self: &Arc<Self>, ticket: Ticket) -> Abort {
        match self.run.leave(ticket) {
            Left::Withdrawn => {
                self.home.end_queued(self, Failure::Aborted);
                Abort::Aborted
            }
            Left::StillWanted(told) => {
                self.home.notify(told);
                Abort::StillWanted
            }
            Left::Running(told) => {
                self.home.notify(told);
                Abort::Running
            }
            Left::Settled => Abort::Settled,
            Left::Settling => {
                // Another thread is between two lines of `end_queued`; no foreign code is on its way.
                let mut key = None;
                block_on(|waker| {
                    let waits = self.run.subscribe_waker(ticket, &mut key, waker.clone());
                    (!waits).then_some(Abort::Settled)
                })
            }
        }
    }
}

#[cfg(feature = "nats")]
impl<R, T> Entry<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Ends the run, if nobody has begun it, as a stop of the service would.
    pub(crate) fn take_back(self: &Arc<Self>) -> bool {
        let is_withdrawn = self.run.state_word().withdraw();
        if is_withdrawn {
            self.home.end_queued(self, Failure::Stopped);
        }
        is_withdrawn
    }
}

impl<R, T> Entry<R, T> {
    /// There is one more promise of it.
    pub(crate) fn hold(&self) {
        if self.home.share == Share::WhileHeld {
            // ORDERING: as with `Arc`: whoever adds one has one, or holds the shard's lock.
            self.holders.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn holders(&self) -> u32 {
        self.holders.load(Ordering::Acquire)
    }

    /// Whether it is an answer to a broadcast that the calling thread is to give, so that waiting for it here would
    /// take for ever.
    pub(crate) fn waits_for_this_thread(&self) -> bool {
        let is_own =
            |service| current::worker_of(service).is_some_and(|worker| self.run.is_of(worker.id));
        self.home.asks.is_some_and(is_own)
    }

    /// What it is to whoever waits for it inside a worker, without its name. `None`: something that the calling thread
    /// has to do itself.
    pub(crate) fn target(self: &Arc<Self>) -> Option<Target> {
        let run = Named {
            id: self.id,
            name: None,
        };
        let obstacle = self.obstacle();
        (!self.waits_for_this_thread()).then_some(Target { run, obstacle })
    }

    /// What has to end before it can begin, besides what is before it in the queue.
    fn obstacle(self: &Arc<Self>) -> Option<Obstacle> {
        if !self.run.is_queued() {
            return None;
        }
        let service = self.home.asks.unwrap_or(self.home.id);
        let behind = || self.home.parked.obstacle(self).map(Obstacle::Run);
        self.run
            .line()
            .map_or_else(behind, |line| Some(Obstacle::Worker { service, line }))
    }

    /// What the request is called, where requests are named.
    pub(crate) fn name(&self) -> Option<String> {
        let describe = self.home.describe?;
        // The user's `Debug`: one that panics has not said anything.
        crate::panic::catch(|| describe(self.run.request())).ok()
    }

    /// Calls a callback that need not wait for anything, at once.
    pub(crate) fn call_back(&self, callback: impl FnOnce()) {
        if current::in_callback(self.home.id, || crate::panic::catch(callback)).is_err() {
            self.home.counters.callbacks_panicked(1);
        }
    }
}

impl<R, T> Entry<R, T> {
    /// There is one promise of it less. If it was the last, the run is not shared any more.
    pub(crate) fn release(self: &Arc<Self>) {
        if self.home.share != Share::WhileHeld {
            return;
        }
        // ORDERING: release, and the shard's lock after it: of the last holder and of the worker that settles,
        // whoever comes second to that lock sees what the other did.
        if self.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let is_over = || self.holders() == 0 && self.run.is_settled();
            self.home.in_flight.remove_if(self, is_over);
        }
    }
}

impl<R, T> Keyed for Entry<R, T> {
    fn hash(&self) -> KeyHash {
        self.run.hash()
    }

    fn id(&self) -> RequestId {
        self.id
    }
}

impl<R, T> Assigned for Arc<Entry<R, T>> {
    fn line(&self) -> Option<WorkerId> {
        self.run.line()
    }

    fn release(&self) {
        self.run.release();
        waits::go_on(self.id);
    }
}

impl<R, T> Placed for Arc<Entry<R, T>> {
    fn place(&self, position: u32) {
        self.run.place(position);
    }

    fn position(&self) -> u32 {
        self.run.position()
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}
