//! The table of what is in flight: one entry for each key.
//!
//! A sharded `hashbrown::HashTable` of weak pointers: the hash is computed once, by whoever asks, and kept beside the
//! pointer; a request is stored once, in its entry; joining or leading is one probe under one lock; and an
//! entry is found again by its hash and id, so that removing it asks nobody's `Eq` and looks at no entry.
//!
//! An entry may stand here for a while after it has ended: whoever finds it sees that, and takes its place. As the
//! pointers are weak, its values are gone all the same once nobody else holds it.
//!
//! `Eq` of the user's runs under the lock of its shard. A panic there leaves the table as it was; an `Eq` that
//! calls the same service may wait for itself, and must not.

use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::request_id::RequestId;
use crate::sync::{Arc, Mutex, Weak, thread};

/// A request's hash, in 32 bits: enough to tell apart all but a few of millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(pub(crate) u32);

impl KeyHash {
    /// The part of a hash that is kept. Truncated on purpose: a good one has as much in any 32 of its bits.
    pub(crate) fn of(hash: u64) -> Self {
        Self(hash as u32)
    }

    /// With something in all bits: hashbrown takes its tags from the top seven and its buckets from the lowest.
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Something that is found by a hash and an id.
pub(crate) trait Keyed {
    fn hash(&self) -> KeyHash;
    fn id(&self) -> RequestId;
}

/// An entry, and what is to be known without looking at it.
#[derive(Debug)]
struct Slot<E> {
    hash: KeyHash,
    id: RequestId,
    entry: Weak<E>,
}

impl<E: Keyed> Slot<E> {
    fn of(entry: &Arc<E>) -> Self {
        Self {
            hash: entry.hash(),
            id: entry.id(),
            entry: Arc::downgrade(entry),
        }
    }
}

type Shard<E> = CachePadded<Mutex<HashTable<Slot<E>>>>;

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
pub(crate) enum Found<E, J> {
    /// It does, or another one does, and this is not needed.
    Joined(J, Option<Arc<E>>),
    /// It has ended: a new entry may take its place.
    Replace(Arc<E>),
    /// It stays; a new entry has to wait beside it.
    Keep(Arc<E>),
}

impl<E: Keyed> InFlight<E> {
    pub(crate) fn new() -> Self {
        // Enough shards that callers seldom meet in one; few enough that a worker has several entries to take out of
        // each at a time.
        let cores = thread::available_parallelism().map_or(4, usize::from);
        let shards = (cores * 16).next_power_of_two().clamp(32, 256);
        Self {
            shards: (0..shards)
                .map(|_| CachePadded::new(Mutex::new(HashTable::new())))
                .collect(),
        }
    }

    /// Looks for an entry equal to `asked`, and asks it to take the caller in, or makes a new one.
    ///
    /// All closures run under the shard's lock; only `equal` may call foreign code.
    pub(crate) fn join_or_lead<Q, J>(
        &self,
        hash: KeyHash,
        asked: Q,
        equal: impl Fn(&E, &Q) -> bool,
        join: impl FnOnce(Arc<E>) -> Found<E, J>,
        lead: impl FnOnce(Q) -> Result<Arc<E>, Q>,
        keep: impl FnOnce(&Arc<E>, &Arc<E>),
    ) -> Admission<E, Q, J> {
        // LOCK: what was looked at is dropped after the lock, for these pointers may be the last by then.
        let mut found = None;
        let mut others = Vec::new();
        let mut shard = self.shard(hash).lock();
        let is_equal = |slot: &Slot<E>| {
            let entry = (slot.hash == hash).then(|| slot.entry.upgrade()).flatten();
            let Some(entry) = entry else { return false };
            let is_equal = equal(&entry, &asked);
            if is_equal {
                found = Some(entry);
            } else {
                others.push(entry);
            }
            is_equal
        };
        let place = shard.entry(hash.spread(), is_equal, |slot| slot.hash.spread());
        let (admission, displaced) = match (place, found) {
            (Entry::Occupied(mut occupied), Some(found)) => match join(found) {
                Found::Joined(joined, unused) => (Admission::Joined(joined, asked), unused),
                Found::Keep(found) => match lead(asked) {
                    Err(asked) => (Admission::Declined(asked), Some(found)),
                    Ok(mine) => {
                        keep(&found, &mine);
                        (Admission::Beside(mine), Some(found))
                    }
                },
                Found::Replace(found) => match lead(asked) {
                    Err(asked) => (Admission::Declined(asked), Some(found)),
                    Ok(mine) => {
                        *occupied.get_mut() = Slot::of(&mine);
                        (Admission::Leads(mine), Some(found))
                    }
                },
            },
            (place, _) => match lead(asked) {
                Err(asked) => (Admission::Declined(asked), None),
                Ok(mine) => {
                    place.insert(Slot::of(&mine));
                    (Admission::Leads(mine), None)
                }
            },
        };
        drop(shard);
        drop((displaced, others));
        admission
    }

