//! The least that anybody could do: one thread, no locks.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, OnceLock};

use ahash::RandomState;

/// Hashes, shares, stores, queues, computes and collects.
pub fn run<R: Hash + Eq + Clone>(
    requests: impl Iterator<Item = R>,
    process: impl Fn(&R) -> u64,
) -> u64 {
    let mut table: HashMap<R, Arc<OnceLock<u64>>, RandomState> = HashMap::default();
    let mut queue = VecDeque::new();
    let mut promises = Vec::new();
    for request in requests {
        let cell = table.entry(request.clone()).or_default();
        // One that is equal to one in flight has been queued with it.
        if Arc::strong_count(cell) == 1 {
            queue.push_back((request, Arc::clone(cell)));
        }
        promises.push(Arc::clone(cell));
    }
    while let Some((request, cell)) = queue.pop_front() {
        table.remove(&request);
        let _ = cell.set(process(&request));
    }
    let outputs = promises.into_iter().filter_map(|cell| cell.get().copied());
    outputs.fold(0, u64::wrapping_add)
}
