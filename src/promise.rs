//! What a caller gets for a request: a ticket to its run.

use std::fmt;
use std::hash::Hash;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::blocking::{block_on, block_until, deadline_after};
use crate::dispatcher::{Entry, Ticketed};
use crate::error::Failure;
use crate::ready::Announcer;
use crate::request_id::RequestId;
use crate::state::{Abort, State, Ticket};
use crate::status::WorkerId;
use crate::subscribers::{Key, Subscriber};
use crate::sync::Arc;
use crate::waiting;
use crate::waits::Target;

/// The outcome of one request, sooner or later. Dropping it aborts nothing.
///
/// It settles exactly once, with an output or a [`Failure`], whatever happens. It can be waited for
/// ([`wait`](Self::wait)), awaited under any executor (`promise.await`, `(&promise).await`), called back from
/// ([`on_settled`](Self::on_settled)), put into a [`PromiseSet`](crate::PromiseSet), asked
/// ([`try_result`](Self::try_result)) and aborted ([`abort`](Self::abort)).
///
/// Clones share one ticket: together they are one vote for the run, which `abort` takes back. Every
/// `queue_request` gives a ticket of its own, also where it joined an equal request; two promises are `==` if they
/// share one run.
///
/// ```
/// use parallel_workers::{Context, ProcessorService, processor_fn};
///
/// let service = ProcessorService::start(1, || processor_fn(|text: &String, _: &Context| text.len()))?;
/// let promise = service.queue_request("hola".to_string());
/// assert_eq!(*promise.wait()?, 4);
/// assert_eq!(promise.request(), "hola");
/// assert_eq!(promise.into_output().ok(), Some(4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Promise<R, T> {
    /// Taken only by `into_output`, which consumes the promise: so what that costs is no more than a move.
    entry: Option<Arc<Entry<R, T>>>,
    ticket: Ticket,
}

impl<R, T> Promise<R, T> {
    /// The outcome.
    ///
    /// # Errors
    ///
    /// The [`Failure`] that the promise settled with.
    ///
    /// # Blocking
    ///
    /// Until the promise is settled. In async code, await the promise instead.
    ///
    /// Inside a worker, a spare worker stands in for this one meanwhile. Where none can be had, or the wait would close
    /// a circle of requests that wait for one another (what was assigned to a worker waits for what that worker does), it
    /// says [`Failure::WouldDeadlock`] or [`Failure::Cycle`] at once, with a timeout too; the promise is not settled by
    /// that.
    #[doc(alias = "recv_data")]
    #[doc(alias = "get_return!")]
    #[inline]
    pub fn wait(&self) -> Result<&T, Failure> {
        self.try_result().unwrap_or_else(|| self.wait_long())
    }

