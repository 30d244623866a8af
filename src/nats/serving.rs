//! A worker's side: a service that is fed from a cluster's queue.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::current;
use crate::nats::connection::Connection;
use crate::nats::error::NatsError;
use crate::nats::feeder::{Feeder, Terms};
use crate::nats::queue::Queue;
use crate::processor::Processor;
use crate::service::ProcessorService;
use crate::sync::{Arc, Mutex, thread};

/// How a service is fed from a queue.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    queue: Queue,
    workers: Option<usize>,
}

impl ServeOptions {
    /// From this queue, with as many workers as the machine has cores.
    #[must_use]
    pub fn of(queue: Queue) -> Self {
        let workers = None;
        Self { queue, workers }
    }

    /// With so many workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }
}

impl From<Queue> for ServeOptions {
    fn from(queue: Queue) -> Self {
        Self::of(queue)
    }
}

/// Processes requests of a cluster's queue on this machine, until it is [stopped](Serving::stop) or dropped.
///
/// ```no_run
/// use parallel_workers::nats::{self, Connection, Queue, ServeOptions};
/// use parallel_workers::{Context, processor_fn};
///
/// let connection = Connection::to("nats://127.0.0.1:4222");
/// let options = ServeOptions::of(Queue::named("squares")).workers(8);
/// let serving = nats::serve(&connection, options, || processor_fn(|n: &u64, _: &Context| n * n))?;
/// // Until somebody presses Enter.
/// std::io::stdin().read_line(&mut String::new())?;
/// serving.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A service of any kind, with processors that can fail to start, or asynchronous ones, or child processes, is fed by
/// [`feed`].
///
/// # Errors
///
/// [`NatsError`] says what is wrong with the address, the server or the queue, or that the workers could not be started.
///
/// # Blocking
///
/// Until the processors are made and the server has answered.
pub fn serve<P: Processor>(
    connection: &Connection,
    options: impl Into<ServeOptions>,
    make: impl Fn() -> P + Send + Sync + 'static,
) -> Result<Serving<P>, NatsError>
where
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    let ServeOptions { queue, workers } = options.into();
    let mut builder = ProcessorService::builder().name(queue.name());
    if let Some(workers) = workers {
        builder = builder.workers(workers);
    }
    feed(connection, queue, builder.start(make)?)
}

/// Feeds a service from a cluster's queue, until it is [stopped](Serving::stop) or dropped: one of any kind, which may have
/// other requests, too.
///
/// Requests are taken ahead of need, about as many as are done in 20 milliseconds. Where they wait for longer and workers elsewhere
/// are idle, they are given back.
///
/// ```no_run
/// # #[cfg(all(feature = "process", unix))] {
/// use parallel_workers::nats::{self, Connection, Queue};
/// use parallel_workers::process::{Child, Foreign};
/// use parallel_workers::ProcessorService;
/// use std::process::Command;
///
/// let service = ProcessorService::builder().workers(4).try_start(|| {
///     Child::<Foreign<String, usize>>::command(Command::new("./lengths")).start()
/// })?;
/// let serving = nats::feed(&Connection::to("nats://127.0.0.1:4222"), Queue::named("lengths"), service)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`NatsError`] says what is wrong with the address, the server or the queue. The service is stopped then.
///
/// # Blocking
///
/// Until the server has answered.
pub fn feed<P: Processor>(
    connection: &Connection,
    queue: Queue,
    service: ProcessorService<P>,
) -> Result<Serving<P>, NatsError>
where
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| NatsError::Runtime { source })?;
    let (stop, stopped) = oneshot::channel();
    let terms = Terms {
        handle: service.handle(),
        workers: service.workers().len(),
        name: service.status().name,
        stop: stopped,
    };
    let feeder = runtime.block_on(Feeder::connect(connection, &queue, terms))?;
    let name = format!("{}-feeder", queue.name());
    let thread = thread::Builder::new()
        .name(name)
        .spawn(move || runtime.block_on(feeder.run()));
    let thread = thread.map_err(|source| NatsError::Runtime { source })?;
    Ok(Serving {
        service: Arc::new(service),
        feeder: Mutex::new(Some((stop, thread))),
    })
}

/// A service that is fed from a cluster's queue.
///
/// Dropped, it [stops](Self::stop).
pub struct Serving<P: Processor> {
    service: Arc<ProcessorService<P>>,
    /// What stops the feeder, and its thread. `None`: it has been stopped.
    feeder: Mutex<Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>>,
}

impl<P: Processor> Serving<P> {
    /// The service: its status, its workers, its events.
    pub fn service(&self) -> &ProcessorService<P> {
        &self.service
    }

    /// Takes no more requests, gives back what has not begun, finishes the rest, and stops the service.
    ///
    /// Where the server cannot be reached, it waits for a lease, no longer: others begin then what is held here.
    ///
    /// # Blocking
    ///
    /// Until all that is over. On one of the service's own workers it begins all that, and waits for nothing.
    pub fn stop(&self) {
        // LOCK: released before anything is waited for.
        let feeder = self.feeder.lock().take();
        if let Some((stop, thread)) = feeder {
            // Where nobody hears it, the feeder has ended.
            let _ = stop.send(());
            if !current::is_worker_of(self.service.handle().home.id) {
                // One that has panicked has nothing to tell.
                let _ = thread.join();
            }
        }
        self.service.stop();
    }
}

impl<P: Processor> Drop for Serving<P> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<P: Processor> fmt::Debug for Serving<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("is_fed", &self.feeder.lock().is_some())
            .finish_non_exhaustive()
    }
}
