//! Promises in the order in which they settle.
//!
//! The set keeps its promises; each run is asked to announce its member's key to the set's queue when it settles.
//! Nobody scans, and a promise that was yielded is gone from the set.

use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::blocking::{block_until, deadline_after};
use crate::members::{Members, ShortKey};
use crate::promise::Promise;
use crate::ready::Ready;
use crate::state::Ticket;
use crate::subscribers::Subscriber;
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::task::TaskWait;
use crate::waiting;
use crate::waits::Target;

/// Promises, to be had in the order in which they settle.
///
/// Every promise that is inserted is yielded once, also where two of them share one run, or one is a clone of
/// another. Those that were settled before they were inserted come in the order of insertion. Promises may be
/// inserted, from any thread, while others are selected; what was yielded is no longer kept.
///
/// A set is an iterator by [`select`](Self::select), and a [`Stream`] of the same.
///
/// Dropping a set aborts nothing, see [`abort_all`](Self::abort_all).
///
/// ```
/// use parallel_workers::{Context, ProcessorService, processor_fn};
///
/// let service = ProcessorService::start(2, || processor_fn(|n: &u64, _: &Context| n * n))?;
/// let squares = service.queue_requests(1..=3);
/// let mut outputs: Vec<u64> = squares.select().filter_map(|promise| promise.into_output().ok()).collect();
/// outputs.sort();
/// assert_eq!(outputs, [1, 4, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PromiseSet<R, T> {
    ready: Arc<Ready>,
    members: Mutex<Members<R, T>>,
    /// Where the task that polls the stream waits.
    place: Option<u64>,
    /// Of the task that awaits it.
    wait: TaskWait,
}

impl<R, T> PromiseSet<R, T> {
    /// An empty set.
    pub fn new() -> Self {
        Self {
            ready: Arc::default(),
            members: Mutex::new(Members::new()),
            place: None,
            wait: TaskWait::default(),
        }
    }

    /// Adds a promise, settled or not.
    ///
    /// # Panics
    ///
    /// With more than 2^32 promises in one set.
    #[inline]
    pub fn insert(&self, promise: Promise<R, T>) {
        // LOCK: held until the member is in, so that whoever is told of it finds it. The run's own lock is taken
        // inside; nobody takes them the other way round.
        let mut members = self.members.lock();
        let number = members.next_number();
        // One that has settled need not be asked to tell.
        let key = if promise.has_outcome() {
            None
        } else {
            promise.announce_to(members.announcer(&self.ready), number)
        };
        let is_settled = key.is_none();
        members.insert(promise, key.into());
        let is_next = is_settled && self.ready.is_quiet();
        if is_next {
            members.settled.push_back(number);
        }
        drop(members);
        if is_settled && !is_next {
            self.ready.announce([number]);
        }
    }

    /// Adds the promise that `queue` gives, and whether its run tells the set already, by the subscriber that `queue`
    /// was given.
    #[inline]
    pub(crate) fn insert_told(&mut self, queue: impl FnOnce(Subscriber) -> (Promise<R, T>, bool)) {
        let members = self.members.get_mut();
        let number = members.next_number();
        let (promise, is_told) = queue(Subscriber::Member {
            ticket: Ticket::FIRST,
            key: number,
            announcer: Arc::clone(members.announcer(&self.ready)),
        });
        if is_told {
            // Nobody can have looked for it, for the set is this caller's alone.
            members.insert(promise, ShortKey::FIRST);
        } else {
            self.insert(promise);
        }
    }

    /// How many promises have not been yielded.
    pub fn len(&self) -> usize {
        self.members.lock().len()
    }

