//! Every error of the crate: what failed, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

use thiserror::Error;

use crate::loss::Loss;
use crate::panic::Panic;
use crate::request_id::RequestId;
use crate::sync::Arc;
use crate::waits::Named;

/// Why a promise has no output.
///
/// Cloning is cheap: every caller of a shared run gets the same one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The request was aborted before its processing started, or this caller withdrew from a run that others
    /// still wanted.
    #[error("the request was aborted before it was processed")]
    Aborted,
    /// Processing the request panicked. The worker goes on, with a new processor.
    #[error("processing the request panicked: {0}")]
    Panicked(Panic),
    /// The worker that had the request is gone, or no worker could be made to process it. The request may
    /// have been processed in part.
    #[error("the worker that had the request was lost: {0}")]
    WorkerLost(Loss),
    /// The request was begun as often as a request may be, and every time the worker that had it was lost: it was set aside,
    /// so that it takes no more of them with it.
    #[error(
        "the request was begun {starts} times, its worker was lost every time, and it was set aside"
    )]
    Poisoned {
        /// How often it was begun.
        starts: u32,
    },
    /// The service was stopped before it began the request.
    #[error("the service was stopped before it began the request")]
    Stopped,
    /// This wait, inside a worker, would have closed a circle of requests that wait for one another. Told to the wait
    /// alone: the promise is not settled by it.
    #[error("waiting here would close a circle: {0}")]
    Cycle(Circle),
    /// This wait, inside a worker, could block its service for ever: no spare worker could be had, see
    /// [`max_spare_workers`](crate::ProcessorServiceBuilder::max_spare_workers). Told to the wait alone: the promise is
    /// not settled by it.
    #[error("waiting on this worker could block its service for ever, and it has no spare worker")]
    WouldDeadlock,
}

/// Requests each of which waits for the next, and the last one for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle(Arc<Vec<Named>>);

impl Circle {
    pub(crate) fn new(requests: Vec<Named>) -> Self {
        Self(Arc::new(requests))
    }

    /// The requests, beginning with the one that was about to wait.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = RequestId> {
        self.0.iter().map(|one| one.id)
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().chain(self.0.first());
        for (index, one) in all.enumerate() {
            f.write_str(match index {
                0 => "request ",
                1 => " would wait for ",
                _ => ", which waits for ",
            })?;
            match &one.name {
                Some(name) => f.write_str(name)?,
                None => one.id.fmt(f)?,
            }
        }
        Ok(())
    }
}

/// Why a request was not queued. It gives the request back.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueueError<R> {
    /// The queue holds as many requests as its capacity allows.
    #[error("the queue is full; wait with `queue_request`, or try again later")]
    Full(R),
    /// The service has been stopped, or is stopping.
    #[error("the service is stopped and takes no more requests")]
    Stopped(R),
    /// The queue was full for as long as the caller was willing to wait.
    #[error("the queue stayed full until the timeout passed")]
    TimedOut(R),
}

impl<R> QueueError<R> {
    /// The request that was not queued.
    pub fn into_request(self) -> R {
        match self {
            Self::Full(request) | Self::Stopped(request) | Self::TimedOut(request) => request,
        }
    }

    /// Whether there was no room: trying again later may work.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_) | Self::TimedOut(_))
    }

    /// Whether the service takes no more requests: trying again is no use.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }
}

/// Names the reason only, so that requests need not be `Debug`.
impl<R> fmt::Debug for QueueError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Stopped(_) => "Stopped(..)",
            Self::TimedOut(_) => "TimedOut(..)",
        })
    }
}

/// An error of the user's factory, whatever its type.
pub type FactoryError = Box<dyn Error + Send + Sync>;

/// Why a service, or a worker, could not be started. Nothing is left running of what was to be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// `workers(0)`: nobody would process anything.
    #[error("a service needs at least one worker, and was given none: call `workers(1)` or more")]
    NoWorkers,
    /// `capacity(0)`: nothing could ever be queued.
    #[error("a queue needs room for at least one request: call `capacity(1)` or more")]
    NoCapacity,
    /// `window(0)`: `map` could never take an item from its input.
    #[error("a map needs a window of at least one request: call `window(1)` or more")]
    NoWindow,
    /// Another worker of the service has that name.
    #[error("there is a worker {worker:?} already; names are unique, choose another one")]
    NameTaken {
        /// The name.
        worker: String,
    },
    /// A thread cannot be named so.
    #[error("a worker cannot be named {worker:?}: there is a zero byte in it")]
    BadName {
        /// The name.
        worker: String,
    },
    /// The service has been stopped, or is stopping.
    #[error("the service is stopped, so worker {worker:?} would have nothing to do")]
    Stopped {
        /// The name of the worker.
        worker: String,
    },
    /// The operating system refused a thread.
    #[error("could not start the thread of worker {worker:?}; try fewer workers")]
    Thread {
        /// The name of the worker.
        worker: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The factory gave an error instead of a processor.
    #[error("the factory failed to make the processor of worker {worker:?}")]
    Factory {
        /// The name of the worker.
        worker: String,
        /// What the factory said.
        source: FactoryError,
    },
    /// The factory panicked.
    #[error("the factory panicked making the processor of worker {worker:?}")]
    FactoryPanicked {
        /// The name of the worker.
        worker: String,
        /// The panic, with its message and location.
        source: Panic,
    },
}
