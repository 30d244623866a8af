//! Processors that await: one worker drives many requests at a time.

mod driver;
mod request;
mod slots;
mod spawned;

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task;

use crate::blocking::block_on;
use crate::context::Context;
use crate::jobs::Jobs;
use crate::processor::Processor;
use crate::sync::Arc;

use driver::drive;
use request::{Dropped, Request};
use spawned::Spawned;
pub use spawned::Task;

/// Turns requests into outputs, many at a time: each is a future, and while it waits, its worker goes on with others.
///
/// [`Async`] makes a [`Processor`] of it. All requests of one worker share its processor by reference, so what they
/// change is in a `Cell`, a `RefCell` that is not held across an `await`, or a lock. The futures need not be `Send`.
///
/// ```
/// use parallel_workers::{Async, AsyncProcessor, Context, ProcessorService};
///
/// struct Fetcher;
///
/// impl AsyncProcessor for Fetcher {
///     type Request = String;
///     type Output = std::io::Result<usize>;
///
///     async fn process(&self, path: &String, _: &Context<'_>) -> std::io::Result<usize> {
///         Ok(smol::fs::read(path).await?.len())
///     }
/// }
///
/// // One worker, a hundred files at a time.
/// let service = ProcessorService::start(1, || Async::new(Fetcher).concurrency(100))?;
/// let promise = service.queue_request("Cargo.toml".to_string());
/// assert!(promise.wait()?.as_ref().is_ok_and(|length| *length > 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait AsyncProcessor: Sized + 'static {
    /// What callers queue; see [`Processor::Request`].
    type Request: Hash + Eq + Send + Sync + 'static;

    /// What a promise settles with; see [`Processor::Output`].
    type Output: Send + Sync + 'static;

    /// Processes one request. An `async fn` implements it.
    ///
    /// # Panics
    ///
    /// It may panic, before its first `await` or later: its own promise settles with
    /// [`Failure::Panicked`](crate::Failure::Panicked), no other does, and the worker goes on with the same processor,
    /// for others are in the middle of it.
    ///
    /// # Blocking
    ///
    /// A future that blocks its thread holds up all requests of its worker. Waiting for a promise of the same service
    /// is safe all the same: a spare worker goes on with what is queued, and waiting for what the blocked worker itself
    /// has begun is [`Failure::Cycle`](crate::Failure::Cycle). Awaiting promises blocks nobody, and takes no place from
    /// what is awaited. But futures that await each other's promises in a circle wait for ever: nobody looks for circles
    /// there, for a future may wait for one of several things.
    fn process(
        &self,
        request: &Self::Request,
        context: &Context<'_>,
    ) -> impl Future<Output = Self::Output>;

    /// Whether an output is a failure; see [`Processor::is_failure`].
    fn is_failure(output: &Self::Output) -> bool {
        let _ = output;
        false
    }
}

/// A [`Processor`] made of an [`AsyncProcessor`].
///
/// Its worker drives up to [`concurrency`](Self::concurrency) requests at a time. By default it does so on its own
/// thread, and no runtime is needed: futures that are woken from elsewhere, like those of `smol`, `async-io` or of
/// channels, just work. What needs a runtime around it runs [`on`](Self::on) tokio, [`inside`](Self::inside) another
/// runtime, or as tasks [spawned](Self::spawned_by) there.
///
/// Everything else is as on threads. A worker that is paused, told to leave, or has mail (a broadcast), begins nothing
/// more, and first finishes what it has; where that awaits requests that have not begun, a spare worker takes these. One that is [killed](crate::Worker::kill) can do better than a thread: what it
/// has begun is dropped.
///
/// # Where it ends
///
/// A future is dropped, not run to its end, when its worker is killed, when its service is
/// [abandoned](crate::Shutdown::Abandon), and with [`cancel_on_abort`](Self::cancel_on_abort) when nobody wants its output.
pub struct Async<A: AsyncProcessor> {
    processor: Arc<A>,
    concurrency: usize,
    cancels: bool,
    runtime: Runtime<A>,
}

/// The work of one worker, as a future that ends when the worker is to hand control back.
type Work<'a> = Pin<&'a mut dyn Future<Output = ()>>;

