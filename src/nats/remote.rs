//! A processor whose requests are processed on other machines.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{self, Runtime};

use crate::context::Context;
use crate::jobs::Jobs;
use crate::nats::connection::Connection;
use crate::nats::driver::Driver;
use crate::nats::error::NatsError;
use crate::nats::exchange::exchange;
use crate::nats::line::Line;
use crate::nats::queue::Queue;
use crate::processor::Processor;

/// A [`Processor`] whose requests are processed by the workers of a cluster: `P`, on whatever machines
/// [`serve`](fn@crate::nats::serve) runs.
///
/// Nothing changes for callers. Requests are shared in the process first, and then across the cluster: equal requests of any
/// number of hosts are processed once, and every caller gets the output.
///
/// ```no_run
/// use parallel_workers::nats::{Connection, Queue, Remote};
/// use parallel_workers::{Context, Processor, ProcessorService};
///
/// struct Squares;
///
/// impl Processor for Squares {
///     type Request = u64;
///     type Output = u64;
///
///     fn process(&mut self, n: &u64, _: &Context) -> u64 {
///         n * n
///     }
/// }
///
/// let connection = Connection::to("nats://127.0.0.1:4222");
/// let service = ProcessorService::builder().workers(1).try_start(move || {
///     Remote::<Squares>::to(connection.clone(), Queue::named("squares")).connect()
/// })?;
/// assert_eq!(*service.queue_request(12).wait()?, 144);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// One worker is enough: it is a connection, and has up to 512 requests in flight ([`RemoteBuilder::window`]), all of which
/// count as [`Running`](crate::State::Running). What is [aborted](crate::Promise::abort) then is taken out of the
/// cluster's queue if no worker there has begun it, and its promise settles with [`Failure::Aborted`](crate::Failure::Aborted);
/// where one has, its processor's [`Context::is_cancelled`] turns true, unless callers in other processes want it, too.
///
/// **At least once:** a request whose worker is lost is begun by another one, as often as [`Queue::max_starts`] allows; then its
/// promise settles with [`Failure::Poisoned`](crate::Failure::Poisoned). Whatever happens, every promise settles once.
///
/// While no server can be reached, requests wait. A promise can be waited for with a timeout.
///
/// A worker of this service that is [killed](crate::Worker::kill) lets go of what it has in flight; the cluster is told
/// that nobody wants it.
pub struct Remote<P: Processor> {
    pub(crate) runtime: Runtime,
    pub(crate) line: Line,
    pub(crate) window: usize,
    processor: PhantomData<fn() -> P>,
}

/// How many requests are in flight: enough for the server to work without a pause, and few enough to wait for.
const WINDOW: usize = 512;
/// No more than workers have at a time, all together.
const LARGEST_WINDOW: usize = 16_384;

/// How a [`Remote`] is to be.
#[derive(Clone, Debug)]
pub struct RemoteBuilder<P: Processor> {
    connection: Connection,
    queue: Queue,
    window: usize,
    processor: PhantomData<fn() -> P>,
}

impl<P: Processor> RemoteBuilder<P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    /// How many requests it has in flight, at most. Default: 512; at least one, at most 16,384.
    #[must_use]
    pub fn window(mut self, requests: usize) -> Self {
        self.window = requests.clamp(1, LARGEST_WINDOW);
        self
    }

    /// Connects. Called on the worker's thread, as factories are.
    ///
    /// # Errors
    ///
    /// [`NatsError`] says what is wrong with the address, the server or the queue.
    ///
    /// # Blocking
    ///
    /// Until the server has answered, for [`Connection::timeout`] at most for each answer.
    pub fn connect(self) -> Result<Remote<P>, NatsError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| NatsError::Runtime { source })?;
        let line = runtime.block_on(Line::open(&self.connection, &self.queue))?;
        Ok(Remote {
            runtime,
            line,
            window: self.window,
            processor: PhantomData,
        })
    }
}

impl<P: Processor> Remote<P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    /// Requests go to this queue, through this connection.
    pub fn to(connection: Connection, queue: Queue) -> RemoteBuilder<P> {
        RemoteBuilder {
            connection,
            queue,
            window: WINDOW,
            processor: PhantomData,
        }
    }

    /// How many requests were answered.
    pub fn answered(&self) -> u64 {
        self.line.answered
    }
}

impl<P: Processor> Processor for Remote<P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    type Request = P::Request;
    type Output = P::Output;

    /// Has the cluster process it, and waits for that: for processors that wrap this one. [`run`](Self::run) does not use it.
    ///
    /// # Panics
    ///
    /// Where the processor does, and where the request was set aside.
    fn process(&mut self, request: &P::Request, _: &Context<'_>) -> P::Output {
        match self.runtime.block_on(exchange(&mut self.line, request)) {
            Ok(output) => output,
            Err(panic) => panic!("{panic}"),
        }
    }

    fn run(&mut self, jobs: &mut Jobs<P::Request, P::Output>) {
        let Self {
            runtime,
            line,
            window,
            ..
        } = self;
        // Its timer needs the runtime around it.
        runtime.block_on(async { Driver::<P>::new(line, *window, jobs).run().await });
    }

    fn is_failure(output: &P::Output) -> bool {
        P::is_failure(output)
    }
}

impl<P: Processor> fmt::Debug for Remote<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("owner", &self.line.owner)
            .field("window", &self.window)
            .field("answered", &self.line.answered)
            .finish_non_exhaustive()
    }
}
