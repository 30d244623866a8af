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

use crate::request_id::RequestId;
use crate::sync::{Arc, Mutex, MutexGuard, Weak, thread};

/// A request's hash, in 32 bits: enough to tell apart all but a few of millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(pub(crate) u32);

impl KeyHash {
    /// The part of a hash that is kept. Truncated on purpose: a good one has as much in any 32 of its bits.
    pub(crate) fn of(hash: u64) -> Self {
        Self(hash as u32)
    }

    /// With something in all bits: hashbrown takes its tags from the top seven and its buckets from the lowest.
    #[inline]
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

/// A part of the table.
#[derive(Debug)]
struct Shard<E> {
    table: HashTable<Slot<E>>,
    /// How often somebody was taken in here.
    joined: u64,
    /// Those that are to be taken out, a few at a time.
    leaving: Vec<(KeyHash, RequestId)>,
}

/// How many are taken out at a time, where that need not be at once. Each is somewhere else in memory, and the processor
/// looks at many places at once if they are asked for one after the other.
const BATCH: usize = 16;
/// Larger entries, in bytes, do not wait for others: their memory is not free before they are taken out.
const LARGE: usize = 1024;

/// The table.
#[derive(Debug)]
pub(crate) struct InFlight<E> {
    shards: Box<[CachePadded<Mutex<Shard<E>>>]>,
}

/// A part of the table under its lock, for whoever looks for an equal entry there, and may put in his own.
#[derive(Debug)]
pub(crate) struct Visit<'a, E> {
    shard: MutexGuard<'a, Shard<E>>,
    hash: KeyHash,
}

/// A part that has shrunk to an eighth of its memory gives most of it back, but none below this.
const KEEP: usize = 1024;

impl<E> Default for Shard<E> {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            joined: 0,
            leaving: Vec::new(),
        }
    }
}

impl<E> Shard<E> {
    /// Takes out those of `entries` that are here, and gives them to `removed`.
    fn take_out(&mut self, entries: &mut Vec<(KeyHash, RequestId)>, removed: &mut Vec<Weak<E>>) {
        // All are looked for before the first is taken out, and nothing is done in between: so the processor waits for
        // many places in memory at once.
        let is_here = |(hash, id): &&(KeyHash, RequestId)| {
            let found = self.table.find(hash.spread(), |slot| slot.id == *id);
            found.is_some()
        };
        std::hint::black_box(entries.iter().filter(is_here).count());
        for (hash, id) in entries.drain(..) {
            let found = self.table.find_entry(hash.spread(), |slot| slot.id == id);
            removed.extend(found.map(|found| found.remove().0.entry));
        }
        let capacity = self.table.capacity();
        if capacity > KEEP && self.table.len() < capacity / 8 {
            self.table
                .shrink_to(capacity / 4, |slot| slot.hash.spread());
        }
    }
}

impl<E: Keyed> InFlight<E> {
    /// How many are worth taking out of a shard at a time.
    pub(crate) const BATCH: usize = if size_of::<E>() > LARGE { 1 } else { BATCH };

    pub(crate) fn new() -> Self {
        // Enough shards that callers seldom meet in one; few enough that a worker has several entries to take out of
        // each at a time.
        let cores = thread::available_parallelism().map_or(4, usize::from);
        let shards = (cores * 16).next_power_of_two().clamp(32, 256);
        Self {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Locks the part in which entries with this hash stand.
    #[inline]
    pub(crate) fn visit(&self, hash: KeyHash) -> Visit<'_, E> {
        Visit {
            shard: self.shard(hash).lock(),
            hash,
        }
    }

    /// Takes `entry` out, if it is there itself; what `successor` gives takes its place. `successor` runs under
    /// the shard's lock, and is asked in any case.
    pub(crate) fn retire(&self, entry: &E, successor: impl FnOnce() -> Option<Arc<E>>) {
        let hash = entry.hash();
        let mut shard = self.shard(hash).lock();
        let successor = successor();
        let found = shard
            .table
            .find_entry(hash.spread(), |slot| slot.id == entry.id());
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
        let found = shard
            .table
            .find_entry(hash.spread(), |slot| slot.id == entry.id());
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
        self.shards[shard].lock().take_out(entries, removed);
    }

    /// Takes `entry`, which takes nobody in any more, out with the next few of its shard.
    pub(crate) fn remove_soon(&self, entry: &E) {
        let mut removed = Vec::new();
        let mut shard = self.shard(entry.hash()).lock();
        shard.leaving.push((entry.hash(), entry.id()));
        if shard.leaving.len() >= Self::BATCH {
            let mut leaving = std::mem::take(&mut shard.leaving);
            removed.reserve(leaving.len());
            shard.take_out(&mut leaving, &mut removed);
            shard.leaving = leaving;
        }
        // LOCK: released before the counts of what was removed are written.
        drop(shard);
    }

    /// An entry with this hash that `wanted` accepts.
    pub(crate) fn find(&self, hash: KeyHash, wanted: impl Fn(&E) -> bool) -> Option<Arc<E>> {
        let shard = self.shard(hash).lock();
        let all: Vec<_> = shard
            .table
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
            all.extend(shard.table.iter().filter_map(|slot| slot.entry.upgrade()));
        }
        all.retain(|entry| wanted(entry));
        all
    }

    /// How often somebody was taken in by an entry that he found.
    pub(crate) fn joined(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().joined).sum()
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The number of the shard in which an entry stands.
    #[inline]
    pub(crate) fn shard_of(&self, hash: KeyHash) -> usize {
        // Bits that hashbrown does not use, as a rule: those next to the top seven. Truncated on purpose.
        let index = (hash.spread() << 7) >> (64 - self.shards.len().trailing_zeros());
        index as usize
    }

    #[inline]
    fn shard(&self, hash: KeyHash) -> &Mutex<Shard<E>> {
        &self.shards[self.shard_of(hash)]
    }
}

impl<E: Keyed> Visit<'_, E> {
    /// The entry that `is_equal` accepts, which may call foreign code. What it was shown besides comes into `unequal`.
    ///
    /// LOCK: both are to be dropped after this, for by then they may be the last pointers to what they point to.
    #[inline]
    pub(crate) fn find(
        &self,
        unequal: &mut Vec<Arc<E>>,
        is_equal: impl Fn(&E) -> bool,
    ) -> Option<Arc<E>> {
        let mut found = None;
        self.shard.table.find(self.hash.spread(), |slot| {
            let entry = (slot.hash == self.hash).then(|| slot.entry.upgrade());
            let Some(entry) = entry.flatten() else {
                return false;
            };
            let is_found = is_equal(&entry);
            if is_found {
                found = Some(entry);
            } else {
                unequal.push(entry);
            }
            is_found
        });
        found
    }

    /// Counts that somebody was taken in by an entry that he found.
    #[inline]
    pub(crate) fn joined(&mut self) {
        self.shard.joined += 1;
    }

    /// Puts in an entry that has no equal here.
    #[inline]
    pub(crate) fn insert(&mut self, entry: &Arc<E>) {
        let Shard { table, .. } = &mut *self.shard;
        table.insert_unique(self.hash.spread(), Slot::of(entry), |slot| {
            slot.hash.spread()
        });
    }

    /// Puts an entry into the place of one that has ended.
    pub(crate) fn replace(&mut self, old: &E, entry: &Arc<E>) {
        let id = old.id();
        let found = self
            .shard
            .table
            .find_mut(self.hash.spread(), |slot| slot.id == id);
        match found {
            Some(slot) => *slot = Slot::of(entry),
            None => self.insert(entry),
        }
    }
}
