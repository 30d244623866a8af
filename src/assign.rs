//! Requests for one worker, and waiting for it.

use std::time::{Duration, Instant};

use crate::blocking::deadline_after;
use crate::error::QueueError;
use crate::handle::{PromiseOf, PromiseSetOf};
use crate::processor::Processor;
use crate::promise::Promise;
use crate::record::WorkerRecord;
use crate::room::Patience;
use crate::service::ProcessorService;
use crate::state::Ticket;
use crate::sync::Arc;
use crate::terms::Terms;
use crate::worker::Worker;

/// Requests for given workers.
///
/// A request is assigned where it has to be processed by one worker: the one that has the connection, the
/// session, the warm cache. It is queued, bounded, shared, aborted and awaited like any other.
///
/// # Where it runs
///
/// With that worker and nowhere else, in the order in which requests were assigned to it. A worker takes from its
/// own requests and from those for everybody in turn, so that neither keep the other waiting for ever.
///
/// - If the worker is **removed** before it begins the request, any worker may take it, before what is queued.
/// - If the worker is **killed**, the worker that takes its place takes the request; `assign` of a killed worker
///   assigns to that one too.
/// - If an **equal request** is in flight, the assigned one joins it, wherever that runs, and an equal request that
///   comes later joins the assigned one: one run per key at a time is the stronger promise. Where the place
///   matters more than the sharing, use [`Worker::assign_unshared`].
impl<P: Processor> Worker<P> {
    /// Queues a request for this worker.
    ///
    /// # Blocking
    ///
    /// As [`ProcessorService::queue_request`].
    ///
    /// ```
    /// use parallel_workers::{Context, ProcessorService, processor_fn};
    ///
    /// let service = ProcessorService::start(4, || processor_fn(|n: &u64, _: &Context| n + 1))?;
    /// let worker = service.worker_named("worker-2").ok_or("it was started just now")?;
    /// let promise = worker.assign(1);
    /// assert_eq!((promise.wait()?, promise.worker()), (&2, Some(worker.id())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "assign!")]
    #[doc(alias = "send_data")]
    #[doc(alias = "execute")]
    pub fn assign(&self, request: P::Request) -> PromiseOf<P> {
        self.queue(request, true)
    }

    /// Queues a request for this worker that shares its run with nobody.
    ///
    /// # Blocking
    ///
    /// As [`ProcessorService::queue_request`].
    pub fn assign_unshared(&self, request: P::Request) -> PromiseOf<P> {
        self.queue(request, false)
    }

    /// Queues a request for this worker if there is room, now.
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] or [`QueueError::Stopped`], with the request.
    pub fn try_assign(&self, request: P::Request) -> Result<PromiseOf<P>, QueueError<P::Request>> {
        self.try_queue(request, true, Patience::None)
    }

    /// The promise of the request that was assigned to this worker last: a clone of what `assign` gave. `None` if
    /// there was none, or if it has settled and nobody holds a promise of it any more.
    #[doc(alias = "get_return!")]
    pub fn last_promise(&self) -> Option<PromiseOf<P>> {
        let last = self.home.last_assigned.lock();
        let (entry, ticket) = last.get(&self.record.line)?;
        let ticketed = (entry.upgrade()?, *ticket);
        drop(last);
        ticketed.0.hold();
        Some(Promise::new(ticketed))
    }

    /// Promises of what this worker processes now. They have no vote: aborting them does nothing.
    ///
    /// Of a worker that processes several at once, it looks through everything that is in flight.
    pub fn running(&self) -> Vec<PromiseOf<P>> {
        let running = self.home.running_with(&self.record).into_iter();
        let promises = running.map(|entry| {
            entry.hold();
            Promise::new((entry, Ticket::PINNED))
        });
        promises.collect()
    }

    /// Waits until this worker has nothing: neither a request nor a callback in its hands, nor any assigned to it.
    /// It may have something again when this returns. Called on this worker itself, what it has in its hands does not
    /// count.
    ///
    /// # Blocking
    ///
    /// Until then; for ever, where the service is paused and something is assigned to the worker. A worker that has
    /// ended has nothing.
    #[doc(alias = "waitfor")]
    pub fn wait_idle(&self) {
        self.wait_idle_until(None);
    }

    /// As [`wait_idle`](Self::wait_idle), for `timeout` at most; says whether it had nothing in time.
    ///
    /// # Blocking
    ///
    /// For `timeout` at most.
    pub fn wait_idle_timeout(&self, timeout: Duration) -> bool {
        self.wait_idle_until(deadline_after(timeout))
    }

    fn wait_idle_until(&self, deadline: Option<Instant>) -> bool {
        self.home.wait_until_idle(Some(self.record.id), deadline)
    }

    fn queue(&self, request: P::Request, is_shared: bool) -> PromiseOf<P> {
        let queued = self.try_queue(request, is_shared, Patience::Until(None));
        queued.unwrap_or_else(|refused| Promise::new(self.home.stopped(refused.into_request())))
    }

    fn try_queue(
        &self,
        request: P::Request,
        is_shared: bool,
        patience: Patience,
    ) -> Result<PromiseOf<P>, QueueError<P::Request>> {
        let line = self.record.line;
        let terms = Terms {
            is_shared,
            line: Some(line),
            attempts: 0,
            patience,
        };
        let ticketed = self.home.queue(request, terms)?;
        let last = (Arc::downgrade(&ticketed.0), ticketed.1);
        let before = self.home.last_assigned.lock().insert(line, last);
        // LOCK: released above. What is dropped is weak, and so no request of the user's.
        drop(before);
        Ok(Promise::new(ticketed))
    }
}

/// Requests for several workers.
impl<P: Processor> ProcessorService<P> {
    /// Assigns requests to `workers`, one after another in turn, and gives their promises as a set. Without workers,
    /// they are queued for whoever is free.
    ///
    /// # Blocking
    ///
    /// As [`queue_request`](Self::queue_request), for each.
    #[doc(alias = "distribute!")]
    pub fn distribute(
        &self,
        workers: &[Worker<P>],
        requests: impl IntoIterator<Item = P::Request>,
    ) -> PromiseSetOf<P> {
        if workers.is_empty() {
            return self.queue_requests(requests);
        }
        let turns = workers.iter().cycle();
        let assigned = requests.into_iter().zip(turns);
        assigned
            .map(|(request, worker)| worker.assign(request))
            .collect()
    }

    /// Assigns requests to the workers that are idle now, in turn; see [`distribute`](Self::distribute).
    ///
    /// # Blocking
    ///
    /// As [`queue_request`](Self::queue_request), for each.
    #[doc(alias = "distribute_open!")]
    pub fn distribute_idle(
        &self,
        requests: impl IntoIterator<Item = P::Request>,
    ) -> PromiseSetOf<P> {
        self.distribute(&self.idle_workers(), requests)
    }

    /// The workers that have nothing to do now.
    pub fn idle_workers(&self) -> Vec<Worker<P>> {
        let has_nothing = |worker: &WorkerRecord| {
            worker.is_ready()
                && !worker.is_retired()
                && worker.held() == 0
                && self.home().queue.assigned(worker.id) == 0
        };
        self.find_all(has_nothing)
    }

    /// Waits until each of these workers has had nothing to do at some moment since the call; see
    /// [`Worker::wait_idle`].
    ///
    /// # Blocking
    ///
    /// Until then.
    #[doc(alias = "waitfor")]
    pub fn wait_for_workers<'a>(&self, workers: impl IntoIterator<Item = &'a Worker<P>>) {
        workers.into_iter().for_each(Worker::wait_idle);
    }
}
