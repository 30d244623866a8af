//! The requests that one worker has in its hands.
//!
//! Most workers hold one at a time: that one has a place of its own, a few atomics that only its worker fills. What
//! a worker holds besides is in a slab behind a mutex, which nobody else asks for unless he looks.

use slab::Slab;

use crate::figures;
use crate::request_id::RequestId;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What is known of a request that a worker holds. Times are nanoseconds of the worker's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldRequest {
    pub(crate) id: RequestId,
    pub(crate) since: u64,
    /// How long it had waited for the worker.
    pub(crate) waited: u64,
}

/// Where a held request is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldPlace {
    First,
    Rest(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    first: First,
    rest: Mutex<Slab<HeldRequest>>,
}

#[derive(Debug, Default)]
struct First {
    /// One more than the request's; zero: nothing is held here.
    id: AtomicU64,
    since: AtomicU64,
    waited: AtomicU64,
}

impl Held {
    /// Notes a request. To be called by the worker itself, so not twice at a time.
    #[inline]
    pub(crate) fn hold(&self, held: HeldRequest) -> HeldPlace {
        if !figures::ARE_KEPT {
            return HeldPlace::First;
        }
        // ORDERING: acquire, for what comes here next must come after the release of what was here before.
        if self.first.id.load(Ordering::Acquire) != 0 {
            return HeldPlace::Rest(self.rest.lock().insert(held));
        }
        self.first.since.store(held.since, Ordering::Relaxed);
        self.first.waited.store(held.waited, Ordering::Relaxed);
        // ORDERING: release, so that whoever reads the id reads its times.
        self.first
            .id
            .store(u64::from(held.id.0) + 1, Ordering::Release);
        HeldPlace::First
    }

    /// The request is held no longer.
    #[inline]
    pub(crate) fn release(&self, place: HeldPlace) {
        match place {
            HeldPlace::First => self.first.id.store(0, Ordering::Release),
            HeldPlace::Rest(key) => _ = self.rest.lock().try_remove(key),
        }
    }

    /// What is held under this id.
    pub(crate) fn find(&self, id: RequestId) -> Option<HeldRequest> {
        match self.first() {
            Some(first) if first.id == id => Some(first),
            _ => {
                let rest = self.rest.lock();
                rest.iter()
                    .map(|(_, held)| *held)
                    .find(|held| held.id == id)
            }
        }
    }

    /// All that is held, at some moment each.
    pub(crate) fn all(&self) -> Vec<HeldRequest> {
        let mut all: Vec<_> = self.first().into_iter().collect();
        all.extend(self.rest.lock().iter().map(|(_, held)| *held));
        all
    }

    fn first(&self) -> Option<HeldRequest> {
        let id = self.first.id.load(Ordering::Acquire);
        // ORDERING: acquire, so that these are read before the id is read again. If it is the same, nothing came
        // between, for an id does not come again so soon.
        let since = self.first.since.load(Ordering::Acquire);
        let waited = self.first.waited.load(Ordering::Acquire);
        if self.first.id.load(Ordering::Acquire) != id {
            return None;
        }
        Some(HeldRequest {
            // Truncated on purpose: it was extended when it came here.
            id: RequestId(id.checked_sub(1)? as u32),
            since,
            waited,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: u32) -> HeldRequest {
        HeldRequest {
            id: RequestId(id),
            since: u64::from(10 * id),
            waited: u64::from(100 * id),
        }
    }

    #[test]
    fn one_or_many_are_noted_found_and_let_go() {
        let all = Held::default();
        let places: Vec<_> = (1..=4).map(|id| all.hold(held(id))).collect();
        assert_eq!(places[0], HeldPlace::First);
        assert_eq!(all.all(), (1..=4).map(held).collect::<Vec<_>>());
        all.release(places[0]);
        all.release(places[2]);
        assert_eq!(all.hold(held(5)), HeldPlace::First);
        assert_eq!(all.find(RequestId(4)), Some(held(4)));
        assert_eq!(all.find(RequestId(5)), Some(held(5)));
        assert_eq!(
            (all.find(RequestId(1)), all.find(RequestId(3))),
            (None, None)
        );
        assert_eq!(all.all().len(), 3);
    }
}