    /// Whether every promise has been yielded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Yields the promises in the order in which they settle, until the set is empty.
    ///
    /// The iterator knows its length, so that a progress bar can be put around it. Where promises are inserted
    /// meanwhile, it grows, and the iterator may go on after it gave `None`.
    ///
    /// Inside a worker, where all that is left waits for this worker's own request, or no spare worker can be had, it
    /// yields what has not settled: the promise's [`wait`](Promise::wait) says why.
    ///
    /// # Blocking
    ///
    /// Each step, until a promise is settled.
    pub fn select(&self) -> Select<'_, R, T> {
        Select { set: self }
    }

    /// The promise that settles next; `None` if the set is empty.
    ///
    /// # Blocking
    ///
    /// Until one is settled.
    #[inline]
    pub fn select_next(&self) -> Option<Promise<R, T>> {
        self.select_until(None)
    }

    /// A promise that is settled, if there is one now.
    #[inline]
    pub fn try_select(&self) -> Option<Promise<R, T>> {
        let mut members = self.members.lock();
        if members.settled.is_empty() {
            self.ready.take_all(&mut members.settled);
        }
        let promise = members.take()?;
        self.yielded(members, promise)
    }

    /// The promise that settles next, within `timeout`. `None` too if the set is empty.
    ///
    /// # Blocking
    ///
    /// Until one is settled, or `timeout` has passed.
    pub fn select_timeout(&self, timeout: Duration) -> Option<Promise<R, T>> {
        self.select_until(deadline_after(timeout))
    }

    /// The promise that settles next, before `deadline`. `None` too if the set is empty.
    ///
    /// # Blocking
    ///
    /// Until one is settled, or `deadline` has come.
    pub fn select_deadline(&self, deadline: Instant) -> Option<Promise<R, T>> {
        self.select_until(Some(deadline))
    }

    /// All promises, in the order in which they settled. Leaves the set empty.
    ///
    /// # Blocking
    ///
    /// Until all are settled.
    pub fn wait_for_all(&self) -> Vec<Promise<R, T>> {
        self.select().collect()
    }

    /// Calls `f` with each promise as it settles, on the calling thread. Leaves the set empty.
    ///
    /// # Blocking
    ///
    /// Until all are settled.
    pub fn wait_for_all_with(&self, mut f: impl FnMut(&Promise<R, T>)) {
        self.select().for_each(|promise| f(&promise));
    }

    #[inline]
    fn select_until(&self, deadline: Option<Instant>) -> Option<Promise<R, T>> {
        if let Some(promise) = self.try_select() {
            return Some(promise);
        }
        self.select_later(deadline)
    }

    // Apart, so that taking what is there stays short.
    #[cold]
    fn select_later(&self, deadline: Option<Instant>) -> Option<Promise<R, T>> {
        let mut place = None;
        let block = || block_until(deadline, |waker| self.poll_select(&mut place, waker));
        match waiting::wait(|| self.unsettled(), block) {
            Ok(selected) => {
                self.ready.leave(place);
                selected.flatten()
            }
            Err(_) => self.give_up_one(),
        }
    }

    /// The runs of all members; none, where they are too many to be asked each time.
    fn unsettled(&self) -> Vec<Option<Target>> {
        let members = self.members.lock();
        if members.len() > MOST_ASKED {
            return Vec::new();
        }
        // LOCK: no names here, which only foreign code knows.
        members.promises().map(Promise::target).collect()
    }

    /// Takes out a promise that cannot be waited for here; its `wait` says why.
    fn give_up_one(&self) -> Option<Promise<R, T>> {
        let mut members = self.members.lock();
        let given_up = members.give_up_one()?;
        drop(members);
        Some(given_up.unsubscribed())
    }

    /// The next promise, or `Some(None)` if the set is empty, or a place among those who wait.
    fn poll_select(&self, place: &mut Option<u64>, waker: &Waker) -> Option<Option<Promise<R, T>>> {
        // Cloned here, for a waker is foreign code, and a lock is taken next.
        let waker = waker.clone();
        // LOCK: held while a place is taken, so that whoever is announced next finds one who waits, and whoever takes
        // the last promise wakes him.
        let mut members = self.members.lock();
        let unused = if members.settled.is_empty() {
            let settled = &mut members.settled;
            self.ready.take_all_or_wait(settled, place, waker)
        } else {
            Some(waker)
        };
        let taken = members.take();
        let is_empty = members.is_empty();
        let promise = match taken {
            Some(promise) => self.yielded(members, promise),
            None => {
                drop(members);
                None
            }
        };
        drop(unused);
        (promise.is_some() || is_empty).then_some(promise)
    }

    /// The promise that was taken. Whoever waits for another one need not, if it was the last.
    #[inline]
    fn yielded(
        &self,
        members: MutexGuard<'_, Members<R, T>>,
        promise: Promise<R, T>,
    ) -> Option<Promise<R, T>> {
        let was_last = members.is_empty();
        // LOCK: released before anybody is woken.
        drop(members);
        if was_last {
            self.ready.wake_all();
        }
        Some(promise)
    }
}

