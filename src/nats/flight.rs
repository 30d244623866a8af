//! One request on its way through a cluster, as its caller's side knows it.

use std::hash::Hash;
use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;
use tokio::task::AbortHandle;

use crate::job::Job;
use crate::nats::pace::Pace;

/// A request that was taken from the service, and is not settled.
pub(crate) struct Flight<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) job: Job<R, T>,
    /// Where it is queued.
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
    pub(crate) stage: Stage,
    /// When to look what has become of it.
    pub(crate) due: Instant,
    pub(crate) pace: Pace,
    /// What looks, or waits, on its behalf.
    pub(crate) task: Option<Task>,
    /// How many callers elsewhere wait for it, too.
    pub(crate) joiners: u32,
    /// Whether it is told when nobody wants it any more.
    pub(crate) listens: bool,
    /// Whether several workers may answer, or an answer was missed: what is heard may not be what is stored.
    pub(crate) is_doubtful: bool,
    /// Whether nobody in this process does.
    pub(crate) is_unwanted: bool,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Sent, and not acknowledged.
    Sent,
    /// In the queue under this sequence, or with a worker.
    Queued { sequence: u64 },
    /// An equal request of somebody else's is, and this one waits for its result.
    Joined { submission: String },
    /// It could not be queued, and will be sent again.
    Held,
}

impl<R, T> Flight<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(job: Job<R, T>, subject: Subject, payload: Bytes, now: Instant) -> Self {
        let mut pace = Pace::new();
        Self {
            job,
            subject,
            payload,
            stage: Stage::Sent,
            due: now + pace.next(),
            pace,
            task: None,
            joiners: 0,
            listens: false,
            is_doubtful: false,
            is_unwanted: false,
        }
    }

    /// Looks again after a while.
    pub(crate) fn look_later(&mut self, now: Instant) {
        self.due = now + self.pace.next();
    }

    /// Looks again soon, and then ever more seldom.
    pub(crate) fn look_soon(&mut self, now: Instant) {
        self.pace = Pace::new();
        let soon = now + self.pace.next() / 4;
        self.due = self.due.min(soon);
    }

    /// Whether nothing looks, or waits, on its behalf.
    pub(crate) fn is_unattended(&self) -> bool {
        self.task.as_ref().is_none_or(|task| task.0.is_finished())
    }
}

/// A task that nobody needs any more when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(pub(crate) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
