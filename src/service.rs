//! The service itself: a face to its parts, with no algorithms of its own.

use std::fmt;
use std::time::{Duration, Instant};

use crate::current;
use crate::dispatcher::Dispatcher;
use crate::error::QueueError;
use crate::events::Events;
use crate::handle::{Handle, PromiseOf, PromiseSetOf};
use crate::pool::Pool;
use crate::processor::Processor;
use crate::queue_future::QueueRequest;
use crate::status::{ServiceStatus, Settled, Shutdown, ShutdownReport};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, now, thread};

/// Workers that process requests. Equal requests in flight are processed once.
///
/// All methods take `&self` and may be called from any thread, from processors and from callbacks too.
///
/// # Dropping
///
/// A service that is dropped finishes what was queued, as [`stop`](Self::stop) does; dropped while its thread
/// unwinds, or after a shutdown that gave up waiting, it discards what has not begun and waits for nobody.
///
/// ```
/// use parallel_workers::{Context, ProcessorService, processor_fn};
///
/// let service = ProcessorService::start(2, || processor_fn(|name: &String, _: &Context| format!("Hi {name}")))?;
/// let one = service.queue_request("Ada".to_string());
/// let other = service.queue_request("Ada".to_string());
/// assert_eq!(one.wait()?, "Hi Ada");
/// assert_eq!(other.wait()?, "Hi Ada");
/// service.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "pool")]
#[doc(alias = "executor")]
pub struct ProcessorService<P: Processor> {
    handle: Handle<P>,
    pub(crate) pool: Arc<Pool<P>>,
    /// How far a map reads ahead.
    pub(crate) window: usize,
    /// Whether a shutdown gave up waiting for workers.
    gave_up: AtomicBool,
    born: Instant,
}

impl<P: Processor> ProcessorService<P> {
    pub(crate) fn new(
        home: Arc<Dispatcher<P::Request, P::Output>>,
        pool: Arc<Pool<P>>,
        window: usize,
    ) -> Self {
        Self {
            handle: Handle { home },
            pool,
            window,
            gave_up: AtomicBool::new(false),
            born: now(),
        }
    }

    /// Queues a request, or joins it to an equal one in flight.
    ///
    /// After the service was stopped, the promise says [`Failure::Stopped`](crate::Failure::Stopped).
    ///
    /// # Blocking
    ///
    /// While the queue is full ([`capacity`](crate::ProcessorServiceBuilder::capacity)), but not on a worker of this
    /// service, nor in one of its callbacks. A request that joins another one never blocks.
    ///
    /// # Panics
    ///
    /// Where the request's `Hash` or `Eq` does.
    #[doc(alias = "submit")]
    #[doc(alias = "spawn")]
    pub fn queue_request(&self, request: P::Request) -> PromiseOf<P> {
        self.handle.queue_request(request)
    }

    /// Queues requests, and gives their promises as a set: one for each, also where they are equal.
    ///
    /// The iterator may itself use the service; no lock is held while it is asked.
    ///
    /// # Blocking
    ///
    /// As [`queue_request`](Self::queue_request), for each.
    pub fn queue_requests(
        &self,
        requests: impl IntoIterator<Item = P::Request>,
    ) -> PromiseSetOf<P> {
        self.handle.queue_requests(requests)
    }

    /// Queues a request that shares its run with nobody.
    ///
    /// # Blocking
    ///
    /// As [`queue_request`](Self::queue_request).
    pub fn queue_unshared(&self, request: P::Request) -> PromiseOf<P> {
        self.handle.queue_unshared(request)
    }

