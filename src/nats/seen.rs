//! Which submissions somebody in this process knows the outcome of.
//!
//! Whoever has seen an outcome and asks once more is to get a new run. But a worker acknowledges a request a moment after its
//! result was stored, so for that moment an equal one is told that the request is there. Who cannot have seen its result takes
//! that; who may have, waits until the request is gone.

use crate::nats::recent::Recent;
use crate::sync::process::Mutex;

#[derive(Debug)]
struct Seen {
    /// The connections of this process, whose own submissions are shared before they get this far.
    owners: Recent,
    /// Submissions of others whose results were waited for here.
    joined: Recent,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

fn with<T>(f: impl FnOnce(&mut Seen) -> T) -> T {
    // LOCK: for a lookup or an insertion.
    let mut seen = SEEN.lock();
    f(seen.get_or_insert_with(|| Seen {
        owners: Recent::default(),
        joined: Recent::default(),
    }))
}

/// There is a connection of this process that is called so.
pub(crate) fn own(owner: &str) {
    with(|seen| seen.owners.insert(owner.to_owned()));
}

/// The result of somebody else's submission is known.
pub(crate) fn join(submission: &str) {
    with(|seen| seen.joined.insert(submission.to_owned()));
}

/// Whether somebody in this process may know the result of a submission.
pub(crate) fn knows(submission: &str) -> bool {
    let owner = submission.split('.').next().unwrap_or_default();
    with(|seen| seen.owners.contains(owner) || seen.joined.contains(submission))
}
