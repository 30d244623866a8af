//! Names for services.

use crate::sync::process::atomic::{AtomicU64, Ordering};

/// Names one service of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServiceId(u64);

impl ServiceId {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // ORDERING: relaxed; numbers need only differ.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
