//! One request as a future: what is awaited, and how it ends.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::asynchronous::AsyncProcessor;
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
    pub(super) async fn process(self, processor: &A) -> Done<A::Request, A::Output> {
        let Self { job, dropped } = self;
        let processed = {
            let context = job.context();
            // In a block of its own, so that a panic before the first `await` is one of the future, too.
            let future = async { processor.process(job.request(), &context).await };
            let mut future = pin!(Some(future));
            let mut cancelled = pin!(match dropped {
                Dropped::Never => None,
                Dropped::GivenUp => Some(context.cancelled().given_up()),
                Dropped::Unwanted => Some(context.cancelled()),
            });
            let processed = poll_fn(|cx| {
                let polled = future
                    .as_mut()
                    .as_pin_mut()
                    .map(|future| job.in_scope(|| catch(|| future.poll(cx))));
                match polled {
                    Some(Ok(Poll::Ready(output))) => return Poll::Ready(Processed::Output(output)),
                    Some(Err(panic)) => return Poll::Ready(Processed::Panicked(panic)),
                    Some(Ok(Poll::Pending)) | None => {}
                }
                let cancelled = cancelled.as_mut().as_pin_mut();
                match cancelled.map_or(Poll::Pending, |cancelled| cancelled.poll(cx)) {
                    Poll::Ready(()) => Poll::Ready(Processed::Unwanted),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            // A panic in its drop is nobody's outcome.
            let _ = catch(|| future.set(None));
            processed
        };
        (job, processed)
    }
}
