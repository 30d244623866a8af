//! Waiting inside a worker: for as long as its thread waits, a spare worker stands in for it, so that a service whose
//! workers all wait for its own requests still gets them done. A wait that could never end is refused.

use crate::current;
use crate::error::{Circle, Failure};
use crate::waits::{Target, Waiting};

/// Waits for the first of `any_of` on this thread, with `block`; with none given, for something that is no run. `None`
/// among them is something that this thread has to do itself, once it waits no longer.
///
/// # Errors
///
/// On a worker, where the wait would close a circle, or nobody can stand in for it.
pub(crate) fn wait<T>(
    any_of: impl Fn() -> Vec<Option<Target>>,
    block: impl FnOnce() -> T,
) -> Result<T, Failure> {
    let Some((worker, reserve)) = current::worker() else {
        return Ok(block());
    };
    let targets = any_of();
    if !targets.is_empty() && targets.iter().all(Option::is_none) {
        return Err(Failure::WouldDeadlock);
    }
    let targets = || any_of().into_iter().flatten().collect();
    let runs = reserve.runs(&worker.record);
    let circle = |runs| Failure::Cycle(Circle::new(runs));
    let _waiting = Waiting::begin(&worker, &runs, targets).map_err(circle)?;
    let _stands_in = reserve.stand_in().ok_or(Failure::WouldDeadlock)?;
    Ok(block())
}
