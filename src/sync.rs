//! Locks, atomics and threads, from one place.
//!
//! Every other file takes its concurrency primitives from here, so that a model checker can be put in
//! their place, and so that there is one answer to a poisoned lock: no user code runs under a lock of this
//! crate (`Hash` and `Eq` in the in-flight table excepted, and these leave the table as it was), so a
//! panic while one is held leaves nothing half done, and the lock is simply taken.

use std::sync::PoisonError;

pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Arc, MutexGuard, OnceLock, Weak};
pub(crate) use std::thread;

/// A `std` mutex whose `lock` cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// What is inside, where nobody else can be there.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
