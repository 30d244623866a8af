//! How a service is made.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use crate::dispatcher::Dispatcher;
use crate::error::{FactoryError, StartError};
use crate::observer::Observer;
use crate::panic::record_locations;
use crate::pool::Pool;
use crate::processor::Processor;
use crate::service::ProcessorService;
use crate::share::Share;
use crate::supervisor::Factory;
use crate::sync::{Arc, thread};

/// Makes a [`ProcessorService`]. Setters cannot fail; [`start`](Self::start) checks everything.
///
/// ```
/// use parallel_workers::{Context, ProcessorService, processor_fn};
///
/// let service = ProcessorService::builder()
///     .workers(2)
///     .name("doubler")
///     .capacity(10_000)
///     .start(|| processor_fn(|n: &u32, _: &Context| 2 * n))?;
/// assert_eq!(*service.queue_request(21).wait()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct ProcessorServiceBuilder<P: Processor> {
    /// How many workers. `None`: as many as the machine runs in parallel.
    workers: Option<usize>,
    /// What their threads are named after.
    name: String,
    /// How many requests may wait. `None`: any number.
    capacity: Option<usize>,
    /// Whether workers wait for `resume`.
    is_paused: bool,
    /// How long equal requests share a run.
    share: Share,
    /// How many spare workers there may be at a time.
    spares: usize,
    /// What a request is called where requests are named.
    describe: Option<fn(&P::Request) -> String>,
    /// How far `map` reads ahead. `None`: twice the workers, at least 16.
    window: Option<usize>,
    processor: PhantomData<fn() -> P>,
}

impl<P: Processor> ProcessorServiceBuilder<P> {
    pub(crate) fn new() -> Self {
        Self {
            workers: None,
            name: "worker".to_owned(),
            capacity: None,
            is_paused: false,
            share: Share::default(),
            spares: 256,
            describe: None,
            window: None,
            processor: PhantomData,
        }
    }

    /// How many workers process requests. Default: [`std::thread::available_parallelism`].
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What the workers and their threads are named after: `name-0`, `name-1` and so on. Default: `worker`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many requests may wait for a worker. What runs takes no room, and joining an equal request needs none.
    /// Default: any number.
    pub fn capacity(mut self, requests: usize) -> Self {
        self.capacity = Some(requests);
        self
    }

    /// Whether the workers begin only at [`ProcessorService::resume`]. Default: no.
    pub fn paused(mut self, is_paused: bool) -> Self {
        self.is_paused = is_paused;
        self
    }

    /// How long equal requests share one run. Default: [`Share::InFlight`].
    pub fn share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// How many spare workers there may be at a time: one stands in for each worker whose thread waits, in a request,
    /// for a promise or a set of them, with a processor of its own. It takes requests like any other, but is not
    /// listed, and leaves a moment after it is needed no more. Past that many, such a wait says
    /// [`Failure::WouldDeadlock`](crate::Failure::WouldDeadlock). Default: 256.
    pub fn max_spare_workers(mut self, workers: usize) -> Self {
        self.spares = workers;
        self
    }

    /// Names requests by their `Debug` in [`Failure::Cycle`](crate::Failure::Cycle), instead of by their ids.
    pub fn debug_requests(mut self) -> Self
    where
        P::Request: fmt::Debug,
    {
        self.describe = Some(|request| format!("{request:?}"));
        self
    }

    /// How many requests [`ProcessorService::map`] takes from its input ahead of what it has yielded. Default:
    /// two for each worker, at least 16.
    pub fn window(mut self, requests: usize) -> Self {
        self.window = Some(requests);
        self
    }

    /// Starts the service; each worker makes its processor with `factory`, on its own thread. Returns when all
    /// have.
    ///
    /// # Errors
    ///
    /// With zero workers, a capacity or window of zero, a thread that the operating system refuses, a factory that
    /// panics. The threads that were started have ended by then.
    #[doc(alias = "onThreadStart")]
    pub fn start<F>(self, factory: F) -> Result<ProcessorService<P>, StartError>
    where
        F: Fn() -> P + Send + Sync + 'static,
    {
        self.start_with(Arc::new(move || Ok(factory())))
    }

    /// As [`start`](Self::start), with a factory that can fail.
    ///
    /// # Errors
    ///
    /// Those of `start`, and [`StartError::Factory`] with what the factory said.
    pub fn try_start<F, E>(self, factory: F) -> Result<ProcessorService<P>, StartError>
    where
        F: Fn() -> Result<P, E> + Send + Sync + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.start_with(Arc::new(move || {
            factory().map_err(Into::<FactoryError>::into)
        }))
    }

    fn start_with(self, factory: Arc<Factory<P>>) -> Result<ProcessorService<P>, StartError> {
        let Self {
            workers,
            name,
            capacity,
            is_paused,
            share,
            spares,
            describe,
            window,
            processor: _,
        } = self;
        let workers =
            workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let window = window.unwrap_or((2 * workers).max(16));
        match (workers, capacity, window) {
            (0, _, _) => return Err(StartError::NoWorkers),
            (_, Some(0), _) => return Err(StartError::NoCapacity),
            (_, _, 0) => return Err(StartError::NoWindow),
            _ => {}
        }
        record_locations();
        let observer = Observer::new(&name);
        let mut home = Dispatcher::new(observer, capacity, is_paused, share, P::is_failure);
        home.describe = describe;
        let home = Arc::new(home);
        let pool = Pool::start(Arc::clone(&home), factory, name, workers, spares)?;
        Ok(ProcessorService::new(home, pool, window))
    }
}

/// How a service is made.
impl<P: Processor> ProcessorService<P> {
    /// Starts `workers` workers, each with a processor that `factory` makes on the worker's own thread. For more
    /// choices, see [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`ProcessorServiceBuilder::start`].
    pub fn start<F>(workers: usize, factory: F) -> Result<Self, StartError>
    where
        F: Fn() -> P + Send + Sync + 'static,
    {
        ProcessorServiceBuilder::new()
            .workers(workers)
            .start(factory)
    }

    /// Makes a service step by step. The processor's type follows from the factory that
    /// [`ProcessorServiceBuilder::start`] takes.
    pub fn builder() -> ProcessorServiceBuilder<P> {
        ProcessorServiceBuilder::new()
    }
}

impl<P: Processor> fmt::Debug for ProcessorServiceBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field is not forgotten here.
        let Self {
            workers,
            name,
            capacity,
            is_paused,
            share,
            spares,
            describe,
            window,
            processor: _,
        } = self;
        f.debug_struct("ProcessorServiceBuilder")
            .field("workers", workers)
            .field("name", name)
            .field("capacity", capacity)
            .field("is_paused", is_paused)
            .field("share", share)
            .field("max_spare_workers", spares)
            .field("debug_requests", &describe.is_some())
            .field("window", window)
            .finish()
    }
}
