//! Runs that have ended and still stand in the in-flight table.
//!
//! To take a run out at once, each time, costs a worker a lock and a look at memory that it has not seen lately, one
//! after the other. So it notes which are to go, and takes several out of a shard at a time: the processor then looks
//! at many places at once. Whoever finds one meanwhile sees that it has settled, and takes its place.
//!
//! A worker keeps notes of a few hundred at most, of none where runs are large, and of none while it waits.

use crate::in_flight::{InFlight, KeyHash, Keyed};
use crate::request_id::RequestId;
use crate::sync::Weak;

/// One worker's notes.
#[derive(Debug)]
pub(crate) struct Departures<E> {
    by_shard: Box<[Vec<(KeyHash, RequestId)>]>,
    len: usize,
    /// Those that have just been taken out. Their counts are written once the table is left alone.
    gone: Vec<Weak<E>>,
}

impl<E: Keyed> Departures<E> {
    pub(crate) fn new(table: &InFlight<E>) -> Self {
        Self {
            by_shard: (0..table.shards()).map(|_| Vec::new()).collect(),
            len: 0,
            gone: Vec::new(),
        }
    }

    /// `entry` is to be taken out of the table, soon.
    #[inline]
    pub(crate) fn add(&mut self, table: &InFlight<E>, entry: &E) {
        let shard = table.shard_of(entry.hash());
        let leaving = &mut self.by_shard[shard];
        leaving.push((entry.hash(), entry.id()));
        self.len += 1;
        if leaving.len() >= InFlight::<E>::BATCH {
            self.len -= leaving.len();
            table.remove_from(shard, leaving, &mut self.gone);
            self.gone.clear();
        }
    }

    /// Takes out all that are to go.
    pub(crate) fn flush(&mut self, table: &InFlight<E>) {
        if self.len == 0 {
            return;
        }
        self.len = 0;
        for (shard, leaving) in self.by_shard.iter_mut().enumerate() {
            if !leaving.is_empty() {
                table.remove_from(shard, leaving, &mut self.gone);
            }
        }
        self.gone.clear();
    }
}
