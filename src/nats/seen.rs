//! Which submissions somebody in this process knows the outcome of.
//!
//! Whoever has seen an outcome and asks once more is to get a new run. But a worker acknowledges a request a moment after its
//! result was stored, so for that moment an equal one is told that the request is there. Who cannot have seen its result takes
//! that; who may have, waits until the request is gone.

use std::collections::VecDeque;

use crate::nats::recent::Recent;
use crate::sync::Arc;
use crate::sync::process::Mutex;

/// So many of the last ones are remembered: a moment's, many times over.
const MOST: usize = 1024;
/// And of so many connections.
const CONNECTIONS: usize = 64;

/// The numbers of a connection's own submissions that have ended, the last ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<Mutex<VecDeque<u64>>>);

impl Ended {
    /// One more has. To be said before anybody can see its outcome.
    pub(crate) fn insert(&self, number: u64) {
        // LOCK: for this; hardly anybody asks.
        let mut ended = self.0.lock();
        ended.push_back(number);
        if ended.len() > MOST {
            ended.pop_front();
        }
    }
}

#[derive(Debug)]
struct Seen {
    /// The connections of this process, by what they are called.
    owners: VecDeque<(String, Ended)>,
    /// Submissions of others whose results were waited for here.
    joined: Recent,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

fn with<T>(f: impl FnOnce(&mut Seen) -> T) -> T {
    // LOCK: for a lookup or an insertion, where somebody connects or joins.
    let mut seen = SEEN.lock();
    f(seen.get_or_insert_with(|| Seen {
        owners: VecDeque::new(),
        joined: Recent::default(),
    }))
}

/// There is a connection of this process that is called so.
pub(crate) fn own(owner: &str) -> Ended {
    let ended = Ended::default();
    with(|seen| {
        seen.owners.push_back((owner.to_owned(), ended.clone()));
        if seen.owners.len() > CONNECTIONS {
            seen.owners.pop_front();
        }
    });
    ended
}

/// The result of somebody else's submission is known.
pub(crate) fn join(submission: &str) {
    with(|seen| seen.joined.insert(submission.to_owned()));
}

/// Whether somebody in this process may know the result of a submission.
pub(crate) fn knows(submission: &str) -> bool {
    let own = submission.split_once('.');
    let own = own.and_then(|(owner, number)| Some((owner, number.parse::<u64>().ok()?)));
    with(|seen| {
        let mut owners = seen.owners.iter();
        let is_own = own.is_some_and(|(owner, number)| {
            let ended = owners.find(|(name, _)| name == owner);
            ended.is_some_and(|(_, ended)| ended.0.lock().contains(&number))
        });
        is_own || seen.joined.contains(submission)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_here_is_known_and_nothing_else() {
        let ended = own("seen");
        ended.insert(3);
        join("other.1");
        assert!(knows("seen.3") && knows("other.1"));
        assert!(!knows("seen.4") && !knows("other.3") && !knows("seen") && !knows(""));
        (4..4 + MOST as u64).for_each(|number| ended.insert(number));
        assert!(!knows("seen.3") && knows("seen.4"));
    }
}
