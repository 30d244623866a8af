//! Names for requests.

use std::cell::Cell;
use std::fmt;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Names one run of a request. Never used again in this process.
///
/// Requests that share a run share its id. Ids that one thread gives grow; those of several threads are taken
/// from blocks, so they say nothing about who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RequestId(pub(crate) u64);

/// How many a thread takes at a time, so that threads need not ask each other for each.
const BLOCK: u64 = 256;

thread_local! {
    /// The next id of this thread, and the end of its block.
    static BLOCK_OF_THREAD: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

impl RequestId {
    /// One that nobody has. None is zero.
    pub(crate) fn new() -> Self {
        static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
        // The cell has no destructor, so it is there for as long as its thread.
        BLOCK_OF_THREAD.with(|block| {
            let (mut next, mut end) = block.get();
            if next == end {
                // ORDERING: relaxed; numbers need only differ.
                next = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
                end = next + BLOCK;
            }
            block.set((next + 1, end));
            Self(next)
        })
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_within_and_between_threads() {
        let take = || (0..1000).map(|_| RequestId::new()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(take)).collect();
        let mut all: HashSet<_> = take().into_iter().collect();
        for thread in threads {
            let ids = thread.join().unwrap();
            assert!(ids.is_sorted());
            all.extend(ids);
        }
        assert_eq!((all.len(), all.contains(&RequestId(0))), (5000, false));
    }
}
