//! How long equal requests share one run.

/// How long equal requests share one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Share {
    /// Until it settles. The next equal request is a new run.
    #[default]
    InFlight,
    /// For as long as anybody holds a promise of it: a request is processed once however often and whenever it
    /// is queued, and nothing is kept that nobody can see. A run that ended in a [`Failure`](crate::Failure), or whose output the
    /// processor [calls a failure](crate::Processor::is_failure), or that everybody aborted while it ran, is not
    /// shared after it settled.
    WhileHeld,
}
