//! A worker's next job, as a future.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::job::Job;
use crate::jobs::Jobs;

impl<R, T> Jobs<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// The next job, as a future: `None` says to return from `run`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has taken nothing, and what it was woken for goes to another worker.
    pub fn next_async(&mut self) -> NextJob<'_, R, T> {
        NextJob { jobs: self }
    }
}

/// The next job of a worker, see [`Jobs::next_async`].
#[must_use = "futures do nothing unless awaited"]
pub struct NextJob<'a, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    jobs: &'a mut Jobs<R, T>,
}

impl<R, T> Future for NextJob<'_, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Output = Option<Job<R, T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.jobs.poll_next(cx)
    }
}

impl<R, T> Drop for NextJob<'_, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.jobs.stop_waiting();
    }
}

impl<R, T> fmt::Debug for NextJob<'_, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NextJob").field(&self.jobs).finish()
    }
}
