//! Where callers and workers meet: who joins, who leads, who is queued, and how every run ends.
//!
//! A run ends in one order, whoever ends it: **remove, settle, notify**. Its entry leaves the in-flight table (or
//! is left there to be shared on, see [`Share::WhileHeld`]), the outcome is written and counted, the last pointer
//! to the run is let go, and only then is anybody woken. So whoever sees an outcome and queues the same request
//! gets a new run, and whoever was woken by one can have its output for himself.

use std::hash::Hash;
use std::time::Instant;

use ahash::RandomState;

use crate::blocking::block_on;
use crate::counters::{Counters, Tally};
use crate::current::{self, ServiceId};
use crate::error::{Failure, QueueError};
use crate::in_flight::{Admission, Found, Hashed, InFlight};
use crate::lane::Placed;
use crate::panic::discard;
use crate::parked::Parked;
use crate::queue::Queue;
use crate::record::WorkerRecord;
use crate::room::{Patience, Place, Room};
use crate::run::{Left, Run};
use crate::share::Share;
use crate::state::{Abort, Join, Phase, Reading, Ticket};
use crate::subscribers::Told;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Arc, Mutex};

/// A run, and where it belongs.
pub(crate) struct Entry<R, T> {
    pub(crate) run: Run<R, T>,
    home: Arc<Dispatcher<R, T>>,
    /// How many promises there are of it. Kept with `Share::WhileHeld` only.
    holders: AtomicU32,
}

/// What all callers and workers of one service share.
pub(crate) struct Dispatcher<R, T> {
    pub(crate) id: ServiceId,
    pub(crate) queue: Queue<Arc<Entry<R, T>>>,
    pub(crate) counters: Counters,
    in_flight: InFlight<Entry<R, T>>,
    parked: Parked<Entry<R, T>>,
    room: Option<Room>,
    /// When the drain that goes on gives up.
    pub(crate) deadline: Mutex<Option<Instant>>,
    share: Share,
    is_failure: fn(&T) -> bool,
    hasher: RandomState,
}

/// A run and the caller's ticket to it.
pub(crate) type Ticketed<R, T> = (Arc<Entry<R, T>>, Ticket);

