//! For the thread sanitizer, which does not see into `std`'s locks, because they come compiled.

use std::time::Instant;

pub(crate) use ::parking_lot::MutexGuard;
use ahash::RandomState;

pub(crate) use std::sync::atomic;
pub(crate) use std::{thread, thread_local};

pub(crate) use super::flagged::OnceLock;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(::parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(::parking_lot::Mutex::new(value))
    }

    /// What is inside, where nobody else can be there.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }
}

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn random_state() -> RandomState {
    RandomState::new()
}
