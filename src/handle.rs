//! A way into a service that does not keep it alive.

use std::fmt;
use std::time::Duration;

use crate::blocking::deadline_after;
use crate::caller::Caller;
use crate::dispatcher::Dispatcher;
use crate::error::QueueError;
use crate::processor::Processor;
use crate::promise::Promise;
use crate::promise_set::PromiseSet;
use crate::queue_future::QueueRequest;
use crate::room::Patience;
use crate::state::Ticket;
use crate::subscribers::Subscriber;
use crate::sync::Arc;
use crate::terms::Terms;

/// The promise of a processor's request.
pub type PromiseOf<P> = Promise<<P as Processor>::Request, <P as Processor>::Output>;

/// A set of such promises.
pub type PromiseSetOf<P> = PromiseSet<<P as Processor>::Request, <P as Processor>::Output>;

/// Queues requests with a service, from anywhere, without keeping it alive: for processors and callbacks that
/// queue further requests, and for threads that may outlive the service.
///
/// When the service has been stopped, requests get promises that say
/// [`Failure::Stopped`](crate::Failure::Stopped).
///
/// ```
/// use parallel_workers::{Context, ProcessorService, processor_fn};
///
/// let service = ProcessorService::start(1, || processor_fn(|n: &u64, _: &Context| n + 1))?;
/// let handle = service.handle();
/// handle.clone().queue_request(1).on_settled(move |one| {
///     if let Ok(two) = one.wait() {
///         handle.queue_request(*two);
///     }
/// });
/// service.stop();
/// assert_eq!(service.status().settled.outputs, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Handle<P: Processor> {
    pub(crate) home: Arc<Dispatcher<P::Request, P::Output>>,
}

impl<P: Processor> Handle<P> {
    /// As [`ProcessorService::queue_request`](crate::ProcessorService::queue_request).
    ///
    /// # Blocking
    ///
    /// While the queue is full, but not on a worker of this service, nor in one of its callbacks.
    pub fn queue_request(&self, request: P::Request) -> PromiseOf<P> {
        self.queue(request, Terms::USUAL)
    }

    /// As [`ProcessorService::queue_requests`](crate::ProcessorService::queue_requests).
    ///
    /// # Blocking
    ///
    /// As `queue_request`, for each.
    pub fn queue_requests(
        &self,
        requests: impl IntoIterator<Item = P::Request>,
    ) -> PromiseSetOf<P> {
        // One by one: the input may wait for what the requests before led to.
        let mut set = PromiseSet::new();
        for request in requests {
            set.insert_told(|member| self.queue_telling(member, request));
        }
        set
    }

    /// As [`ProcessorService::queue_unshared`](crate::ProcessorService::queue_unshared).
    ///
    /// # Blocking
    ///
    /// As `queue_request`.
    pub fn queue_unshared(&self, request: P::Request) -> PromiseOf<P> {
        self.queue(request, Terms::UNSHARED)
    }

    /// As [`ProcessorService::try_queue_request`](crate::ProcessorService::try_queue_request).
    ///
    /// # Errors
    ///
    /// `Full` or `Stopped`, with the request.
    pub fn try_queue_request(
        &self,
        request: P::Request,
    ) -> Result<PromiseOf<P>, QueueError<P::Request>> {
        let terms = Terms {
            patience: Patience::None,
            ..Terms::USUAL
        };
        self.home.queue(request, terms).map(Promise::new)
    }

    /// As [`ProcessorService::queue_request_timeout`](crate::ProcessorService::queue_request_timeout).
    ///
    /// # Errors
    ///
    /// `TimedOut` or `Stopped`, with the request.
    ///
    /// # Blocking
    ///
    /// While the queue is full, for `timeout` at most.
    pub fn queue_request_timeout(
        &self,
        request: P::Request,
        timeout: Duration,
    ) -> Result<PromiseOf<P>, QueueError<P::Request>> {
        let terms = Terms {
            patience: Patience::Until(deadline_after(timeout)),
            ..Terms::USUAL
        };
        self.home.queue(request, terms).map(Promise::new)
    }

    /// As [`ProcessorService::queue_request_async`](crate::ProcessorService::queue_request_async).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has queued nothing, and its request is dropped with it.
    pub fn queue_request_async(&self, request: P::Request) -> QueueRequest<P::Request, P::Output> {
        QueueRequest::new(&self.home, request)
    }

    /// Queues a request, and says whether `subscriber` is told of its outcome, as it is where the run is a new one.
    fn queue_telling(&self, subscriber: Subscriber, request: P::Request) -> (PromiseOf<P>, bool) {
        let caller = Caller::telling(subscriber);
        match self.home.queue_for(caller, request, Terms::USUAL) {
            Ok((entry, ticket)) => (Promise::new((entry, ticket)), ticket == Ticket::FIRST),
            Err(refused) => {
                let stopped = self.home.stopped(refused.into_request());
                (Promise::new(stopped), false)
            }
        }
    }

    fn queue(&self, request: P::Request, terms: Terms) -> PromiseOf<P> {
        let queued = self.home.queue(request, terms);
        Promise::new(queued.unwrap_or_else(|refused| self.home.stopped(refused.into_request())))
    }
}

impl<P: Processor> Clone for Handle<P> {
    fn clone(&self) -> Self {
        Self {
            home: Arc::clone(&self.home),
        }
    }
}

impl<P: Processor> fmt::Debug for Handle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("accepting", &self.home.queue.is_open())
            .finish()
    }
}
