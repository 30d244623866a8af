//! Mapping an iterator of requests to their promises, for tasks: as streams.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hash;
use std::iter::Fuse;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::awaiting::Awaiting;
use crate::dispatcher::Dispatcher;
use crate::processor::Processor;
use crate::promise::Promise;
use crate::promise_set::PromiseSet;
use crate::queue_future::QueueRequest;
use crate::service::ProcessorService;
use crate::sync::Arc;

/// How iterators are mapped by tasks.
impl<P: Processor> ProcessorService<P> {
    /// As [`map`](Self::map), as a stream: it queues the requests of an iterator as they are needed, no further ahead
    /// than the window, and yields their promises, settled, in the same order. No thread is blocked, neither for
    /// room in a bounded queue nor for an outcome.
    ///
    /// It borrows nothing, and does not keep the service alive: after a stop, promises say
    /// [`Failure::Stopped`](crate::Failure::Stopped). Dropping it aborts what it queued and nobody else wants.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future of a single step loses nothing: the next one goes on where it was.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use parallel_workers::{Context, ProcessorService, processor_fn};
    ///
    /// let service = ProcessorService::start(2, || processor_fn(|n: &u64, _: &Context| n * n))?;
    /// let squares = service.map_async(1..).map(|promise| *promise.wait().unwrap()).take(5);
    /// let squares: Vec<_> = futures::executor::block_on(squares.collect());
    /// assert_eq!(squares, [1, 4, 9, 16, 25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_async<I>(&self, requests: I) -> MapAsync<P::Request, P::Output, I::IntoIter>
    where
        I: IntoIterator<Item = P::Request>,
    {
        MapAsync {
            ahead: Ahead::new(self, requests.into_iter()),
            queued: VecDeque::new(),
            awaiting: Awaiting::default(),
        }
    }

    /// As [`map_async`](Self::map_async), yielding promises in the order in which they settle.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn map_unordered_async<I>(
        &self,
        requests: I,
    ) -> MapUnorderedAsync<P::Request, P::Output, I::IntoIter>
    where
        I: IntoIterator<Item = P::Request>,
    {
        MapUnorderedAsync {
            ahead: Ahead::new(self, requests.into_iter()),
            queued: PromiseSet::new(),
        }
    }
}

/// What a map has not queued.
struct Ahead<R, T, I> {
    home: Arc<Dispatcher<R, T>>,
    requests: Fuse<I>,
    window: usize,
    /// The request that waits for room.
    queueing: Option<QueueRequest<R, T>>,
}

impl<R, T, I: Iterator<Item = R>> Ahead<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn new<P>(service: &ProcessorService<P>, requests: I) -> Self
    where
        P: Processor<Request = R, Output = T>,
    {
        Self {
            home: Arc::clone(service.home()),
            requests: requests.fuse(),
            window: service.window,
            queueing: None,
        }
    }

    /// The next one, queued. `Ready(None)`: there is no other, or no other may be, with so many queued.
    fn poll_queue(&mut self, queued: usize, cx: &mut Context<'_>) -> Poll<Option<Promise<R, T>>> {
        if queued >= self.window {
            return Poll::Ready(None);
        }
        let queueing = match &mut self.queueing {
            Some(queueing) => queueing,
            None => match self.requests.next() {
                Some(request) => self.queueing.insert(QueueRequest::new(&self.home, request)),
                None => return Poll::Ready(None),
            },
        };
        let promise = std::task::ready!(Pin::new(queueing).poll(cx));
        self.queueing = None;
        Poll::Ready(Some(promise))
    }

    /// Queues as many as may be, besides those that are. Whether there is nothing to wait for but room.
    fn fill(
        &mut self,
        mut queued: usize,
        cx: &mut Context<'_>,
        mut keep: impl FnMut(Promise<R, T>),
    ) -> bool {
        while let Poll::Ready(Some(promise)) = self.poll_queue(queued, cx) {
            keep(promise);
            queued += 1;
        }
        queued == 0 && self.queueing.is_some()
    }
}

/// Settled promises in the order of their requests, see [`ProcessorService::map_async`].
#[must_use = "streams do nothing unless polled"]
pub struct MapAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    ahead: Ahead<R, T, I>,
    queued: VecDeque<Promise<R, T>>,
    /// Of this task, with the first of them.
    awaiting: Awaiting,
}

impl<R, T, I: Iterator<Item = R>> MapAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Promise<R, T>>> {
        let Some(first) = self.queued.front() else {
            return Poll::Ready(None);
        };
        if self.awaiting.poll(first, cx.waker()).is_pending() {
            return Poll::Pending;
        }
        self.awaiting.leave(first);
        Poll::Ready(self.queued.pop_front())
    }
}

// Nothing of it is pinned.
impl<R, T, I> Unpin for MapAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
}

impl<R, T, I: Iterator<Item = R>> Stream for MapAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Item = Promise<R, T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Promise<R, T>>> {
        let this = &mut *self;
        let queued = this.queued.len();
        if this
            .ahead
            .fill(queued, cx, |promise| this.queued.push_back(promise))
        {
            return Poll::Pending;
        }
        self.poll_first(cx)
    }
}

impl<R, T, I> Drop for MapAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(first) = self.queued.front() {
            self.awaiting.leave(first);
        }
        // The last come first: nobody begins what is behind them.
        for promise in self.queued.drain(..).rev() {
            promise.abort();
        }
    }
}

impl<R, T, I> fmt::Debug for MapAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapAsync")
            .field("window", &self.ahead.window)
            .field("queued", &self.queued.len())
            .finish()
    }
}

/// Settled promises in the order in which they settle, see [`ProcessorService::map_unordered_async`].
#[must_use = "streams do nothing unless polled"]
pub struct MapUnorderedAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    ahead: Ahead<R, T, I>,
    queued: PromiseSet<R, T>,
}

// Nothing of it is pinned.
impl<R, T, I> Unpin for MapUnorderedAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
}

impl<R, T, I: Iterator<Item = R>> Stream for MapUnorderedAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Item = Promise<R, T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Promise<R, T>>> {
        let this = &mut *self;
        let queued = this.queued.len();
        if this
            .ahead
            .fill(queued, cx, |promise| this.queued.insert(promise))
        {
            return Poll::Pending;
        }
        Pin::new(&mut self.queued).poll_next(cx)
    }
}

impl<R, T, I> Drop for MapUnorderedAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.queued.abort_all();
    }
}

impl<R, T, I> fmt::Debug for MapUnorderedAsync<R, T, I>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapUnorderedAsync")
            .field("window", &self.ahead.window)
            .field("queued", &self.queued)
            .finish()
    }
}
