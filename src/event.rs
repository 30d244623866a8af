//! What a service tells its subscribers.

use std::fmt;
use std::time::Duration;

use crate::request_id::RequestId;
use crate::status::WorkerId;
use crate::sync::Arc;

/// Something that happened to a request or to a worker; see
/// [`ProcessorService::subscribe`](crate::ProcessorService::subscribe).
///
/// It prints as one line for a log. With the feature `serde` it can be serialized; durations are seconds then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Event {
    /// A worker begins to process a request.
    #[doc(alias = "start")]
    #[non_exhaustive]
    Started {
        /// Names the run.
        request: RequestId,
        /// Who processes it.
        worker: WorkerId,
        /// That worker's name.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::name"))]
        name: Arc<str>,
        /// How long it waited in the queue. Of a request that was queued before anybody subscribed, it may be up to
        /// two hundredths too much.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::one"))]
        waited: Duration,
    },
    /// A run has its outcome: who sees that, finds this.
    #[doc(alias = "done")]
    #[doc(alias = "error")]
    #[non_exhaustive]
    Settled {
        /// Names the run.
        request: RequestId,
        /// How it ended.
        outcome: Outcome,
        /// Who had it; `None`: it never began.
        worker: Option<WorkerId>,
        /// That worker's name.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::some_name"))]
        name: Option<Arc<str>>,
        /// How long it waited in the queue; `None`, where it was taken out with all the rest.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::some"))]
        waited: Option<Duration>,
        /// How long it ran; `None`: it never began.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::some"))]
        ran: Option<Duration>,
    },
    /// A worker has its processor and begins to work.
    #[non_exhaustive]
    WorkerStarted {
        /// Who.
        worker: WorkerId,
        /// Its name.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::name"))]
        name: Arc<str>,
    },
    /// A worker's processor was made again, after a panic, or for the worker that takes the place of a lost one.
    #[non_exhaustive]
    WorkerRespawned {
        /// Who.
        worker: WorkerId,
        /// Its name.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::name"))]
        name: Arc<str>,
    },
    /// A worker was given up, see [`Worker::kill`](crate::Worker::kill).
    #[non_exhaustive]
    WorkerLost {
        /// Who.
        worker: WorkerId,
        /// Its name.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::name"))]
        name: Arc<str>,
    },
    /// A worker has ended, as it was told to.
    #[non_exhaustive]
    WorkerLeft {
        /// Who.
        worker: WorkerId,
        /// Its name.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::name"))]
        name: Arc<str>,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Outcome {
    /// With an output.
    Output,
    /// With an output that the processor calls a failure.
    Failed,
    /// With a panic.
    Panicked,
    /// Everybody left before it began.
    Aborted,
    /// Its worker was lost, or none could be made.
    WorkerLost,
    /// The service was stopped before it began.
    Stopped,
}

impl Outcome {
    /// Its name, as in logs and metrics: `output`, `failed`, `panicked`, `aborted`, `worker_lost`, `stopped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Aborted => "aborted",
            Self::WorkerLost => "worker_lost",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                request,
                name,
                waited,
                ..
            } => write!(
                f,
                "request {request} started on {name}, waited {waited:.1?}"
            ),
            Self::Settled {
                request,
                outcome,
                name,
                waited,
                ran,
                ..
            } => {
                write!(f, "request {request} settled: {outcome}")?;
                if let Some(name) = name {
                    write!(f, " on {name}")?;
                }
                if let Some(waited) = waited {
                    write!(f, ", waited {waited:.1?}")?;
                }
                match ran {
                    Some(ran) => write!(f, ", ran {ran:.1?}"),
                    None => Ok(()),
                }
            }
            Self::WorkerStarted { worker, name } => write!(f, "worker {worker} {name} started"),
            Self::WorkerRespawned { worker, name } => {
                write!(f, "worker {worker} {name} has a new processor")
            }
            Self::WorkerLost { worker, name } => write!(f, "worker {worker} {name} lost"),
            Self::WorkerLeft { worker, name } => write!(f, "worker {worker} {name} left"),
        }
    }
}