    /// Queues a request if there is room, now.
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] or [`QueueError::Stopped`], with the request.
    pub fn try_queue_request(
        &self,
        request: P::Request,
    ) -> Result<PromiseOf<P>, QueueError<P::Request>> {
        self.handle.try_queue_request(request)
    }

    /// Queues a request if there is room within `timeout`; one that is too long for the clock means for ever.
    ///
    /// # Errors
    ///
    /// [`QueueError::TimedOut`] or [`QueueError::Stopped`], with the request, which then never runs.
    ///
    /// # Blocking
    ///
    /// While the queue is full, for `timeout` at most.
    pub fn queue_request_timeout(
        &self,
        request: P::Request,
        timeout: Duration,
    ) -> Result<PromiseOf<P>, QueueError<P::Request>> {
        self.handle.queue_request_timeout(request, timeout)
    }

    /// Queues a request, waiting for room without blocking a thread.
    ///
    /// Nothing is queued before it is polled. After the service was stopped, the promise says
    /// [`Failure::Stopped`](crate::Failure::Stopped).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has queued nothing, and its request is dropped with it.
    ///
    /// ```
    /// use parallel_workers::{Context, ProcessorService, processor_fn};
    ///
    /// let service = ProcessorService::builder()
    ///     .workers(1)
    ///     .capacity(1)
    ///     .start(|| processor_fn(|n: &u64, _: &Context| n * n))?;
    /// let squares = futures::executor::block_on(async {
    ///     let mut squares = Vec::new();
    ///     for n in 0..10 {
    ///         squares.push(service.queue_request_async(n).await);
    ///     }
    ///     squares[9].clone().await
    /// });
    /// assert_eq!(squares, Ok(81));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn queue_request_async(&self, request: P::Request) -> QueueRequest<P::Request, P::Output> {
        self.handle.queue_request_async(request)
    }

    /// A way into the service that does not keep it alive.
    pub fn handle(&self) -> Handle<P> {
        self.handle.clone()
    }

    /// Has the workers begin nothing more; what runs goes on. Requests can be queued. Does nothing once the
    /// service is being stopped.
    pub fn pause(&self) {
        self.home().queue.pause();
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.home().queue.resume();
    }

    /// Whether the service is paused.
    pub fn is_paused(&self) -> bool {
        self.home().queue.is_paused()
    }

    /// Waits until nothing is queued and nothing runs, callbacks included. Called inside a worker, what that
    /// worker has does not count.
    ///
    /// # Blocking
    ///
    /// Until then; for ever, where the service is paused and not empty.
    pub fn wait_idle(&self) {
        self.home().wait_until_idle(None, None);
    }

    /// Refuses new requests, finishes what is queued, and ends the workers. Their processors have been dropped
    /// when it returns. A paused service is resumed.
    ///
    /// While it drains, requests queued by the service's own workers and callbacks are still accepted, so that
    /// what was begun can be finished.
    ///
    /// # Blocking
    ///
    /// Until all that is done. On a worker of this service it returns at once, and the rest is done after that.
    pub fn stop(&self) {
        self.shutdown(Shutdown::Drain { deadline: None });
    }

    /// Stops the service, finishing as much as `how` says, and reports what was done. It can be called again, to
    /// finish less, or to wait for what a deadline left running.
    ///
    /// # Blocking
    ///
    /// `Drain`, until the deadline at most; `Discard`, until what runs has ended; `Abandon`, not. On a worker of
    /// this service, never: there a drain goes on after the call, and nobody keeps its deadline.
    #[doc(alias = "close")]
    #[doc(alias = "terminate")]
    pub fn shutdown(&self, how: Shutdown) -> ShutdownReport {
        let home = self.home();
        let before = home.counters.settled();
        let is_worker = current::is_worker_of(home.id);
        let mut still_running = 0;
        match how {
            Shutdown::Drain { deadline } => {
                home.set_deadline(deadline);
                home.drain();
                if !is_worker {
                    let is_over = self.pool.join(deadline);
                    // What is left then has nobody to process it: time has run out, or there were no workers.
                    home.close();
                    still_running = if is_over { 0 } else { self.give_up() };
                }
            }
            Shutdown::Discard => {
                home.close();
                if !is_worker {
                    self.pool.join(None);
                }
            }
            Shutdown::Abandon => {
                home.close();
                still_running = self.give_up();
                home.abandon();
                for worker in home.queue.seats() {
                    home.queue.unseat(worker.id);
                    home.counters.lose(worker.id);
                }
            }
        }
        if is_worker {
            still_running = self.running();
        }
        report(before, home.counters.settled(), how, still_running)
    }

    /// Figures of the service and its workers, at this moment. Stops nobody. Prints as a table.
    #[doc(alias = "get_status")]
    pub fn status(&self) -> ServiceStatus {
        let home = self.home();
        let queue = home.queue.status();
        let age = |came: Instant| now().saturating_duration_since(came);
        ServiceStatus {
            name: self.pool.name().to_owned(),
            uptime: now().saturating_duration_since(self.born),
            queued: queue.queued + home.parked.len(),
            oldest: queue.oldest.map(age),
            running: self.running(),
            settled: home.counters.settled(),
            coalesced: home.in_flight.joined(),
            callback_panics: home.counters.now_callback_panics(),
            paused: queue.is_paused,
            accepting: home.queue.is_open(),
            workers: self.workers(),
        }
    }

    /// Tells what happens from now on: which worker begins what, how it ends, which workers come and go.
    ///
    /// Nobody waits for a subscriber: it holds up to 16,384 events, and loses the oldest where it is too slow.
    /// While nobody subscribes, this costs nothing.
    ///
    /// ```
    /// use parallel_workers::{Context, Event, Outcome, ProcessorService, processor_fn};
    ///
    /// let service = ProcessorService::start(1, || processor_fn(|n: &u64, _: &Context| n + 1))?;
    /// let events = service.subscribe();
    /// let promise = service.queue_request(1);
    /// let Some(Event::Started { request, name, .. }) = events.recv() else { panic!() };
    /// assert_eq!((request, &*name), (promise.id(), "worker-0"));
    /// let Some(Event::Settled { outcome, .. }) = events.recv() else { panic!() };
    /// assert_eq!(outcome, Outcome::Output);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self) -> Events {
        self.subscribe_with(16_384)
    }

    /// As [`subscribe`](Self::subscribe), with room for so many events; at least one.
    pub fn subscribe_with(&self, capacity: usize) -> Events {
        self.home().observer.subscribe(capacity)
    }

    pub(crate) fn home(&self) -> &Arc<Dispatcher<P::Request, P::Output>> {
        &self.handle.home
    }

    fn running(&self) -> usize {
        self.home()
            .queue
            .seats()
            .iter()
            .map(|worker| worker.running())
            .sum()
    }

    fn give_up(&self) -> usize {
        // ORDERING: relaxed; it is read by the drop, which is after everything else.
        self.gave_up.store(true, Ordering::Relaxed);
        self.running()
    }
}

impl<P: Processor> Drop for ProcessorService<P> {
    fn drop(&mut self) {
        if thread::panicking() || self.gave_up.load(Ordering::Acquire) {
            self.home().close();
        } else {
            self.stop();
        }
        self.home().observer.close();
    }
}

impl<P: Processor> fmt::Debug for ProcessorService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status();
        f.debug_struct("ProcessorService")
            .field("workers", &status.workers.len())
            .field("queued", &status.queued)
            .field("running", &status.running)
            .field("accepting", &status.accepting)
            .finish()
    }
}

fn report(before: Settled, after: Settled, how: Shutdown, still_running: usize) -> ShutdownReport {
    let processed = |settled: Settled| settled.outputs + settled.panicked;
    // What an abandoning shutdown gives up is lost, not finished.
    let lost = match how {
        Shutdown::Abandon => 0,
        _ => after.worker_lost - before.worker_lost,
    };
    ShutdownReport {
        finished: processed(after) - processed(before) + lost,
        discarded: after.stopped - before.stopped,
        still_running: still_running as u64,
    }
}
