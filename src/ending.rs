//! How a run ends, whoever ends it.
//!
//! In one order: **remove, settle, notify**. Its entry leaves the in-flight table, or is known there to have ended (or
//! is left there to be shared on, see [`Share::WhileHeld`]), the outcome is written and counted, the last pointer
//! to the run is let go, and only then is anybody woken. So whoever sees an outcome and queues the same request
//! gets a new run, and whoever was woken by one can have its output for himself.

use std::hash::Hash;
use std::time::Duration;

use crate::counters::Tally;
use crate::current;
use crate::departures::Departures;
use crate::dispatcher::{Dispatcher, Entry};
use crate::error::Failure;
use crate::panic::discard;
use crate::share::Share;
use crate::state::Reading;
use crate::subscribers::{Notified, Told};
use crate::sync::{Arc, now};
use crate::waits;

/// Where a worker notes what is to leave the in-flight table, if it is the worker itself that ends a run.
pub(crate) type Notes<'a, R, T> = Option<&'a mut Departures<Entry<R, T>>>;

impl<R, T> Dispatcher<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Ends a run that a worker had. `ended`: what its last step was made from.
    #[inline]
    pub(crate) fn end_running(
        &self,
        entry: Arc<Entry<R, T>>,
        ended: Reading,
        outcome: Result<T, Failure>,
        tally: Tally<'_>,
        notes: Notes<'_, R, T>,
    ) {
        // A processor that was told that nobody wants the output may have given up; and another run may wait.
        let was_left = ended.is_cancelled();
        let keeps = self.share == Share::WhileHeld && tally.is_success() && !was_left;
        let next = match notes {
            _ if keeps => None,
            // Whoever finds it sees that it has settled. Where some are shared after that, he would not.
            Some(notes) if !was_left && self.share == Share::InFlight => {
                notes.add(&self.in_flight, &entry);
                None
            }
            _ => self.leave_table(&entry, was_left),
        };
        let told = self.settle(&entry, outcome, tally, None);
        if keeps {
            self.in_flight.remove_if(&*entry, || entry.holders() == 0);
        }
        self.let_go(entry, next, told);
    }

    /// Ends a run that was withdrawn from the queue.
    pub(crate) fn end_queued(&self, entry: &Arc<Entry<R, T>>, failure: Failure) {
        let unqueued = self.queue.remove(entry, self.observer.is_on());
        let waited = match unqueued {
            Some((_, came)) => came.map(|came| now().saturating_duration_since(came)),
            // Whoever is in the queue is not parked.
            None => {
                drop(self.parked.remove(entry));
                None
            }
        };
        self.give_back_place();
        self.end_withdrawn(entry, failure, waited);
    }

    /// Ends a run that was withdrawn, and is in no queue. `waited`: how long it was in one, if that is known.
    pub(crate) fn end_withdrawn(
        &self,
        entry: &Entry<R, T>,
        failure: Failure,
        waited: Option<Duration>,
    ) {
        let tally = match failure {
            Failure::Aborted => Tally::Aborted(None),
            Failure::WorkerLost(_) | Failure::Poisoned { .. } => Tally::WorkerLost(None),
            _ => Tally::Stopped,
        };
        // It takes nobody in, wherever it is found.
        self.in_flight.remove_soon(entry);
        let told = self.settle(entry, Err(failure), tally, waited);
        self.notify(told);
    }

    /// Writes the outcome and counts it. Gives those who are to be told.
    #[inline]
    fn settle(
        &self,
        entry: &Entry<R, T>,
        outcome: Result<T, Failure>,
        tally: Tally<'_>,
        waited: Option<Duration>,
    ) -> Told {
        if self.observer.is_on() {
            // Before anybody can see the outcome, so that who has seen it finds the event.
            self.observe(entry, tally, waited);
        }
        entry.run.settle(outcome);
        self.counters.count(tally);
        entry.run.close()
    }

    /// Lets go of a run that has settled, lets the next one of its key into the queue, and tells those who wait.
    #[inline]
    fn let_go(&self, entry: Arc<Entry<R, T>>, next: Option<Arc<Entry<R, T>>>, told: Told) {
        // If all promises are gone, the user's values are dropped here.
        discard(entry);
        if let Some(next) = next {
            self.queue_next(next);
        }
        self.notify(told);
    }

    fn observe(&self, entry: &Entry<R, T>, tally: Tally<'_>, waited: Option<Duration>) {
        let outcome = tally.outcome();
        let ran = self
            .observer
            .settled(entry.id, outcome, tally.worker(), waited);
        entry.trace.settle(entry.id, outcome, ran);
    }

    /// Makes room in the table for the next run of the same key: for the one that waits, which is given back, or for
    /// any. `was_left`: everybody left the run while it ran, so that one may wait for its end.
    fn leave_table(&self, entry: &Arc<Entry<R, T>>, was_left: bool) -> Option<Arc<Entry<R, T>>> {
        let mut parked = None;
        let mut is_next = false;
        self.in_flight.retire(entry, || {
            if was_left {
                parked = self.parked.take_behind(entry);
            }
            // One that was withdrawn is being ended by whoever did that.
            let next = parked.as_ref().filter(|next| next.run.is_queued());
            is_next = next.is_some();
            next.cloned()
        });
        // What was parked may be at its last pointer, and is dropped here, where no lock is held.
        parked.filter(|_| is_next)
    }

    fn queue_next(&self, next: Arc<Entry<R, T>>) {
        waits::go_on(next.id);
        if let Err(refused) = self.queue.push_accepted(next)
            && refused.run.state_word().withdraw()
        {
            self.end_queued(&refused, Failure::Stopped);
            discard(refused);
        }
    }

    /// Tells subscribers, with no lock held.
    #[inline]
    pub(crate) fn notify(&self, told: Told) {
        if matches!(told, Told::Nobody) {
            return;
        }
        let Notified {
            callbacks,
            has_woken,
        } = told.wake();
        let calls_back = !callbacks.is_empty();
        if has_woken || calls_back {
            // The next request may come of this.
            self.queue.do_not_gather();
        }
        if calls_back {
            let panics = current::in_callback(self.id, || callbacks.call());
            self.counters.callbacks_panicked(panics);
        }
    }
}