    /// The outcome, if the promise settles within `timeout`; one that is too long for the clock means for ever.
    ///
    /// A wait that ran out leaves nothing behind, and the outcome can be had later.
    ///
    /// # Blocking
    ///
    /// Until the promise is settled, or `timeout` has passed.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<&T, Failure>> {
        self.wait_until(deadline_after(timeout))
    }

    /// The outcome, if the promise settles before `deadline`.
    ///
    /// # Blocking
    ///
    /// Until the promise is settled, or `deadline` has come.
    pub fn wait_deadline(&self, deadline: Instant) -> Option<Result<&T, Failure>> {
        self.wait_until(Some(deadline))
    }

    /// The outcome, if the promise is settled.
    #[doc(alias = "poll")]
    #[inline]
    pub fn try_result(&self) -> Option<Result<&T, Failure>> {
        self.entry().run.outcome_for(self.ticket)
    }

    /// Whether the outcome can be read.
    pub fn is_settled(&self) -> bool {
        self.state() == State::Settled
    }

    /// How far the request has come.
    #[inline]
    pub fn state(&self) -> State {
        self.entry().run.state_for(self.ticket)
    }

    /// Names the run, as in [`Event`](crate::Event)s and in [`WorkerStatus::requests`](crate::WorkerStatus::requests).
    /// Where several callers share a run, they share its id.
    pub fn id(&self) -> RequestId {
        self.entry().id
    }

    /// The request. Where several callers share a run, that of the first.
    pub fn request(&self) -> &R {
        self.entry().run.request()
    }

    /// The worker that processes or has processed the request; `None` before it began.
    pub fn worker(&self) -> Option<WorkerId> {
        self.entry().run.worker()
    }

    /// The output itself, if this is the last handle to its run.
    ///
    /// It is, after a `wait` that blocked, and for a promise that a set yielded, unless somebody shares the run,
    /// or a callback that holds it is still to return. Does not wait.
    ///
    /// # Errors
    ///
    /// The promise comes back if it is not settled, has no output, or is not the last handle.
    #[inline]
    pub fn into_output(mut self) -> Result<T, Self> {
        if !self.entry().run.has_output_for(self.ticket) {
            return Err(self);
        }
        let Some(entry) = self.entry.take() else {
            return Err(self);
        };
        entry.release();
        // Its parts are taken out where they are: to move the whole is what takes the time here.
        let mut whole = Arc::try_unwrap(entry);
        match &mut whole {
            Ok(entry) => Ok(entry.run.take_output()),
            Err(entry) => {
                entry.hold();
                self.entry = Some(Arc::clone(entry));
                Err(self)
            }
        }
    }

    fn entry(&self) -> &Arc<Entry<R, T>> {
        self.entry
            .as_ref()
            .expect("only `into_output` takes it, which consumes the promise")
    }

    // Apart, so that reading what is there stays short.
    #[cold]
    fn wait_long(&self) -> Result<&T, Failure> {
        let mut key = None;
        let block = || block_on(|waker| self.poll(&mut key, waker));
        waiting::wait(|| vec![self.named_target()], block).unwrap_or_else(Err)
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Result<&T, Failure>> {
        if let Some(outcome) = self.try_result() {
            return Some(outcome);
        }
        let mut key = None;
        let block = || block_until(deadline, |waker| self.poll(&mut key, waker));
        let waited = waiting::wait(|| vec![self.named_target()], block);
        let outcome = waited.unwrap_or_else(|refused| Some(Err(refused)));
        if let (None, Some(key)) = (&outcome, key) {
            self.entry().run.unsubscribe(key);
        }
        outcome
    }

    /// The outcome, or a place among those who are told of it.
    pub(crate) fn poll(&self, key: &mut Option<Key>, waker: &Waker) -> Option<Result<&T, Failure>> {
        if let Some(outcome) = self.try_result() {
            return Some(outcome);
        }
        // Cloned here, for a waker is foreign code, and a lock is taken next.
        let run = &self.entry().run;
        if run.subscribe_waker(self.ticket, key, waker.clone()) {
            return None;
        }
        self.try_result()
    }

    /// Whether its run has settled. If not, the promise may have, by an abort of its own.
    #[inline]
    pub(crate) fn has_outcome(&self) -> bool {
        self.entry().run.is_settled()
    }

    /// Whether it is what the worker whose thread this is has to do itself, when its requests are done.
    pub(crate) fn waits_for_this_thread(&self) -> bool {
        self.entry().waits_for_this_thread()
    }

    /// What a wait for it waits for, without its name: no foreign code is called. `None`: for the thread that waits.
    pub(crate) fn target(&self) -> Option<Target> {
        self.entry().target()
    }

    /// The same, with the name that a circle would be told by.
    pub(crate) fn named_target(&self) -> Option<Target> {
        let mut target = self.target()?;
        if target.obstacle.is_some() {
            target.run.name = self.entry().name();
        }
        Some(target)
    }

    /// Gives up a place.
    pub(crate) fn unsubscribe(&self, key: Key) {
        self.entry().run.unsubscribe(key);
    }

    /// Gives up the place of a set's member.
    pub(crate) fn unsubscribe_member(&self, serial: u64) {
        self.entry().run.unsubscribe(Key::new(self.ticket, serial));
    }

    /// Has a set told of its member under `key` when the promise settles; `None` if it has settled.
    #[inline]
    pub(crate) fn announce_to(&self, announcer: &Arc<Announcer>, key: u32) -> Option<Key> {
        let announcer = Arc::clone(announcer);
        let subscriber = Subscriber::Member {
            ticket: self.ticket,
            key,
            announcer,
        };
        self.entry().run.subscribe(subscriber).ok()
    }
}

impl<R, T> Promise<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    #[inline]
    pub(crate) fn new((entry, ticket): Ticketed<R, T>) -> Self {
        Self {
            entry: Some(entry),
            ticket,
        }
    }

    /// Takes this caller's vote for the run back, once; says what that did.
    ///
    /// The run is aborted if it has not begun and nobody else wants it. It then gives its place in a bounded queue
    /// back at once, and is never processed. Clones of this promise share the vote, and see the same.
    ///
    /// The callbacks that are due by it run here, on the calling thread.
    pub fn abort(&self) -> Abort {
        self.entry().abort(self.ticket)
    }

    /// Ends the run with [`Failure::Stopped`], if nobody has begun it. Where somebody has, he is told nothing.
    #[cfg(feature = "nats")]
    pub(crate) fn take_back(&self) -> bool {
        self.entry().take_back()
    }

    /// Calls `callback` with this promise once it is settled; returns at once, for chaining.
    ///
    /// It runs exactly once: on the thread that settles the promise, which as a rule is a worker, or here and now
    /// if it is settled. Callbacks registered before the promise settles run in that order, one after another.
    /// No lock is held, so a callback may use the service, and queueing from one never blocks on capacity. Keep
    /// it short: a worker that calls back processes nothing. One that panics is caught and counted.
    pub fn on_settled(&self, callback: impl FnOnce(&Self) + Send + 'static) -> &Self {
        let promise = self.clone();
        let callback = Box::new(move || callback(&promise));
        if let Err(Subscriber::Callback { callback, .. }) =
            self.entry().run.subscribe(Subscriber::Callback {
                ticket: self.ticket,
                callback,
            })
        {
            self.entry().call_back(callback);
        }
        self
    }
}

impl<R, T> Clone for Promise<R, T> {
    fn clone(&self) -> Self {
        let entry = self.entry();
        entry.hold();
        Self {
            entry: Some(Arc::clone(entry)),
            ticket: self.ticket,
        }
    }
}

impl<R, T> Drop for Promise<R, T> {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            entry.release();
        }
    }
}

/// Whether two promises share one run.
impl<R, T> PartialEq for Promise<R, T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.entry(), other.entry())
    }
}

impl<R, T> Eq for Promise<R, T> {}

impl<R: fmt::Debug, T: fmt::Debug> fmt::Debug for Promise<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Promise");
        debug.field("request", self.request());
        match self.try_result() {
            Some(outcome) => debug.field("outcome", &outcome),
            None => debug.field("state", &self.state()),
        };
        debug.finish()
    }
}