/// Where a set has more members than this, nobody looks for circles before a wait for them.
const MOST_ASKED: usize = 1024;

impl<R, T> PromiseSet<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Aborts every promise of the set, see [`Promise::abort`]; they are still to be selected.
    pub fn abort_all(&self) {
        let members = self.members.lock();
        let open = members.promises();
        let open: Vec<_> = open.filter(|one| !one.is_settled()).cloned().collect();
        // LOCK: released before anything is aborted, for that runs callbacks.
        drop(members);
        // The last come first: nobody begins what is behind them.
        for promise in open.iter().rev() {
            promise.abort();
        }
    }
}

/// Leaves nothing behind in the runs of promises that were not yielded.
impl<R, T> Drop for PromiseSet<R, T> {
    fn drop(&mut self) {
        // LOCK: released before any promise is dropped, and the user's values with it.
        let members = std::mem::replace(&mut *self.members.lock(), Members::new());
        members
            .into_iter()
            .for_each(|member| drop(member.unsubscribed()));
    }
}

impl<R, T> Default for PromiseSet<R, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, T> FromIterator<Promise<R, T>> for PromiseSet<R, T> {
    fn from_iter<I: IntoIterator<Item = Promise<R, T>>>(promises: I) -> Self {
        let set = Self::new();
        promises.into_iter().for_each(|promise| set.insert(promise));
        set
    }
}

impl<R, T> Extend<Promise<R, T>> for PromiseSet<R, T> {
    fn extend<I: IntoIterator<Item = Promise<R, T>>>(&mut self, promises: I) {
        promises
            .into_iter()
            .for_each(|promise| self.insert(promise));
    }
}

impl<R, T> Stream for PromiseSet<R, T> {
    type Item = Promise<R, T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut place = self.place.take();
        let polled = self.poll_select(&mut place, cx.waker());
        self.place = place;
        match polled {
            None => _ = self.wait.begin(),
            Some(_) => self.wait.end(),
        }
        polled.map_or(Poll::Pending, Poll::Ready)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // More may be inserted.
        (self.len(), None)
    }
}

impl<R, T> fmt::Debug for PromiseSet<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromiseSet")
            .field("len", &self.len())
            .finish()
    }
}

/// The promises of a set in the order in which they settle, see [`PromiseSet::select`].
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Select<'a, R, T> {
    set: &'a PromiseSet<R, T>,
}

impl<R, T> Iterator for Select<'_, R, T> {
    type Item = Promise<R, T>;

    #[inline]
    fn next(&mut self) -> Option<Promise<R, T>> {
        self.set.select_next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.set.len();
        (len, Some(len))
    }
}

impl<R, T> ExactSizeIterator for Select<'_, R, T> {}

impl<R, T> fmt::Debug for Select<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("set", self.set).finish()
    }
}

impl<'a, R, T> IntoIterator for &'a PromiseSet<R, T> {
    type Item = Promise<R, T>;
    type IntoIter = Select<'a, R, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.select()
    }
}
