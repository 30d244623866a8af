//! Names for requests.

use std::cell::Cell;
use std::fmt;

use crate::figures;
use crate::sync::process::atomic::{AtomicU32, Ordering};

/// Names one run of a request. Used again only after four thousand million others.
///
/// Requests that share a run share its id. Ids that one thread gives grow; those of several threads are taken
/// from blocks, so they say nothing about who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
// Of 32 bits, which stand where a run would have had a gap: with more, a queued request would take 16 bytes more.
pub struct RequestId(pub(crate) u32);

/// How many a thread takes at a time, so that threads need not ask each other for each.
const BLOCK: u32 = 256;

thread_local! {
    /// The next id of this thread, and how many are left of its block.
    static BLOCK_OF_THREAD: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

impl RequestId {
    /// One that nobody has.
    #[inline]
    pub(crate) fn new() -> Self {
        if !figures::ARE_KEPT {
            return Self(0);
        }
        static NEXT_BLOCK: AtomicU32 = AtomicU32::new(0);
        // The cell has no destructor, so it is there for as long as its thread.
        BLOCK_OF_THREAD.with(|block| {
            let (mut next, mut left) = block.get();
            if left == 0 {
                // ORDERING: relaxed; numbers need only differ. They wrap around.
                next = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
                left = BLOCK;
            }
            block.set((next.wrapping_add(1), left - 1));
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
            let ids = thread.join().expect("nothing panics there");
            assert!(ids.is_sorted());
            all.extend(ids);
        }
        assert_eq!(all.len(), 5000);
    }
}