/// Where the futures of a worker run.
enum Runtime<A: AsyncProcessor> {
    OwnThread,
    Inside(Box<dyn FnMut(Work<'_>)>),
    SpawnedBy(Rc<dyn Fn(Task<A>)>),
}

/// How many requests a worker drives at a time unless it is told otherwise.
const CONCURRENCY: usize = 256;

impl<A: AsyncProcessor> Async<A> {
    /// Up to 256 requests at a time, on the worker's own thread.
    #[must_use]
    pub fn new(processor: A) -> Self {
        Self {
            processor: Arc::new(processor),
            concurrency: CONCURRENCY,
            cancels: false,
            runtime: Runtime::OwnThread,
        }
    }

    /// Drives up to so many requests at a time. Default: 256; zero counts as one.
    ///
    /// Those that await other requests of this crate do not count: were each to wait for one that has no place, nothing
    /// would ever go on.
    ///
    /// Ten thousand is normal: each takes the size of its future, and about a hundred bytes.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Whether the future of a request that nobody wants any more is dropped. Default: it is not, and may ask
    /// [`Context::is_cancelled`], or await [`Context::cancelled`].
    ///
    /// If it is, the promise of the request, which [`abort`](crate::Promise::abort) left running, settles with
    /// [`Failure::Aborted`](crate::Failure::Aborted).
    #[must_use]
    pub fn cancel_on_abort(mut self, cancels: bool) -> Self {
        self.cancels = cancels;
        self
    }

    /// The futures run in tokio's context, polled by the worker's own thread: timers, sockets and `tokio::spawn` work in
    /// them, and they need not be `Send`.
    ///
    /// A runtime of the current-thread flavour has to be running for its timers and sockets to make progress, as it is
    /// below `block_on`.
    ///
    /// ```
    /// use parallel_workers::{Async, AsyncProcessor, Context, ProcessorService};
    ///
    /// struct Sleeper;
    ///
    /// impl AsyncProcessor for Sleeper {
    ///     type Request = u64;
    ///     type Output = u64;
    ///
    ///     async fn process(&self, millis: &u64, _: &Context<'_>) -> u64 {
    ///         tokio::time::sleep(std::time::Duration::from_millis(*millis)).await;
    ///         *millis
    ///     }
    /// }
    ///
    /// let runtime = tokio::runtime::Runtime::new()?;
    /// let tokio = runtime.handle().clone();
    /// let service = ProcessorService::start(1, move || Async::new(Sleeper).concurrency(1_000).on(tokio.clone()))?;
    /// // Thirty timers at a time: thirty milliseconds, not half a second.
    /// let promises = service.queue_requests(0..30);
    /// assert_eq!(promises.select().filter(|promise| promise.wait().is_ok()).count(), 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn on(self, runtime: tokio::runtime::Handle) -> Self {
        self.inside(move |work| runtime.block_on(work))
    }

    /// The futures run inside `block_on`, called on the worker's own thread: that of any runtime.
    ///
    /// It is given the worker's work, a future, and returns when that is ready; what it leaves unfinished settles with
    /// [`Failure::WorkerLost`](crate::Failure::WorkerLost). It is called again when there is more to do.
    #[must_use]
    pub fn inside(
        mut self,
        block_on: impl FnMut(Pin<&mut dyn Future<Output = ()>>) + 'static,
    ) -> Self {
        self.runtime = Runtime::Inside(Box::new(block_on));
        self
    }

    /// Each request is a task that `spawn` spawns, on any runtime: its threads process the requests, and this worker only
    /// hands them out.
    ///
    /// The futures have to be `Send` where the runtime asks for that. A task that is never run, or is dropped in the
    /// middle, settles its promise with [`Failure::WorkerLost`](crate::Failure::WorkerLost). Waiting inside such a task for a promise of the same service
    /// would block the runtime that is to settle it: it is [`Failure::WouldDeadlock`](crate::Failure::WouldDeadlock). Await it.
    ///
    /// ```
    /// use parallel_workers::{Async, AsyncProcessor, Context, ProcessorService};
    ///
    /// struct Squares;
    ///
    /// impl AsyncProcessor for Squares {
    ///     type Request = u64;
    ///     type Output = u64;
    ///
    ///     async fn process(&self, n: &u64, _: &Context<'_>) -> u64 {
    ///         smol::future::yield_now().await;
    ///         n * n
    ///     }
    /// }
    ///
    /// let service = ProcessorService::start(1, || {
    ///     Async::new(Squares).spawned_by(|task| smol::spawn(task.run()).detach())
    /// })?;
    /// assert_eq!(*service.queue_request(12).wait()?, 144);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn spawned_by(mut self, spawn: impl Fn(Task<A>) + 'static) -> Self {
        self.runtime = Runtime::SpawnedBy(Rc::new(spawn));
        self
    }

    /// The processor, as in a [broadcast](crate::ProcessorService::broadcast).
    pub fn processor(&self) -> &A {
        &self.processor
    }

    /// When futures are dropped, if not otherwise when nobody wants them.
    fn dropped(&self, otherwise: Dropped) -> Dropped {
        if self.cancels {
            Dropped::Unwanted
        } else {
            otherwise
        }
    }
}

impl<A: AsyncProcessor> Processor for Async<A> {
    type Request = A::Request;
    type Output = A::Output;

    /// Blocks until the request has been processed. [`run`](Self::run) does not use it.
    fn process(&mut self, request: &A::Request, context: &Context<'_>) -> A::Output {
        let mut future = pin!(self.processor.process(request, context));
        block_on(
            |waker| match future.as_mut().poll(&mut task::Context::from_waker(waker)) {
                task::Poll::Ready(output) => Some(output),
                task::Poll::Pending => None,
            },
        )
    }

    fn run(&mut self, jobs: &mut Jobs<A::Request, A::Output>) {
        // What this worker drives itself, it drops by itself when it is given up.
        let dropped = self.dropped(Dropped::Never);
        let spawned = self.dropped(Dropped::GivenUp);
        let processor = &self.processor;
        let begin = |job| Request { job, dropped }.process(&**processor);
        match &mut self.runtime {
            Runtime::OwnThread => {
                let mut work = pin!(drive(jobs, self.concurrency, begin));
                block_on(|waker| {
                    let polled = work.as_mut().poll(&mut task::Context::from_waker(waker));
                    polled.is_ready().then_some(())
                });
            }
            Runtime::Inside(block_on) => block_on(pin!(drive(jobs, self.concurrency, begin))),
            Runtime::SpawnedBy(spawn) => {
                Spawned::new(Arc::clone(processor), spawned, self.concurrency)
                    .hand_out(jobs, &**spawn);
            }
        }
    }

    fn is_failure(output: &A::Output) -> bool {
        A::is_failure(output)
    }
}

impl<A: AsyncProcessor> fmt::Debug for Async<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runtime = match self.runtime {
            Runtime::OwnThread => "own thread",
            Runtime::Inside(_) => "inside",
            Runtime::SpawnedBy(_) => "spawned",
        };
        f.debug_struct("Async")
            .field("concurrency", &self.concurrency)
            .field("cancel_on_abort", &self.cancels)
            .field("runtime", &runtime)
            .finish()
    }
}
