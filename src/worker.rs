//! The workers of a service, as its owner sees them: named, counted, added and removed.

use std::fmt;

use crate::dispatcher::Dispatcher;
use crate::error::StartError;
use crate::pool::{Pool, retire};
use crate::processor::Processor;
use crate::record::WorkerRecord;
use crate::service::ProcessorService;
use crate::status::{WorkerId, WorkerStatus};
use crate::sync::Arc;

/// Worker management.
///
/// Workers come and go while the service works; requests that are queued wait for whoever is there.
impl<P: Processor> ProcessorService<P> {
    /// The workers, in the order in which they were added. One that was told to leave is listed until it has.
    #[doc(alias = "processes")]
    #[doc(alias = "worker_pids")]
    #[doc(alias = "pool")]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        let home = self.home();
        let present = home.counters.present();
        present
            .iter()
            .map(|worker| home.worker_status(worker))
            .collect()
    }

    /// The worker with this id; `None` if there is none, or no longer.
    pub fn worker(&self, id: WorkerId) -> Option<Worker<P>> {
        self.find(|record| record.id == id)
    }

    /// The worker with this name; `None` if there is none, or no longer.
    pub fn worker_named(&self, name: &str) -> Option<Worker<P>> {
        self.find(|record| *record.name == *name)
    }

    /// Adds `n` workers, and gives their ids. When it returns, each has its processor.
    ///
    /// # Errors
    ///
    /// As [`ProcessorServiceBuilder::start`](crate::ProcessorServiceBuilder::start), and
    /// [`StartError::Stopped`] once the service is being stopped. Those of the `n` that could be started leave
    /// again; the workers that were there before go on.
    #[doc(alias = "add_workers!")]
    pub fn add_workers(&self, n: usize) -> Result<Vec<WorkerId>, StartError> {
        self.pool.add(n)
    }

    /// Adds a worker with a name of its own, which is its thread's too.
    ///
    /// # Errors
    ///
    /// As [`add_workers`](Self::add_workers); [`StartError::NameTaken`] if a worker has that name, and
    /// [`StartError::BadName`] if no thread can have it.
    pub fn add_worker(&self, name: impl Into<String>) -> Result<WorkerId, StartError> {
        self.pool.add_named(name.into())
    }

    /// Adds workers, or removes the youngest, until there are `n`. With none, requests wait, and the status says
    /// that nobody serves them.
    ///
    /// # Errors
    ///
    /// As [`add_workers`](Self::add_workers).
    pub fn resize(&self, n: usize) -> Result<(), StartError> {
        self.pool.resize(n)
    }

    fn find(&self, wanted: impl Fn(&WorkerRecord) -> bool) -> Option<Worker<P>> {
        self.find_all(wanted).into_iter().next()
    }

    pub(crate) fn find_all(&self, wanted: impl Fn(&WorkerRecord) -> bool) -> Vec<Worker<P>> {
        let mut found = self.home().counters.present();
        found.retain(|record| wanted(record));
        let found = found.into_iter().map(|record| {
            let (home, pool) = (Arc::clone(self.home()), Arc::clone(&self.pool));
            Worker { home, pool, record }
        });
        found.collect()
    }
}

/// One worker of a service.
///
/// ```
/// use parallel_workers::{Context, ProcessorService, processor_fn};
///
/// let service = ProcessorService::start(1, || processor_fn(|n: &u64, _: &Context| n + 1))?;
/// let id = service.add_worker("example")?;
/// let worker = service.worker(id).ok_or("it was added just now")?;
/// assert_eq!(worker.name(), "example");
/// assert!(worker.remove());
/// assert_eq!(*service.queue_request(1).wait()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Worker<P: Processor> {
    pub(crate) home: Arc<Dispatcher<P::Request, P::Output>>,
    pool: Arc<Pool<P>>,
    pub(crate) record: Arc<WorkerRecord>,
}

impl<P: Processor> Worker<P> {
    /// Its id, never used again for another.
    pub fn id(&self) -> WorkerId {
        self.record.id
    }

    /// Its name, that of its thread.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Its figures, at this moment.
    pub fn status(&self) -> WorkerStatus {
        self.home.worker_status(&self.record)
    }

    /// Has the worker leave once it has finished what it has; returns at once. False if it was told before.
    ///
    /// What was [assigned](Self::assign) to it and not begun is for any worker from now on. Its name is free again when it
    /// has left.
    pub fn remove(&self) -> bool {
        retire(&self.home, &self.record)
    }

    /// Gives the worker up: what it runs settles with [`Failure::WorkerLost`](crate::Failure::WorkerLost) at once,
    /// and another worker, of the same name and with a new id, takes its place. Gives that id.
    ///
    /// Where a child process does its work, that is killed; what had not begun there goes to another worker.
    ///
    /// A thread cannot be ended from outside. If it is in a request, it goes on with that, and ends when it does;
    /// what it gives then is for nobody, nobody waits for it, and
    /// [`Context::is_cancelled`](crate::Context::is_cancelled) tells it so. The replacement makes its processor
    /// with the factory, and tries again where that fails. `None`: the worker was leaving, or had left, so nobody
    /// takes its place.
    ///
    /// What was [assigned](Self::assign) to it and not begun waits for the one that takes its place. The callbacks that
    /// are due by it run here, on the calling thread.
    ///
    /// # Blocking
    ///
    /// Not for the worker. Where the operating system refuses the replacement a thread, it is asked four times more,
    /// after 10, 20, 40 and 80 milliseconds; what the killed worker had has been settled before.
    ///
    /// # Errors
    ///
    /// [`StartError::Thread`] if the replacement has no thread after that: there is one worker less, and
    /// [`ProcessorService::resize`](crate::ProcessorService::resize) brings it back when threads can be had again.
    #[doc(alias = "terminate")]
    #[doc(alias = "free")]
    pub fn kill(&self) -> Result<Option<WorkerId>, StartError> {
        self.pool.kill(&self.record)
    }
}

impl<P: Processor> Clone for Worker<P> {
    fn clone(&self) -> Self {
        Self {
            home: Arc::clone(&self.home),
            pool: Arc::clone(&self.pool),
            record: Arc::clone(&self.record),
        }
    }
}

impl<P: Processor> fmt::Debug for Worker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.record.id)
            .field("name", &self.record.name)
            .finish()
    }
}
