//! What a caller asks for besides his request.

use crate::room::Patience;
use crate::status::WorkerId;

/// What a caller asks for besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Whether equal requests may share the run.
    pub(crate) is_shared: bool,
    /// The line of workers that is to process it; `None`: any.
    pub(crate) line: Option<WorkerId>,
    /// How often the request was begun before, elsewhere.
    pub(crate) attempts: u32,
    /// What to do while the queue is full.
    pub(crate) patience: Patience,
}

impl Terms {
    /// Shared, for any worker, and as patient as need be.
    pub(crate) const USUAL: Self = Self {
        is_shared: true,
        line: None,
        attempts: 0,
        patience: Patience::Until(None),
    };

    /// The same, with a run of its own.
    pub(crate) const UNSHARED: Self = Self {
        is_shared: false,
        ..Self::USUAL
    };
}
