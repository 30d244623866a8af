//! Why a child process is to end.

use crate::loss::{Breach, Loss};

/// Why a process is to end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It has, or its output has ended.
    ByItself,
    /// Nobody wants what it runs.
    Unwanted,
    For(Loss),
}

/// It broke the protocol, in this way.
pub(crate) fn broke(reason: &impl ToString) -> End {
    End::For(Loss::BrokeProtocol(Breach::new(reason.to_string())))
}
