//! One run: a request, its outcome, and everybody who wants to know it.
//!
//! # Who may touch what
//!
//! - `request`, `hash`: written once, before anybody else sees the run.
//! - `state`: steps as the table in [`state`](crate::state) says, each with one winner.
//! - `outcome`: written once, by the winner of the step that ended the run.
//! - `subscribers`: under its mutex, for a few instructions; no foreign code runs there.
//!
//! # Why nobody waits for ever
//!
//! Who settles writes the outcome, then closes the list of subscribers and tells those it took out. Who
//! subscribes asks the list: it is open, and he will be among those taken out; or it is closed, and the outcome,
//! written before, is there to be read. A caller who leaves a run that goes on is marked in the same list, under
//! the same mutex, so the same holds for him.

use std::time::Instant;

use crate::blocking::block_until;
use crate::error::Failure;
use crate::in_flight::KeyHash;
use crate::lane::Placed;
use crate::lanes::Assigned;
use crate::state::{Join, Leave, Phase, Reading, State, StateWord, Ticket};
use crate::status::WorkerId;
use crate::subscribers::{Key, Subscriber, Subscribers, Told};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Mutex, OnceLock};
use crate::terms::Terms;

/// The run.
pub(crate) struct Run<R, T> {
    request: R,
    hash: KeyHash,
    state: StateWord,
    /// The number of the worker that began it; before that, of the first of the line of workers that it was
    /// assigned to.
    worker: AtomicU32,
    /// Where it stands in its lane. Written under the lock of that lane.
    position: AtomicU32,
    /// How many workers that had begun it were lost, each before the next one began it.
    attempts: AtomicU32,
    outcome: OnceLock<Result<T, Failure>>,
    subscribers: Mutex<Subscribers>,
}

const NO_WORKER: u32 = u32::MAX;

/// What a caller's leaving came to.
pub(crate) enum Left {
    /// The run is withdrawn, and the caller's to settle.
    Withdrawn,
    /// Others go on; these were to be told on the caller's behalf.
    StillWanted(Told),
    /// It goes on. Where this was the last caller, its processor is to be told.
    Running(Told),
    Settled,
    /// Somebody else withdrew it and is about to settle it.
    Settling,
}

impl<R, T> Run<R, T> {
    /// A queued run, and who is told of its outcome already.
    #[inline]
    pub(crate) fn new(request: R, hash: KeyHash, terms: Terms, subscribers: Subscribers) -> Self {
        Self {
            request,
            hash,
            state: StateWord::new(terms.is_shared),
            worker: AtomicU32::new(terms.line.map_or(NO_WORKER, |line| line.0)),
            position: AtomicU32::new(0),
            attempts: AtomicU32::new(terms.attempts),
            outcome: OnceLock::new(),
            subscribers: Mutex::new(subscribers),
        }
    }

    pub(crate) fn request(&self) -> &R {
        &self.request
    }

    pub(crate) fn hash(&self) -> KeyHash {
        self.hash
    }

    #[inline]
    pub(crate) fn reading(&self) -> Reading {
        self.state.read()
    }

    /// Whether nobody has begun it, and it has not been withdrawn.
    pub(crate) fn is_queued(&self) -> bool {
        self.state.read().phase() == Phase::Queued
    }

    pub(crate) fn state_word(&self) -> &StateWord {
        &self.state
    }

    pub(crate) fn join(&self) -> Join {
        self.state.join()
    }

    /// A worker takes the run; false if it was withdrawn.
    #[inline]
    pub(crate) fn start(&self, worker: WorkerId) -> bool {
        // ORDERING: the step of the state word releases it to whoever sees the run running.
        self.worker.store(worker.0, Ordering::Relaxed);
        self.state.start()
    }

    /// The worker gives the run back, to the line of workers that it was taken from; false if it has been settled, or
    /// nobody wants it.
    pub(crate) fn give_back(&self, worker: WorkerId, line: Option<WorkerId>) -> bool {
        // ORDERING: as in `start`.
        let number = line.map_or(NO_WORKER, |line| line.0);
        self.worker.store(number, Ordering::SeqCst);
        let is_queued = self.state.give_back();
        if !is_queued {
            self.worker.store(worker.0, Ordering::SeqCst);
        }
        is_queued
    }

    /// How often it was begun before by workers that were lost.
    pub(crate) fn attempts(&self) -> &AtomicU32 {
        &self.attempts
    }

    /// The worker that began it.
    pub(crate) fn worker(&self) -> Option<WorkerId> {
        match self.state.read().phase() {
            Phase::Queued | Phase::Withdrawn => None,
            Phase::Running | Phase::Finishing => self.line(),
        }
    }

    /// Whether it is for this worker, or with it.
    pub(crate) fn is_of(&self, worker: WorkerId) -> bool {
        self.line() == Some(worker)
    }

    /// The outcome, as the caller of `ticket` sees it.
    #[inline]
    pub(crate) fn outcome_for(&self, ticket: Ticket) -> Option<Result<&T, Failure>> {
        if self.has_left(ticket) {
            return Some(Err(Failure::Aborted));
        }
        let outcome = self.outcome.get()?;
        Some(outcome.as_ref().map_err(Failure::clone))
    }

    /// Whether there is an output, as the caller of `ticket` sees it.
    #[inline]
    pub(crate) fn has_output_for(&self, ticket: Ticket) -> bool {
        matches!(self.outcome.get(), Some(Ok(_))) && !self.has_left(ticket)
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.outcome.get().is_some()
    }

