//! Why a worker was lost with what it had.

use std::fmt;
use std::process::ExitStatus;

use thiserror::Error;

use crate::sync::Arc;

/// Why a worker was lost with what it had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Loss {
    /// Somebody [killed](crate::Worker::kill) it.
    #[error("it was killed")]
    Killed,
    /// Its service was [abandoned](crate::Shutdown::Abandon).
    #[error("its service was abandoned")]
    Abandoned,
    /// It had left before it came to this.
    #[error("it had left")]
    Left,
    /// Its processor dropped the request without an output.
    #[error("its processor dropped the request")]
    Dropped,
    /// No processor could be made for it, nor for any other worker.
    #[error("no processor could be made")]
    NoProcessor,
    /// The child process that processed the request ended in the middle of it, by itself or by somebody else's signal.
    #[error("its process ended, {0}")]
    Ended(ExitStatus),
    /// The child process took longer than a request may, and was killed.
    #[error("its process was killed: the request took longer than it may")]
    TimedOut,
    /// The child process sent what it may not send, and was killed.
    #[error("its process was killed: {0}")]
    BrokeProtocol(Breach),
}

/// What a child process did that the protocol does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach(Arc<String>);

impl Breach {
    #[cfg(feature = "process")]
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(Arc::new(what.into()))
    }

    /// What it did, in words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
