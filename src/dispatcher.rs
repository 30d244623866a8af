//! Where callers and workers meet: who joins, who leads, who is queued, and how every run ends.
//!
//! A run ends in one order, whoever ends it: **remove, settle, notify**. Its entry leaves the in-flight table (or
//! is left there to be shared on, see [`Share::WhileHeld`]), the outcome is written and counted, the last pointer
//! to the run is let go, and only then is anybody woken. So whoever sees an outcome and queues the same request
//! gets a new run, and whoever was woken by one can have its output for himself.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use ahash::RandomState;

use crate::blocking::block_until;
use crate::counters::{Counters, Tally};
use crate::current::{self, ServiceId};
use crate::error::{Failure, QueueError};
use crate::held::{HeldPlace, HeldRequest};
use crate::idle::Idleness;
use crate::in_flight::{Admission, Found, InFlight};
use crate::observer::Observer;
use crate::panic::discard;
use crate::parked::Parked;
use crate::queue::Queue;
use crate::record::WorkerRecord;
use crate::request_id::RequestId;
use crate::room::{Place, Room};
use crate::run::Run;
use crate::share::Share;
use crate::state::{Join, Reading, Ticket};
use crate::status::{WorkerId, WorkerStatus};
use crate::subscribers::Told;
use crate::sync::atomic::AtomicU32;
use crate::sync::{Arc, Mutex, Weak};
use crate::terms::Terms;
use crate::trace::{Origin, Trace};

/// A run, and where it belongs.
pub(crate) struct Entry<R, T> {
    pub(crate) id: RequestId,
    pub(crate) run: Run<R, T>,
    pub(crate) trace: Trace,
    pub(crate) home: Arc<Dispatcher<R, T>>,
    /// How many promises there are of it. Kept with `Share::WhileHeld` only.
    pub(crate) holders: AtomicU32,
}

/// What all callers and workers of one service share.
pub(crate) struct Dispatcher<R, T> {
    pub(crate) id: ServiceId,
    pub(crate) queue: Queue<Arc<Entry<R, T>>>,
    pub(crate) counters: Counters,
    pub(crate) observer: Observer,
    pub(crate) in_flight: InFlight<Entry<R, T>>,
    pub(crate) parked: Parked<Entry<R, T>>,
    pub(crate) room: Option<Room>,
    /// When the drain that goes on gives up.
    pub(crate) deadline: Mutex<Option<Instant>>,
    pub(crate) share: Share,
    is_failure: fn(&T) -> bool,
    hasher: RandomState,
    /// The last request that was assigned to each worker.
    pub(crate) last_assigned: Mutex<HashMap<WorkerId, WeaklyTicketed<R, T>>>,
    /// The service whose workers are asked, if this is what keeps a broadcast.
    pub(crate) asks: Option<ServiceId>,
}

/// A run and the caller's ticket to it.
pub(crate) type Ticketed<R, T> = (Arc<Entry<R, T>>, Ticket);

/// The same, for whoever does not want to keep it.
pub(crate) type WeaklyTicketed<R, T> = (Weak<Entry<R, T>>, Ticket);

