//! Where callers and workers meet: who joins, who leads, who is queued, and how every run ends.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::time::{Duration, Instant};

use ahash::RandomState;

use crate::blocking::block_until;
use crate::caller::Caller;
use crate::counters::Counters;
use crate::current;
use crate::error::{Failure, QueueError};
use crate::held::{HeldPlace, HeldRequest};
use crate::idle::Idleness;
use crate::in_flight::{InFlight, KeyHash};
use crate::observer::Observer;
use crate::panic::discard;
use crate::parked::Parked;
use crate::queue::Queue;
use crate::record::WorkerRecord;
use crate::request_id::RequestId;
use crate::room::{Place, Room};
use crate::run::Run;
use crate::service_id::ServiceId;
use crate::share::Share;
use crate::state::{Join, Ticket};
use crate::status::{WorkerId, WorkerStatus};
use crate::subscribers::{Subscriber, Subscribers, Told};
use crate::sync::atomic::{AtomicBool, AtomicU32};
use crate::sync::{self, Arc, Mutex, Weak};
use crate::terms::Terms;
use crate::trace::Trace;
use crate::waiting;
use crate::waits;

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
    pub(crate) room: Option<Arc<Room>>,
    /// When the drain that goes on gives up.
    pub(crate) deadline: Mutex<Option<Instant>>,
    pub(crate) share: Share,
    /// What a request is called where requests are named.
    pub(crate) describe: Option<fn(&R) -> String>,
    is_failure: fn(&T) -> bool,
    hasher: RandomState,
    /// The last request that was assigned to each worker.
    pub(crate) last_assigned: Mutex<HashMap<WorkerId, WeaklyTicketed<R, T>>>,
    /// Whether what runs has been given up, with the workers that have it.
    pub(crate) is_abandoned: AtomicBool,
    /// The service whose workers are asked, if this is what keeps a broadcast.
    pub(crate) asks: Option<ServiceId>,
}

/// A run and the caller's ticket to it.
pub(crate) type Ticketed<R, T> = (Arc<Entry<R, T>>, Ticket);

/// The same, for whoever does not want to keep it.
pub(crate) type WeaklyTicketed<R, T> = (Weak<Entry<R, T>>, Ticket);

/// Whether a run that is found takes in whoever asks.
enum Found<R, T> {
    /// It does, or another one does, and this is not needed.
    Joined(Ticketed<R, T>, Option<Arc<Entry<R, T>>>),
    /// It has ended: a new run may take its place.
    Ended(Arc<Entry<R, T>>),
    /// It goes on; a new run has to wait beside it.
    Running(Arc<Entry<R, T>>),
}