    /// Takes `entry` out, if it is there itself; what `successor` gives takes its place. `successor` runs under
    /// the shard's lock, and is asked in any case.
    pub(crate) fn retire(&self, entry: &E, successor: impl FnOnce() -> Option<Arc<E>>) {
        let hash = entry.hash();
        let mut shard = self.shard(hash).lock();
        let successor = successor();
        let found = shard.find_entry(hash.spread(), |slot| slot.id == entry.id());
        match (found, &successor) {
            (Ok(found), Some(next)) => *found.into_mut() = Slot::of(next),
            (Ok(found), None) => _ = found.remove(),
            (Err(_), _) => {}
        }
        // LOCK: released before an entry can be dropped. A weak pointer drops no values.
        drop(shard);
        drop(successor);
    }

    /// Takes `entry` out, if it is there itself and `condition` holds.
    pub(crate) fn remove_if(&self, entry: &E, condition: impl FnOnce() -> bool) {
        let hash = entry.hash();
        let mut shard = self.shard(hash).lock();
        let found = shard.find_entry(hash.spread(), |slot| slot.id == entry.id());
        if let Ok(found) = found
            && condition()
        {
            found.remove();
        }
    }

    /// Takes out those of `entries`, which all belong to this shard, that are there, and gives them to `removed`.
    pub(crate) fn remove_from(
        &self,
        shard: usize,
        entries: &mut Vec<(KeyHash, RequestId)>,
        removed: &mut Vec<Weak<E>>,
    ) {
        let mut shard = self.shards[shard].lock();
        for (hash, id) in entries.drain(..) {
            if let Ok(found) = shard.find_entry(hash.spread(), |slot| slot.id == id) {
                removed.push(found.remove().0.entry);
            }
        }
    }

    /// An entry with this hash that `wanted` accepts.
    pub(crate) fn find(&self, hash: KeyHash, wanted: impl Fn(&E) -> bool) -> Option<Arc<E>> {
        let shard = self.shard(hash).lock();
        let all: Vec<_> = shard
            .iter_hash(hash.spread())
            .filter_map(|slot| slot.entry.upgrade())
            .collect();
        // LOCK: released before an entry can be dropped.
        drop(shard);
        all.into_iter().find(|entry| wanted(entry))
    }

    /// All entries that `wanted` accepts, at some moment each.
    pub(crate) fn collect(&self, wanted: impl Fn(&E) -> bool) -> Vec<Arc<E>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            all.extend(shard.iter().filter_map(|slot| slot.entry.upgrade()));
        }
        all.retain(|entry| wanted(entry));
        all
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The number of the shard in which an entry stands.
    pub(crate) fn shard_of(&self, hash: KeyHash) -> usize {
        // Bits that hashbrown does not use, as a rule: those next to the top seven. Truncated on purpose.
        let index = (hash.spread() << 7) >> (64 - self.shards.len().trailing_zeros());
        index as usize
    }

    fn shard(&self, hash: KeyHash) -> &Shard<E> {
        &self.shards[self.shard_of(hash)]
    }
}
