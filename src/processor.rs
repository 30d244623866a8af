//! What the user embeds: how a request becomes an output.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use crate::context::Context;
use crate::jobs::Jobs;

/// Turns requests into outputs. One is made for each worker, on the worker's own thread, and never leaves it.
///
/// So a processor needs no locks, need not be `Send`, and may keep what is expensive to make: a connection, a
/// parser, a buffer. When a request panics, the processor is dropped and another one is made.
///
/// ```
/// use parallel_workers::{Context, Processor, ProcessorService};
///
/// struct Greeter {
///     greeted: u32,
/// }
///
/// impl Processor for Greeter {
///     type Request = String;
///     type Output = String;
///
///     fn process(&mut self, name: &String, _: &Context) -> String {
///         self.greeted += 1;
///         format!("Hello {name}, number {}", self.greeted)
///     }
/// }
///
/// let service = ProcessorService::start(1, || Greeter { greeted: 0 })?;
/// let promise = service.queue_request("Ada".to_string());
/// assert_eq!(promise.wait()?, "Hello Ada, number 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Processor: Sized + 'static {
    /// What callers queue. Equal requests that are in flight share one promise.
    ///
    /// `Hash` and `Eq` must agree with each other and must not change while a request is queued. They run under
    /// a lock of the service: keep them short, and do not call the service from them.
    ///
    /// Where jobs have names and arguments, an enum: the example `named_jobs` shows it.
    #[doc(alias = "Attributes")]
    #[doc(alias = "target")]
    #[doc(alias = "arguments")]
    type Request: Hash + Eq + Send + Sync + 'static;

    /// What a promise settles with. A processor that can fail returns a `Result` here.
    type Output: Send + Sync + 'static;

    /// Processes one request.
    ///
    /// # Panics
    ///
    /// It may panic: the promise settles with [`Failure::Panicked`](crate::Failure::Panicked), and the worker
    /// goes on with a new processor.
    fn process(&mut self, request: &Self::Request, context: &Context<'_>) -> Self::Output;

    /// Drives a worker until [`Jobs::next`] gives `None`, then returns. The default takes one job after another.
    ///
    /// Override it to take several jobs at a time, to run many at once, or to send them elsewhere. Returning is
    /// always allowed, as long as no job is kept: `run` is called again when there is something to do. A job
    /// that is dropped settles its promise with [`Failure::WorkerLost`](crate::Failure::WorkerLost).
    #[doc(alias = "concurrentJobs")]
    fn run(&mut self, jobs: &mut Jobs<Self::Request, Self::Output>) {
        jobs.process_each(|request, context| self.process(request, context));
    }

    /// Whether an output is a failure. Such outputs are counted apart, and are not shared once they have settled
    /// ([`Share::WhileHeld`](crate::Share::WhileHeld)). Default: never.
    fn is_failure(output: &Self::Output) -> bool {
        let _ = output;
        false
    }
}

/// A [`Processor`] made of a closure; see [`processor_fn`].
pub struct ProcessorFn<R, T, F> {
    function: F,
    signature: PhantomData<fn(&R) -> T>,
}

/// Makes a processor of a closure.
///
/// The factory makes one for each worker, so a closure that captures something clones it there.
///
/// ```
/// use parallel_workers::{Context, ProcessorService, processor_fn};
///
/// let squares = ProcessorService::start(2, || processor_fn(|n: &u64, _: &Context| n * n))?;
/// assert_eq!(*squares.queue_request(12).wait()?, 144);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn processor_fn<R, T, F>(function: F) -> ProcessorFn<R, T, F>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: FnMut(&R, &Context<'_>) -> T + 'static,
{
    ProcessorFn {
        function,
        signature: PhantomData,
    }
}

impl<R, T, F> Processor for ProcessorFn<R, T, F>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: FnMut(&R, &Context<'_>) -> T + 'static,
{
    type Request = R;
    type Output = T;

    fn process(&mut self, request: &R, context: &Context<'_>) -> T {
        (self.function)(request, context)
    }
}

impl<R, T, F> fmt::Debug for ProcessorFn<R, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessorFn(..)")
    }
}
