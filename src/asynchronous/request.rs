//! One request as a future: what is awaited, and how it ends.

use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::pin::{Pin, pin};
use std::task::{self, Poll};

use crate::asynchronous::AsyncProcessor;
use crate::cancelled::Cancelled;
use crate::context::Context;
use crate::job::Job;
use crate::panic::{Panic, catch};

/// A request that a worker has begun.
pub(super) struct Request<A: AsyncProcessor> {
    pub(super) job: Job<A::Request, A::Output>,
    pub(super) dropped: Dropped,
}

/// When its future is dropped before it is ready, other than by whoever drives it.
#[derive(Clone, Copy)]
pub(super) enum Dropped {
    Never,
    /// When its worker was given up.
    GivenUp,
    /// When nobody wants its output, for whatever reason.
    Unwanted,
}

/// What came of it.
pub(super) enum Processed<T> {
    Output(T),
    Panicked(Panic),
    /// Nobody wants the output any more.
    Unwanted,
}

/// A request that has been processed, and is to be settled.
pub(super) type Done<R, T> = (Job<R, T>, Processed<T>);

impl<A: AsyncProcessor> Request<A> {
    /// Processes it. A panic ends here; the future of the user's is dropped before this is ready, so that nobody sees
    /// an outcome while its values live.
    ///
    /// There may be many of these, so they are kept small: a block has what it captures once, an `async fn` its
    /// arguments twice.
    pub(super) fn process(
        self,
        processor: &A,
    ) -> impl Future<Output = Done<A::Request, A::Output>> {
        let Self { job, dropped } = self;
        async move {
            let processed = {
                let context = job.context();
                let mut panic = None;
                let begun = catch(|| processor.process(job.request(), &context));
                let mut future = pin!(begun.map_err(|one| panic = Some(one)).ok());
                let mut end = dropped.end(&context).map(Box::pin);
                let poll = |cx: &mut task::Context<'_>| match panic.take() {
                    Some(panic) => Poll::Ready(Processed::Panicked(panic)),
                    None => poll(&job, future.as_mut(), &mut end, cx),
                };
                let processed = poll_fn(poll).await;
                // A panic in its drop is nobody's outcome.
                let _ = catch(|| future.set(None));
                processed
            };
            (job, processed)
        }
    }
}

impl Dropped {
    /// What its future is dropped for, if it is not ready.
    fn end<'a>(self, context: &Context<'a>) -> Option<Cancelled<'a>> {
        match self {
            Self::Never => None,
            Self::GivenUp => Some(context.cancelled().given_up()),
            Self::Unwanted => Some(context.cancelled()),
        }
    }
}

fn poll<R, T, F>(
    job: &Job<R, T>,
    future: Pin<&mut Option<F>>,
    end: &mut Option<Pin<Box<Cancelled<'_>>>>,
    cx: &mut task::Context<'_>,
) -> Poll<Processed<T>>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Future<Output = T>,
{
    if let Some(future) = future.as_pin_mut() {
        match job.in_scope(|| catch(|| future.poll(cx))) {
            Ok(Poll::Ready(output)) => return Poll::Ready(Processed::Output(output)),
            Err(panic) => return Poll::Ready(Processed::Panicked(panic)),
            Ok(Poll::Pending) => {}
        }
    }
    let ended = end.as_mut().map(|end| end.as_mut().poll(cx));
    match ended {
        Some(Poll::Ready(())) => Poll::Ready(Processed::Unwanted),
        Some(Poll::Pending) | None => Poll::Pending,
    }
}