impl<R, T> Dispatcher<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(
        observer: Observer,
        capacity: Option<usize>,
        is_paused: bool,
        share: Share,
        is_failure: fn(&T) -> bool,
    ) -> Self {
        Self {
            id: ServiceId::new(),
            queue: Queue::new(is_paused),
            counters: Counters::default(),
            observer,
            in_flight: InFlight::new(),
            parked: Parked::new(),
            room: capacity.map(Room::new),
            deadline: Mutex::new(None),
            share,
            is_failure,
            hasher: RandomState::new(),
            last_assigned: Mutex::default(),
            asks: None,
        }
    }

    /// What keeps the answers that a service's workers give to a broadcast; nobody watches it.
    pub(crate) fn for_answers(service: ServiceId) -> Self {
        let observer = Observer::nobody();
        Self {
            asks: Some(service),
            ..Self::new(observer, None, false, Share::InFlight, |_| false)
        }
    }

    /// Queues a request, or joins it to an equal one.
    pub(crate) fn queue(
        self: &Arc<Self>,
        mut request: R,
        terms: Terms,
    ) -> Result<Ticketed<R, T>, QueueError<R>> {
        if !self.queue.is_open() && (!current::is_inside(self.id) || self.queue.is_closed()) {
            return Err(QueueError::Stopped(request));
        }
        let hash = self.hasher.hash_one(&request);
        let mut place = Place::new(self.room.as_ref());
        let mut origin = Some(Origin::here());
        loop {
            match self.admit(request, hash, terms, &mut origin, &mut place) {
                Admission::Joined(ticketed, duplicate) => {
                    self.joined(&ticketed.0, origin);
                    // A panic in its `Drop` would lose the ticket.
                    discard(duplicate);
                    return Ok(ticketed);
                }
                Admission::Leads(entry) => {
                    place.keep();
                    return self.push(entry);
                }
                Admission::Beside(entry) => {
                    place.keep();
                    self.observer.queued();
                    return Ok((entry, Ticket::FIRST));
                }
                Admission::Declined(back) => request = place.wait(self.id, terms.patience, back)?,
            }
        }
    }

    /// A run that has ended before it began, for a request that was refused.
    pub(crate) fn stopped(self: &Arc<Self>, request: R) -> Ticketed<R, T> {
        let entry = self.entry(request, 0, Terms::UNSHARED, Origin::here());
        entry.run.state_word().withdraw();
        entry.run.settle(Err(Failure::Stopped));
        let told = entry.run.close();
        debug_assert!(matches!(told, Told::Nobody), "nobody else has seen it");
        (entry, Ticket::FIRST)
    }

    fn admit(
        self: &Arc<Self>,
        request: R,
        hash: u64,
        terms: Terms,
        origin: &mut Option<Origin>,
        place: &mut Place<'_>,
    ) -> Admission<Entry<R, T>, R, Ticketed<R, T>> {
        self.in_flight.join_or_lead(
            hash,
            request,
            |entry, request| {
                terms.is_shared && entry.run.reading().is_listed() && entry.run.request() == request
            },
            |found| self.join(found),
            |request| match origin.take_if(|_| place.try_take()) {
                Some(origin) => Ok(self.entry(request, hash, terms, origin)),
                None => Err(request),
            },
            |running, mine| self.parked.park(running, Arc::clone(mine)),
        )
    }

    fn join(&self, found: &Arc<Entry<R, T>>) -> Found<Ticketed<R, T>> {
        let join = |entry: &Arc<Entry<R, T>>| match entry.run.join() {
            Join::Joined(ticket) => {
                // Under the shard's lock, so that whoever drops the last promise sees this one.
                entry.hold();
                Found::Joined((Arc::clone(entry), ticket))
            }
            Join::Cancelled => Found::Keep,
            Join::Over => Found::Replace,
        };
        match join(found) {
            Found::Joined(joined) => Found::Joined(joined),
            refused => match self.parked.behind(found, join) {
                Some(Found::Joined(joined)) => Found::Joined(joined),
                _ => refused,
            },
        }
    }

    /// Another caller shares a run.
    fn joined(&self, entry: &Arc<Entry<R, T>>, origin: Option<Origin>) {
        self.counters.coalesced();
        self.observer.coalesced();
        if let Some(origin) = origin {
            entry.trace.join(entry.id, origin);
        }
    }

    pub(crate) fn entry(
        self: &Arc<Self>,
        request: R,
        hash: u64,
        terms: Terms,
        origin: Origin,
    ) -> Arc<Entry<R, T>> {
        Arc::new(Entry {
            id: RequestId::new(),
            run: Run::new(request, hash, terms.is_shared, terms.line),
            trace: Trace::new(origin),
            home: Arc::clone(self),
            holders: AtomicU32::new(1),
        })
    }

    fn push(&self, entry: Arc<Entry<R, T>>) -> Result<Ticketed<R, T>, QueueError<R>> {
        let is_inside = !self.queue.is_open() && current::is_inside(self.id);
        // Before a worker can take it: what is counted is never too low.
        self.observer.queued();
        let now = self.observer.now();
        match self.queue.push(Arc::clone(&entry), is_inside, now) {
            Ok(()) => Ok((entry, Ticket::FIRST)),
            Err(refused) => {
                drop(refused);
                self.refuse(entry)
            }
        }
    }

    /// The service was stopped while the request came in. It is given back, unless others have joined it: then
    /// it settles, for all of them.
    fn refuse(&self, entry: Arc<Entry<R, T>>) -> Result<Ticketed<R, T>, QueueError<R>> {
        if !entry.run.state_word().withdraw_unshared() {
            if entry.run.state_word().withdraw() {
                self.end_queued(Arc::clone(&entry), Failure::Stopped);
            }
            return Ok((entry, Ticket::FIRST));
        }
        self.give_back_place();
        drop(self.in_flight.retire(&entry, || None));
        match Arc::try_unwrap(entry) {
            Ok(entry) => {
                self.observer.refused();
                Err(QueueError::Stopped(entry.run.into_outcome().0))
            }
            Err(entry) => {
                self.settle(
                    Arc::clone(&entry),
                    Err(Failure::Stopped),
                    false,
                    Tally::Stopped,
                    None,
                );
                Ok((entry, Ticket::FIRST))
            }
        }
    }

    /// A worker begins a run that has waited for so many nanoseconds; `since` is the time, on its clock. `None`: it
    /// was withdrawn.
    pub(crate) fn start(
        &self,
        entry: &Arc<Entry<R, T>>,
        worker: &WorkerRecord,
        since: u64,
        waited: u64,
    ) -> Option<HeldPlace> {
        worker.note_hash(entry.run.hash());
        // Noted before it is begun, so that whoever gives the worker up finds it.
        let place = worker.held.hold(HeldRequest {
            id: entry.id,
            since,
            waited,
        });
        if !entry.run.start(worker.id) {
            worker.held.release(place);
            return None;
        }
        self.give_back_place();
        if self.observer.is_on() {
            let waited = Duration::from_nanos(waited);
            self.observer.started(entry.id, worker, waited);
            entry.trace.start(entry.id, worker, waited);
        }
        Some(place)
    }

    /// How a worker is.
    pub(crate) fn worker_status(&self, worker: &WorkerRecord) -> WorkerStatus {
        worker.status(self.queue.assigned(worker.id))
    }

    /// Waits until a worker, or with `None` the whole service, has nothing to do; false if that took too long. What
    /// the calling thread's own worker has does not count.
    pub(crate) fn wait_until_idle(&self, of: Option<WorkerId>, deadline: Option<Instant>) -> bool {
        let except = current::worker_of(self.id).map(|worker| worker.id);
        let wanted = Idleness { of, except };
        let mut place = None;
        self.queue.watch(wanted);
        let is_idle = block_until(deadline, |waker| {
            let is_idle = self.queue.poll_idle(wanted, &mut place, waker);
            is_idle.then_some(())
        });
        self.queue.unwatch(wanted, place);
        is_idle.is_some()
    }

    /// Whether the processor calls an output a failure.
    pub(crate) fn is_failure(&self, output: &T) -> bool {
        // The user's code: one that panics has not said so.
        crate::panic::catch(|| (self.is_failure)(output)).unwrap_or(false)
    }

    /// Ends a run that a worker had. `ended`: what its last step was made from.
    pub(crate) fn end_running(
        &self,
        entry: Arc<Entry<R, T>>,
        ended: Reading,
        outcome: Result<T, Failure>,
        tally: Tally<'_>,
    ) {
        self.settle(entry, outcome, ended.is_cancelled(), tally, None);
    }

    /// Ends a run that was withdrawn from the queue.
    pub(crate) fn end_queued(&self, entry: Arc<Entry<R, T>>, failure: Failure) {
        let tally = match failure {
            Failure::Aborted => Tally::Aborted,
            Failure::WorkerLost => Tally::WorkerLost(None),
            _ => Tally::Stopped,
        };
        let unqueued = self.queue.remove(&entry, self.observer.is_on());
        let waited = match unqueued {
            Some((_, came)) => came.map(|came| came.elapsed()),
            // Whoever is in the queue is not parked.
            None => {
                drop(self.parked.remove(&entry));
                None
            }
        };
        self.give_back_place();
        self.settle(entry, Err(failure), false, tally, waited);
    }

    /// Remove, settle, notify. `was_left`: everybody left the run while it ran, so that another one may wait
    /// for its end. `waited`: how long it did, if it never began and that is known.
    fn settle(
        &self,
        entry: Arc<Entry<R, T>>,
        outcome: Result<T, Failure>,
        was_left: bool,
        tally: Tally<'_>,
        waited: Option<Duration>,
    ) {
        // A processor that was told that nobody wants the output may have given up.
        let keeps = self.share == Share::WhileHeld && tally.is_success() && !was_left;
        let next = self.leave_table(&entry, was_left, keeps);
        if self.observer.is_on() {
            // Before anybody can see the outcome, so that who has seen it finds the event.
            self.observe(&entry, tally, waited);
        }
        entry.run.settle(outcome);
        self.counters.count(tally);
        let told = entry.run.close();
        if keeps {
            drop(self.in_flight.remove_if(&entry, || entry.holders() == 0));
        }
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

    /// Makes room for the next run of the same key: for the one that waits, which is given back, or for any.
    fn leave_table(
        &self,
        entry: &Arc<Entry<R, T>>,
        was_left: bool,
        keeps: bool,
    ) -> Option<Arc<Entry<R, T>>> {
        if keeps {
            return None;
        }
        let mut parked = None;
        let mut is_next = false;
        let removed = self.in_flight.retire(entry, || {
            if was_left {
                parked = self.parked.take_behind(entry);
            }
            // One that was withdrawn is being ended by whoever did that.
            let next = parked.as_ref().filter(|next| next.run.is_queued());
            is_next = next.is_some();
            next.cloned()
        });
        // `entry` is held by the caller: this is never its last pointer. What was parked may be at its last, and is
        // dropped here, where no lock is held.
        drop(removed);
        parked.filter(|_| is_next)
    }

    fn queue_next(&self, next: Arc<Entry<R, T>>) {
        if let Err(refused) = self.queue.push_accepted(next)
            && refused.run.state_word().withdraw()
        {
            self.end_queued(refused, Failure::Stopped);
        }
    }

    /// Tells subscribers, with no lock held.
    pub(crate) fn notify(&self, told: Told) {
        let callbacks = told.wake();
        if !callbacks.is_empty() {
            let panics = current::in_callback(self.id, || callbacks.call());
            self.counters.callbacks_panicked(panics);
        }
    }

    pub(crate) fn give_back_place(&self) {
        if let Some(room) = &self.room {
            room.give_back();
        }
    }
}
