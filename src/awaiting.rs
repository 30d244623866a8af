//! One task's wait for one promise.

use std::task::{Poll, Waker};

use crate::error::Failure;
use crate::promise::Promise;
use crate::subscribers::Key;
use crate::task::TaskWait;

/// Where the task is known, for as long as it waits. To be left by whoever drops it.
#[derive(Debug, Default)]
pub(crate) struct Awaiting {
    key: Option<Key>,
    wait: TaskWait,
}

impl Awaiting {
    /// The outcome; pending, the task is woken when there is one.
    pub(crate) fn poll<'a, R, T>(
        &mut self,
        promise: &'a Promise<R, T>,
        waker: &Waker,
    ) -> Poll<Result<&'a T, Failure>> {
        if let Some(outcome) = promise.poll(&mut self.key, waker) {
            self.wait.end();
            return Poll::Ready(outcome);
        }
        // A worker gives its answer to a broadcast when its tasks are done.
        if self.wait.begin() && promise.waits_for_this_thread() {
            return Poll::Ready(Err(Failure::WouldDeadlock));
        }
        Poll::Pending
    }

    /// It waits no longer, and leaves nothing behind.
    pub(crate) fn leave<R, T>(&mut self, promise: &Promise<R, T>) {
        self.wait.end();
        if let Some(key) = self.key.take() {
            promise.unsubscribe(key);
        }
    }
}
