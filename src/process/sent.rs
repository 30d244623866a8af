//! A request that a process has, as the service sees it.

use std::hash::Hash;
use std::task::Waker;

use crate::job::Job;

/// A request that the process has.
pub(crate) struct Sent<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) job: Job<R, T>,
    /// Whether the worker's thread is woken when nobody wants its output.
    is_watched: bool,
    /// Whether the process has been told that nobody does.
    is_cancelled: bool,
}

impl<R, T> Sent<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(job: Job<R, T>) -> Self {
        Self {
            job,
            is_watched: false,
            is_cancelled: false,
        }
    }

    /// Whether it is news that nobody wants its output. If that is so later, `waker` is woken.
    pub(crate) fn is_unwanted_now(&mut self, waker: &Waker) -> bool {
        if self.is_cancelled {
            return false;
        }
        self.is_cancelled = if std::mem::replace(&mut self.is_watched, true) {
            self.job.context().is_cancelled()
        } else {
            self.job.poll_cancelled(waker)
        };
        self.is_cancelled
    }
}