    #[inline]
    pub(crate) fn state_for(&self, ticket: Ticket) -> State {
        if self.is_settled() || self.has_left(ticket) {
            return State::Settled;
        }
        match self.state.read().phase() {
            Phase::Queued | Phase::Withdrawn => State::Queued,
            Phase::Running | Phase::Finishing => State::Running,
        }
    }

    /// Asks to be told of the outcome. The subscriber comes back if it can be read already.
    #[inline]
    pub(crate) fn subscribe(&self, subscriber: Subscriber) -> Result<Key, Subscriber> {
        self.subscribers.lock().subscribe(subscriber)
    }

    /// Asks that a task be woken, under `key` if it has asked before. False: the outcome can be read.
    pub(crate) fn subscribe_waker(
        &self,
        ticket: Ticket,
        key: &mut Option<Key>,
        waker: std::task::Waker,
    ) -> bool {
        let mut subscribers = self.subscribers.lock();
        if subscribers.is_closed() {
            drop(subscribers);
            return false;
        }
        // LOCK: what comes back is foreign, and is dropped after the lock.
        match *key {
            Some(key) => {
                let unused = subscribers.replace_waker(key, waker);
                drop(subscribers);
                drop(unused);
                !self.has_left(ticket)
            }
            None => match subscribers.subscribe(Subscriber::Waker { ticket, waker }) {
                Ok(new) => {
                    *key = Some(new);
                    true
                }
                Err(unused) => {
                    drop(subscribers);
                    drop(unused);
                    false
                }
            },
        }
    }

    /// Waits until it has settled, for whoever knows that it is about to.
    pub(crate) fn wait_until_settled(&self, deadline: Option<Instant>) {
        let mut key = None;
        block_until(deadline, |waker| {
            let waits = self.subscribe_waker(Ticket::PINNED, &mut key, waker.clone());
            (!waits).then_some(())
        });
        if let Some(key) = key {
            self.unsubscribe(key);
        }
    }

    /// Wants to be told no longer.
    pub(crate) fn unsubscribe(&self, key: Key) {
        let unused = self.subscribers.lock().remove(key);
        // LOCK: released above; what is dropped here is foreign.
        drop(unused);
    }

    /// Who is told.
    pub(crate) fn subscribers(&self) -> &Mutex<Subscribers> {
        &self.subscribers
    }

    /// The caller of `ticket` takes his vote back.
    pub(crate) fn leave(&self, ticket: Ticket) -> Left {
        // Where there is one ticket only, whether it was given back is in the state word, and the list need not be asked.
        if ticket == Ticket::FIRST && self.state.withdraw_unshared() {
            return Left::Withdrawn;
        }
        // LOCK: whether this caller has left, and that he leaves now, is one step.
        let mut subscribers = self.subscribers.lock();
        if subscribers.is_closed() || subscribers.has_left(ticket) {
            return Left::Settled;
        }
        if ticket == Ticket::PINNED {
            return Left::Running(Told::Nobody);
        }
        match self.state.leave() {
            Leave::Withdrawn => Left::Withdrawn,
            Leave::StillWanted => Left::StillWanted(subscribers.leave(ticket)),
            // LOCK: that nobody wants the run is true already, so a processor that asks to be told from now on is
            // told at once.
            Leave::Running => Left::Running(subscribers.take_of(Ticket::PROCESSOR)),
            Leave::Settling => Left::Settling,
        }
    }

    /// Writes the outcome. To be called once, by whoever ended the run.
    #[inline]
    pub(crate) fn settle(&self, outcome: Result<T, Failure>) {
        let is_first = self.outcome.set(outcome).is_ok();
        debug_assert!(
            is_first,
            "only the winner of the step that ended a run settles it"
        );
    }

    /// Takes out all who are to be told. To be called once, when the outcome has been written.
    #[inline]
    pub(crate) fn close(&self) -> Told {
        self.subscribers.lock().close()
    }

    /// The output itself, which is there.
    #[inline]
    pub(crate) fn take_output(&mut self) -> T {
        match std::mem::take(&mut self.outcome).into_inner() {
            Some(Ok(output)) => output,
            _ => unreachable!("the output was there, and an outcome is written once"),
        }
    }

    /// The request, and the outcome itself.
    #[inline]
    pub(crate) fn into_outcome(self) -> (R, Option<Result<T, Failure>>) {
        (self.request, self.outcome.into_inner())
    }

    #[inline]
    fn has_left(&self, ticket: Ticket) -> bool {
        self.state.read().some_left() && self.subscribers.lock().has_left(ticket)
    }
}

impl<R, T> Placed for Run<R, T> {
    fn place(&self, position: u32) {
        // ORDERING: relaxed, here and below: the lane's lock orders them, and what is read under that of another lane
        // is no more than where to look.
        self.position.store(position, Ordering::Relaxed);
    }

    fn position(&self) -> u32 {
        self.position.load(Ordering::Relaxed)
    }

    fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl<R, T> Assigned for Run<R, T> {
    fn line(&self) -> Option<WorkerId> {
        // ORDERING: SeqCst, here and below, against the count of obstacles: see `waits::go_on`.
        let number = self.worker.load(Ordering::SeqCst);
        (number != NO_WORKER).then_some(WorkerId(number))
    }

    fn release(&self) {
        self.worker.store(NO_WORKER, Ordering::SeqCst);
    }
}
