//! This crate, with its feature `nats`.

use std::path::Path;

use crate::case::Contender;

/// Ours, when it is there.
///
/// `run` is given a [`Load`](crate::load::Load) and does what that of [`floor`](crate::floor) does with it: starts a
/// server and the worker processes, makes the requests of both parts of the load with that many under way, and gives the
/// figures of the second part. Worker processes are this program, told a word of their own by `main`; they process with
/// [`load::process`](crate::load::process).
pub fn contender(_server: &Path) -> Option<Contender> {
    None
}
