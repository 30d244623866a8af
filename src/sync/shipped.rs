//! `std`'s.

use std::sync::Mutex as Inner;
pub(crate) use std::sync::MutexGuard;
use std::time::Instant;

use ahash::RandomState;

pub(crate) use std::sync::{OnceLock, atomic};
pub(crate) use std::{thread, thread_local};

mutex!(const);

#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn random_state() -> RandomState {
    RandomState::new()
}
