//! Waiting inside a worker: for as long as its thread waits, a spare worker stands in for it, so that a service whose
//! workers all wait for its own requests still gets them done. A wait that could never end is refused.

use crate::current;
use crate::error::{Circle, Failure};
use crate::request_id::RequestId;
use crate::waits::Waiting;

/// Waits for the first of `any_of` on this thread, with `block`; with none given, for something that is no run. `None`
/// among them is something that this thread has to do itself, once it waits no longer.
///
/// # Errors
///
/// On a worker, where the wait would close a circle, or nobody can stand in for it.
pub(crate) fn wait<T>(
    any_of: impl FnOnce() -> Vec<Option<RequestId>>,
    block: impl FnOnce() -> T,
) -> Result<T, Failure> {
    let Some((worker, reserve)) = current::worker() else {
        return Ok(block());
    };
    let targets = any_of();
    let any_of: Vec<_> = targets.iter().copied().flatten().collect();
    if any_of.is_empty() && !targets.is_empty() {
        return Err(Failure::WouldDeadlock);
    }
    let circle = |runs| Failure::Cycle(Circle::new(runs));
    let _waiting = Waiting::begin(reserve.runs(&worker), any_of).map_err(circle)?;
    let _stands_in = reserve.stand_in().ok_or(Failure::WouldDeadlock)?;
    Ok(block())
}
