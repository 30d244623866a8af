//! The table of what is in flight: one entry for each key.
//!
//! A sharded `hashbrown::HashTable` of shared pointers: the hash is computed once, by whoever asks, and kept in
//! the entry; a request is stored once, in its entry; joining or leading is one probe under one lock; and an
//! entry is found again by its address, so that removing it asks nobody's `Eq`.
//!
//! `Eq` of the user's runs under the lock of its shard. A panic there leaves the table as it was; an `Eq` that
//! calls the same service may wait for itself, and must not.

use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::sync::{Arc, Mutex, thread};

/// Something that knows its hash.
pub(crate) trait Hashed {
    fn hash(&self) -> u64;
}

type Shard<E> = CachePadded<Mutex<HashTable<Arc<E>>>>;

/// The table.
#[derive(Debug)]
pub(crate) struct InFlight<E> {
    shards: Box<[Shard<E>]>,
}

/// What `join_or_lead` came to.
pub(crate) enum Admission<E, Q, J> {
    /// There was an equal entry, and it took the caller in; here is what he asked with.
    Joined(J, Q),
    /// The caller's own entry is in the table.
    Leads(Arc<E>),
    /// The caller's own entry is not in the table, another one standing for its key.
    Beside(Arc<E>),
    /// The caller did not want to make an entry.
    Declined(Q),
}

/// Whether an entry that is found takes in whoever asks.
pub(crate) enum Found<J> {
    Joined(J),
    /// It has ended: a new entry may take its place.
    Replace,
    /// It stays; a new entry has to wait beside it.
    Keep,
}

impl<E: Hashed> InFlight<E> {
    pub(crate) fn new() -> Self {
        // Enough shards that callers and workers seldom meet in one, and that what is in flight as a rule is a line or
        // two of memory in each.
        let cores = thread::available_parallelism().map_or(4, usize::from);
        let shards = (cores * 64).next_power_of_two().clamp(128, 1024);
        Self {
            shards: (0..shards).map(|_| Shard::<E>::default()).collect(),
        }
    }

    /// Looks for an entry equal to `asked`, and asks it to take the caller in, or makes a new one.
    ///
    /// All closures run under the shard's lock; only `equal` may call foreign code.
    pub(crate) fn join_or_lead<Q, J>(
        &self,
        hash: u64,
        asked: Q,
        equal: impl Fn(&E, &Q) -> bool,
        join: impl FnOnce(&Arc<E>) -> Found<J>,
        lead: impl FnOnce(Q) -> Result<Arc<E>, Q>,
        keep: impl FnOnce(&Arc<E>, &Arc<E>),
    ) -> Admission<E, Q, J> {
        let mut shard = self.shard(hash).lock();
        let entry = shard.entry(hash, |entry| equal(entry, &asked), |entry| entry.hash());
        let (admission, displaced) = match entry {
            Entry::Vacant(vacant) => match lead(asked) {
                Ok(mine) => {
                    vacant.insert(Arc::clone(&mine));
                    (Admission::Leads(mine), None)
                }
                Err(asked) => (Admission::Declined(asked), None),
            },
            Entry::Occupied(mut occupied) => match join(occupied.get()) {
                Found::Joined(joined) => (Admission::Joined(joined, asked), None),
                found => match lead(asked) {
                    Err(asked) => (Admission::Declined(asked), None),
                    Ok(mine) if matches!(found, Found::Keep) => {
                        keep(occupied.get(), &mine);
                        (Admission::Beside(mine), None)
                    }
                    Ok(mine) => {
                        let old = std::mem::replace(occupied.get_mut(), Arc::clone(&mine));
                        (Admission::Leads(mine), Some(old))
                    }
                },
            },
        };
        // LOCK: released before an entry, and a request of the user's in it, can be dropped.
        drop(shard);
        drop(displaced);
        admission
    }

    /// Takes `entry` out, if it is there itself; what `successor` gives takes its place. `successor` runs under
    /// the shard's lock, and is asked in any case. What was taken out is given back.
    pub(crate) fn retire(
        &self,
        entry: &Arc<E>,
        successor: impl FnOnce() -> Option<Arc<E>>,
    ) -> Option<Arc<E>> {
        let hash = entry.hash();
        let mut shard = self.shard(hash).lock();
        let successor = successor();
        let found = shard.find_entry(hash, |found| Arc::ptr_eq(found, entry));
        let removed = match (found, successor) {
            (Ok(found), Some(next)) => Some(std::mem::replace(found.into_mut(), next)),
            (Ok(found), None) => Some(found.remove().0),
            (Err(_), _) => None,
        };
        drop(shard);
        removed
    }

    /// Takes `entry` out, if it is there itself and `condition` holds.
    pub(crate) fn remove_if(
        &self,
        entry: &Arc<E>,
        condition: impl FnOnce() -> bool,
    ) -> Option<Arc<E>> {
        let hash = entry.hash();
        let mut shard = self.shard(hash).lock();
        let found = shard
            .find_entry(hash, |found| Arc::ptr_eq(found, entry))
            .ok()?;
        condition().then(|| found.remove().0)
    }

    /// An entry with this hash that `wanted` accepts.
    pub(crate) fn find(&self, hash: u64, wanted: impl Fn(&E) -> bool) -> Option<Arc<E>> {
        let shard = self.shard(hash).lock();
        shard.find(hash, |entry| wanted(entry)).cloned()
    }

    /// All entries that `wanted` accepts, at some moment each.
    pub(crate) fn collect(&self, wanted: impl Fn(&E) -> bool) -> Vec<Arc<E>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().iter().filter(|entry| wanted(entry)).cloned());
        }
        all
    }

    fn shard(&self, hash: u64) -> &Shard<E> {
        // hashbrown takes its tags from the top seven bits and its buckets from the lowest ones: take those
        // next to the top. Truncated on purpose.
        let index = (hash << 7) >> (64 - self.shards.len().trailing_zeros());
        &self.shards[index as usize]
    }
}
