//! A promise that is wanted for as long as somebody holds it: what a request handler awaits.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::awaiting::Awaiting;
use crate::error::Failure;
use crate::promise::Promise;

impl<R, T> Promise<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Has this caller's vote withdrawn when what is given back is dropped before the promise has settled.
    ///
    /// Dropping a promise is not aborting. But where a future is dropped to say that nobody waits any more, as a web
    /// server drops the handler of a client that has gone, and a timer what took too long, this passes it on: the
    /// request is not processed if nobody else wants it, and one that runs is told by
    /// [`Context::is_cancelled`](crate::Context::is_cancelled). Clones of the promise share the vote, and see the same.
    ///
    /// ```
    /// use parallel_workers::{Context, ProcessorService, State, processor_fn};
    ///
    /// let service = ProcessorService::builder()
    ///     .workers(1)
    ///     .paused(true)
    ///     .start(|| processor_fn(|n: &u64, _: &Context| n * n))?;
    /// let (one, other) = (service.queue_request(1), service.queue_request(2));
    /// drop(one.clone().abort_on_drop());
    /// assert_eq!(one.state(), State::Settled);
    /// service.resume();
    /// assert_eq!(futures::executor::block_on(other.abort_on_drop()), Ok(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn abort_on_drop(self) -> AbortOnDrop<R, T> {
        AbortOnDrop {
            promise: self,
            awaiting: Awaiting::default(),
        }
    }
}

/// A promise that is aborted when this is dropped, see [`Promise::abort_on_drop`].
///
/// As a future it gives a copy of the outcome; `(&*this).await` borrows it.
///
/// # Cancel safety
///
/// Dropped before it is ready, it aborts; that is what it is for.
#[must_use = "what is dropped at once is aborted at once"]
pub struct AbortOnDrop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    promise: Promise<R, T>,
    awaiting: Awaiting,
}

impl<R, T> Deref for AbortOnDrop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Target = Promise<R, T>;

    fn deref(&self) -> &Promise<R, T> {
        &self.promise
    }
}

impl<R, T> Future for AbortOnDrop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.awaiting.poll(&this.promise, cx.waker());
        polled.map(|outcome| outcome.cloned())
    }
}

impl<R, T> Drop for AbortOnDrop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.awaiting.leave(&self.promise);
        // Of a promise that has settled, this does nothing.
        self.promise.abort();
    }
}

impl<R, T> fmt::Debug for AbortOnDrop<R, T>
where
    R: Hash + Eq + Send + Sync + fmt::Debug + 'static,
    T: Send + Sync + fmt::Debug + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AbortOnDrop").field(&self.promise).finish()
    }
}
