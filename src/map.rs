//! Mapping an iterator of requests to their promises, no further ahead than a window.

use std::collections::VecDeque;
use std::fmt;
use std::iter::Fuse;

use crate::handle::{PromiseOf, PromiseSetOf};
use crate::processor::Processor;
use crate::promise_set::PromiseSet;
use crate::service::ProcessorService;

/// How iterators are mapped.
impl<P: Processor> ProcessorService<P> {
    /// Queues the requests of an iterator as they are needed, and yields their promises, settled, in the same
    /// order.
    ///
    /// It takes no more requests from the iterator ahead of what it has yielded than the
    /// [`window`](crate::ProcessorServiceBuilder::window) allows, so the iterator may be endless. Dropping the map
    /// aborts what it queued and nobody else wants.
    ///
    /// # Blocking
    ///
    /// Each step, until its request has settled.
    ///
    /// ```
    /// use parallel_workers::{Context, ProcessorService, processor_fn};
    ///
    /// let service = ProcessorService::start(2, || processor_fn(|n: &u64, _: &Context| n * n))?;
    /// let squares = service.map(1..).map(|promise| *promise.wait().unwrap());
    /// assert_eq!(squares.take(5).collect::<Vec<_>>(), [1, 4, 9, 16, 25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map<I>(&self, requests: I) -> Map<'_, P, I::IntoIter>
    where
        I: IntoIterator<Item = P::Request>,
    {
        Map::new(self, requests.into_iter(), self.window)
    }

    /// As [`map`](Self::map), yielding promises in the order in which they settle.
    ///
    /// # Blocking
    ///
    /// Each step, until a request has settled.
    pub fn map_unordered<I>(&self, requests: I) -> MapUnordered<'_, P, I::IntoIter>
    where
        I: IntoIterator<Item = P::Request>,
    {
        MapUnordered::new(self, requests.into_iter(), self.window)
    }
}

/// Settled promises in the order of their requests, see [`ProcessorService::map`].
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Map<'a, P: Processor, I> {
    service: &'a ProcessorService<P>,
    requests: Fuse<I>,
    window: usize,
    queued: VecDeque<PromiseOf<P>>,
}

impl<'a, P: Processor, I: Iterator<Item = P::Request>> Map<'a, P, I> {
    pub(crate) fn new(service: &'a ProcessorService<P>, requests: I, window: usize) -> Self {
        Self {
            service,
            requests: requests.fuse(),
            window,
            queued: VecDeque::new(),
        }
    }
}

impl<P: Processor, I: Iterator<Item = P::Request>> Iterator for Map<'_, P, I> {
    type Item = PromiseOf<P>;

    fn next(&mut self) -> Option<PromiseOf<P>> {
        while self.queued.len() < self.window
            && let Some(request) = self.requests.next()
        {
            self.queued.push_back(self.service.queue_request(request));
        }
        // It stays among the queued ones while it is waited for, to be aborted if that panics.
        let _settled = self.queued.front()?.wait();
        self.queued.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.requests.size_hint();
        let queued = self.queued.len();
        (
            least.saturating_add(queued),
            most.and_then(|most| most.checked_add(queued)),
        )
    }
}

impl<P: Processor, I> Drop for Map<'_, P, I> {
    fn drop(&mut self) {
        // The last come first: nobody begins what is behind them.
        for promise in self.queued.drain(..).rev() {
            promise.abort();
        }
    }
}

impl<P: Processor, I> fmt::Debug for Map<'_, P, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("window", &self.window)
            .field("queued", &self.queued.len())
            .finish()
    }
}

/// Settled promises in the order in which they settle, see [`ProcessorService::map_unordered`].
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct MapUnordered<'a, P: Processor, I> {
    service: &'a ProcessorService<P>,
    requests: Fuse<I>,
    window: usize,
    queued: PromiseSetOf<P>,
}

impl<'a, P: Processor, I: Iterator<Item = P::Request>> MapUnordered<'a, P, I> {
    pub(crate) fn new(service: &'a ProcessorService<P>, requests: I, window: usize) -> Self {
        Self {
            service,
            requests: requests.fuse(),
            window,
            queued: PromiseSet::new(),
        }
    }
}

impl<P: Processor, I: Iterator<Item = P::Request>> Iterator for MapUnordered<'_, P, I> {
    type Item = PromiseOf<P>;

    fn next(&mut self) -> Option<PromiseOf<P>> {
        while self.queued.len() < self.window
            && let Some(request) = self.requests.next()
        {
            self.queued.insert(self.service.queue_request(request));
        }
        self.queued.select_next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.requests.size_hint();
        let queued = self.queued.len();
        (
            least.saturating_add(queued),
            most.and_then(|most| most.checked_add(queued)),
        )
    }
}

impl<P: Processor, I> Drop for MapUnordered<'_, P, I> {
    fn drop(&mut self) {
        self.queued.abort_all();
    }
}

impl<P: Processor, I> fmt::Debug for MapUnordered<'_, P, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapUnordered")
            .field("window", &self.window)
            .field("queued", &self.queued)
            .finish()
    }
}