/// Takes a ticket for a run. Otherwise: whether the run is over.
#[inline]
fn join<R, T>(entry: &Entry<R, T>) -> Result<Ticket, bool> {
    match entry.run.join() {
        Join::Joined(ticket) => {
            // Under the shard's lock, so that whoever drops the last promise sees this one.
            entry.hold();
            Ok(ticket)
        }
        refusal => Err(refusal == Join::Over),
    }
}

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
            room: capacity.map(Room::new).map(Arc::new),
            deadline: Mutex::new(None),
            share,
            describe: None,
            is_failure,
            hasher: sync::random_state(),
            last_assigned: Mutex::default(),
            is_abandoned: AtomicBool::new(false),
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
    #[inline]
    pub(crate) fn queue(
        self: &Arc<Self>,
        request: R,
        terms: Terms,
    ) -> Result<Ticketed<R, T>, QueueError<R>> {
        self.queue_for(Caller::here(), request, terms)
    }

    /// The same. Where the ticket is the first, there is a new run, and it has the caller's subscriber.
    #[inline]
    pub(crate) fn queue_for<S: Into<Option<Subscriber>>>(
        self: &Arc<Self>,
        caller: Caller<S>,
        request: R,
        terms: Terms,
    ) -> Result<Ticketed<R, T>, QueueError<R>> {
        if self.refuses() {
            return Err(QueueError::Stopped(request));
        }
        let hash = self.hash_of(&request);
        let mut place = Place::new(self.room.as_deref());
        let mut caller = Some(caller);
        match self.admit(request, hash, terms, &mut caller, &mut place) {
            Ok(queued) => queued,
            Err(back) => self.queue_later(back, hash, terms, caller, place),
        }
    }

    /// Queues a request once there is room for it. Apart, so that queueing where there is room stays short.
    #[cold]
    fn queue_later<S: Into<Option<Subscriber>>>(
        self: &Arc<Self>,
        mut request: R,
        hash: KeyHash,
        terms: Terms,
        mut caller: Option<Caller<S>>,
        mut place: Place<&Room>,
    ) -> Result<Ticketed<R, T>, QueueError<R>> {
        loop {
            request = place.wait(self.id, terms.patience, request)?;
            match self.admit(request, hash, terms, &mut caller, &mut place) {
                Ok(queued) => return queued,
                Err(back) => request = back,
            }
        }
    }

    /// Whether a request of the calling thread's is not to come in. A hint where it is not so: the queue decides.
    #[inline]
    pub(crate) fn refuses(&self) -> bool {
        !self.queue.is_open() && (!current::is_inside(self.id) || self.queue.is_closed())
    }

    #[inline]
    pub(crate) fn hash_of(&self, request: &R) -> KeyHash {
        KeyHash::of(self.hasher.hash_one(request))
    }

    /// Queues a request, or joins it to an equal one. It comes back if there is no room for it.
    #[inline]
    pub(crate) fn admit<S: Into<Option<Subscriber>>>(
        self: &Arc<Self>,
        request: R,
        hash: KeyHash,
        terms: Terms,
        caller: &mut Option<Caller<S>>,
        place: &mut Place<impl Deref<Target = Room>>,
    ) -> Result<Result<Ticketed<R, T>, QueueError<R>>, R> {
        // LOCK: declared before the visit, so dropped after it; see `Visit::find`.
        let mut unequal = Vec::new();
        let mut shard = self.in_flight.visit(hash);
        let found = shard.find(&mut unequal, |entry| {
            terms.is_shared && entry.run.reading().is_listed() && *entry.run.request() == request
        });
        let found = found.map(|found| self.join(found));
        if let Some(Found::Joined(ticketed, unused)) = found {
            shard.joined();
            drop(shard);
            drop(unused);
            self.joined(&ticketed.0, caller.take());
            // A panic in its `Drop` would lose the ticket.
            discard(request);
            return Ok(Ok(ticketed));
        }
        let Some(caller) = caller.take_if(|_| place.try_take()) else {
            drop(shard);
            return Err(request);
        };
        let entry = self.entry(request, hash, terms, caller);
        match &found {
            None => shard.insert(&entry),
            Some(Found::Ended(ended)) => shard.replace(ended, &entry),
            Some(Found::Running(running)) => self.parked.park(running, Arc::clone(&entry)),
            Some(Found::Joined(..)) => unreachable!("who has joined a run needs no other"),
        }
        drop(shard);
        place.keep();
        if let Some(Found::Running(_)) = found {
            self.observer.queued();
            return Ok(Ok((entry, Ticket::FIRST)));
        }
        Ok(self.push(entry))
    }

    /// A run that has ended before it began, for a request that was refused.
    pub(crate) fn stopped(self: &Arc<Self>, request: R) -> Ticketed<R, T> {
        let entry = self.entry(request, KeyHash(0), Terms::UNSHARED, Caller::here());
        entry.run.state_word().withdraw();
        entry.run.settle(Err(Failure::Stopped));
        let told = entry.run.close();
        debug_assert!(matches!(told, Told::Nobody), "nobody else has seen it");
        (entry, Ticket::FIRST)
    }

    /// Asks an equal run to take a caller in. To be called under its shard's lock.
    #[inline]
    fn join(&self, found: Arc<Entry<R, T>>) -> Found<R, T> {
        // One that has ended may stand in the table for a while.
        if self.share == Share::InFlight && found.run.is_settled() {
            return Found::Ended(found);
        }
        let is_over = match join(&found) {
            Ok(ticket) => return Found::Joined((found, ticket), None),
            Err(is_over) => is_over,
        };
        let joined = self.parked.behind(&found, |next| {
            let ticket = join(next).ok()?;
            Some((Arc::clone(next), ticket))
        });
        match joined.flatten() {
            Some(joined) => Found::Joined(joined, Some(found)),
            None if is_over => Found::Ended(found),
            None => Found::Running(found),
        }
    }

    /// Another caller shares a run.
    fn joined<S>(&self, entry: &Arc<Entry<R, T>>, caller: Option<Caller<S>>) {
        self.observer.coalesced();
        if let Some(caller) = caller {
            entry.trace.join(entry.id, caller.origin);
        }
    }

    #[inline]
    pub(crate) fn entry<S: Into<Option<Subscriber>>>(
        self: &Arc<Self>,
        request: R,
        hash: KeyHash,
        terms: Terms,
        caller: Caller<S>,
    ) -> Arc<Entry<R, T>> {
        let subscribers = Subscribers::of(caller.subscriber.into());
        Arc::new(Entry {
            id: RequestId::new(),
            run: Run::new(request, hash, terms, subscribers),
            trace: Trace::new(caller.origin),
            home: Arc::clone(self),
            holders: AtomicU32::new(1),
        })
    }

    #[inline]
    fn push(&self, entry: Arc<Entry<R, T>>) -> Result<Ticketed<R, T>, QueueError<R>> {
        let is_inside = !self.queue.is_open() && current::is_inside(self.id);
        // Before a worker can take it: what is counted is never too low.
        self.observer.queued();
        let now = self.observer.now();
        let mut pushed = self.queue.push(Arc::clone(&entry), is_inside, now);
        // A drain may have begun since the look above, and lets in what comes from inside.
        if pushed.is_err() && !is_inside && current::is_inside(self.id) {
            pushed = self.queue.push(Arc::clone(&entry), true, now);
        }
        match pushed {
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
                self.end_queued(&entry, Failure::Stopped);
            }
            return Ok((entry, Ticket::FIRST));
        }
        self.give_back_place();
        self.in_flight.retire(&entry, || None);
        match Arc::try_unwrap(entry) {
            Ok(entry) => {
                self.observer.refused();
                Err(QueueError::Stopped(entry.run.into_outcome().0))
            }
            Err(entry) => {
                self.end_withdrawn(&entry, Failure::Stopped, None);
                Ok((entry, Ticket::FIRST))
            }
        }
    }

    /// A worker begins a run that has waited for so many nanoseconds; `since` is the time, on its clock. `None`: it
    /// was withdrawn.
    #[inline]
    pub(crate) fn start(
        &self,
        entry: &Arc<Entry<R, T>>,
        worker: &WorkerRecord,
        since: u64,
        waited: u64,
    ) -> Option<HeldPlace> {
        worker.note_hash(entry.run.hash().0);
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
        waits::go_on(entry.id);
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
        let mut block = || {
            block_until(deadline, |waker| {
                let is_idle = self.queue.poll_idle(wanted, &mut place, waker);
                is_idle.then_some(())
            })
        };
        // What is waited for has no run. Where nobody can stand in, others may have to do it.
        let is_idle = waiting::wait(Vec::new, &mut block).unwrap_or_else(|_| block());
        self.queue.unwatch(wanted, place);
        is_idle.is_some()
    }

    /// Whether the processor calls an output a failure.
    pub(crate) fn is_failure(&self, output: &T) -> bool {
        // The user's code: one that panics has not said so.
        crate::panic::catch(|| (self.is_failure)(output)).unwrap_or(false)
    }

    pub(crate) fn take_place_anyway(&self) {
        if let Some(room) = &self.room {
            room.take_anyway();
        }
    }

    pub(crate) fn give_back_place(&self) {
        if let Some(room) = &self.room {
            room.give_back();
        }
    }
}