impl<R, T> Dispatcher<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(
        capacity: Option<usize>,
        is_paused: bool,
        share: Share,
        is_failure: fn(&T) -> bool,
    ) -> Self {
        Self {
            id: ServiceId::new(),
            queue: Queue::new(is_paused),
            counters: Counters::default(),
            in_flight: InFlight::new(),
            parked: Parked::new(),
            room: capacity.map(Room::new),
            deadline: Mutex::new(None),
            share,
            is_failure,
            hasher: RandomState::new(),
        }
    }

    /// Queues a request, or joins it to an equal one.
    pub(crate) fn queue(
        self: &Arc<Self>,
        mut request: R,
        is_shared: bool,
        patience: Patience,
    ) -> Result<Ticketed<R, T>, QueueError<R>> {
        if !self.queue.is_open() && (!current::is_inside(self.id) || self.queue.is_closed()) {
            return Err(QueueError::Stopped(request));
        }
        let hash = self.hasher.hash_one(&request);
        let mut place = Place::new(self.room.as_ref());
        loop {
            match self.admit(request, hash, is_shared, &mut place) {
                Admission::Joined(ticketed, duplicate) => {
                    self.counters.coalesced();
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
                    return Ok((entry, Ticket::FIRST));
                }
                Admission::Declined(back) => request = place.wait(self.id, patience, back)?,
            }
        }
    }

    /// A run that has ended before it began, for a request that was refused.
    pub(crate) fn stopped(self: &Arc<Self>, request: R) -> Ticketed<R, T> {
        let entry = self.entry(request, 0, false);
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
        is_shared: bool,
        place: &mut Place<'_>,
    ) -> Admission<Entry<R, T>, R, Ticketed<R, T>> {
        self.in_flight.join_or_lead(
            hash,
            request,
            |entry, request| {
                is_shared && entry.run.reading().is_listed() && entry.run.request() == request
            },
            |found| self.join(found),
            |request| {
                if place.try_take() {
                    Ok(self.entry(request, hash, is_shared))
                } else {
                    Err(request)
                }
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

    fn entry(self: &Arc<Self>, request: R, hash: u64, is_shared: bool) -> Arc<Entry<R, T>> {
        Arc::new(Entry {
            run: Run::new(request, hash, is_shared),
            home: Arc::clone(self),
            holders: AtomicU32::new(1),
        })
    }

    fn push(&self, entry: Arc<Entry<R, T>>) -> Result<Ticketed<R, T>, QueueError<R>> {
        let is_inside = !self.queue.is_open() && current::is_inside(self.id);
        match self.queue.push(Arc::clone(&entry), is_inside) {
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
            Ok(entry) => Err(QueueError::Stopped(entry.run.into_outcome().0)),
            Err(entry) => {
                self.settle(
                    Arc::clone(&entry),
                    Err(Failure::Stopped),
                    false,
                    Tally::Stopped,
                );
                Ok((entry, Ticket::FIRST))
            }
        }
    }

    /// A worker takes a run from the queue; false if it was withdrawn.
    pub(crate) fn start(&self, entry: &Arc<Entry<R, T>>, worker: &WorkerRecord) -> bool {
        worker.note_hash(entry.run.hash());
        let has_begun = entry.run.start(worker.id);
        if has_begun {
            self.give_back_place();
        }
        has_begun
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
        self.settle(entry, outcome, ended.is_cancelled(), tally);
    }

    /// Ends a run that was withdrawn from the queue.
    pub(crate) fn end_queued(&self, entry: Arc<Entry<R, T>>, failure: Failure) {
        let tally = match failure {
            Failure::Aborted => Tally::Aborted,
            Failure::WorkerLost => Tally::WorkerLost,
            _ => Tally::Stopped,
        };
        // Whoever is in the queue is not parked.
        let unqueued = self
            .queue
            .remove(&entry)
            .or_else(|| self.parked.remove(&entry));
        drop(unqueued);
        self.give_back_place();
        self.settle(entry, Err(failure), false, tally);
    }

    /// Remove, settle, notify. `was_left`: everybody left the run while it ran, so that another one may wait
    /// for its end.
    fn settle(
        &self,
        entry: Arc<Entry<R, T>>,
        outcome: Result<T, Failure>,
        was_left: bool,
        tally: Tally<'_>,
    ) {
        // A processor that was told that nobody wants the output may have given up.
        let keeps = self.share == Share::WhileHeld && tally.is_success() && !was_left;
        let next = self.leave_table(&entry, was_left, keeps);
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
    fn notify(&self, told: Told) {
        let callbacks = told.wake();
        if !callbacks.is_empty() {
            let panics = current::in_callback(self.id, || callbacks.call());
            self.counters.callbacks_panicked(panics);
        }
    }

    fn give_back_place(&self) {
        if let Some(room) = &self.room {
            room.give_back();
        }
    }

    /// Refuses new requests, but those from inside; closes when nothing is left.
    pub(crate) fn drain(&self) {
        self.queue.drain();
        self.close_room();
    }

    /// Refuses all requests, and settles what is queued.
    pub(crate) fn close(&self) {
        let mut queued = self.queue.close();
        self.close_room();
        queued.extend(self.parked.drain());
        for entry in queued {
            if entry.run.state_word().withdraw() {
                self.end_queued(entry, Failure::Stopped);
            }
        }
    }

    fn close_room(&self) {
        if let Some(room) = &self.room {
            room.close();
        }
    }

    /// Gives up everything that runs, and whatever is between the queue and a worker.
    pub(crate) fn abandon(&self) {
        for entry in self.in_flight.collect(|_| true) {
            if entry.run.state_word().withdraw() {
                self.end_queued(entry, Failure::Stopped);
            } else if let Some(ended) = entry.run.state_word().finish() {
                self.end_running(entry, ended, Err(Failure::WorkerLost), Tally::WorkerLost);
            }
        }
    }

    /// Gives up what a worker runs. It has been lost, so it begins nothing more.
    pub(crate) fn give_up(&self, worker: &WorkerRecord) {
        let is_its = |entry: &Entry<R, T>| {
            entry.run.worker() == Some(worker.id) && entry.run.reading().phase() == Phase::Running
        };
        // As a rule it runs one, and has noted its hash. Only one that runs several needs a look at everything.
        let running = match worker.held() {
            0 => Vec::new(),
            1 => self
                .in_flight
                .find(worker.last_hash(), is_its)
                .into_iter()
                .collect(),
            _ => self.in_flight.collect(is_its),
        };
        for entry in running {
            if let Some(ended) = entry.run.state_word().finish() {
                self.end_running(entry, ended, Err(Failure::WorkerLost), Tally::WorkerLost);
            }
        }
    }

    /// Puts back a run that a worker was given and did not begin.
    pub(crate) fn put_back(&self, entry: Arc<Entry<R, T>>) {
        if let Err(refused) = self.queue.put_back(entry)
            && refused.run.state_word().withdraw()
        {
            self.end_queued(refused, Failure::Stopped);
        }
    }

    /// When the drain that goes on gives up.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.lock() = deadline;
    }

    /// How many requests wait.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() + self.parked.len()
    }
}

impl<R, T> Entry<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// The caller of `ticket` wants the run no longer.
    pub(crate) fn abort(self: &Arc<Self>, ticket: Ticket) -> Abort {
        match self.run.leave(ticket) {
            Left::Withdrawn => {
                self.home.end_queued(Arc::clone(self), Failure::Aborted);
                Abort::Aborted
            }
            Left::StillWanted(told) => {
                self.home.notify(told);
                Abort::StillWanted
            }
            Left::Running => Abort::Running,
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

impl<R, T> Entry<R, T> {
    /// There is one more promise of it.
    pub(crate) fn hold(&self) {
        if self.home.share == Share::WhileHeld {
            // ORDERING: as with `Arc`: whoever adds one has one, or holds the shard's lock.
            self.holders.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn holders(&self) -> u32 {
        self.holders.load(Ordering::Acquire)
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
            drop(self.home.in_flight.remove_if(self, is_over));
        }
    }
}

impl<R, T> Hashed for Entry<R, T> {
    fn hash(&self) -> u64 {
        self.run.hash()
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
