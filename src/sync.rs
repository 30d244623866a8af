//! Locks, atomics, threads, the clock and chance, from one place.
//!
//! Every other file takes them from here, so that others can be put in their place, by
//! `--cfg parallel_workers_sync="..."`:
//!
//! | | in the place of `std`'s | so that |
//! |---|---|---|
//! | none | nothing | it is what is shipped |
//! | `parking_lot` | locks that are built from source | the thread sanitizer sees them |
//! | `loom` | loom's | `tests/loom` is run in every order that matters |
//! | `shuttle` | shuttle's | `tests/shuttle.rs` is run in very many orders |
//!
//! And so that there is one answer to a poisoned lock: no user code runs under a lock of this crate (`Hash` and
//! `Eq` in the in-flight table excepted, and these leave the table as it was), so a panic while one is held leaves
//! nothing half done, and the lock is simply taken.
//!
//! Under loom and shuttle the clock stands still, there seems to be one processor, and hashes are always the same: their
//! runs have to be repeatable. A wait with a timeout ends there when it is woken, and not before.

pub(crate) use std::sync::{Arc, Weak};

/// A mutex around one of `std`'s manner, `Inner` where this stands, whose `lock` cannot fail.
#[cfg(not(parallel_workers_sync = "parking_lot"))]
macro_rules! mutex {
    ($($constant:tt)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Mutex<T>(Inner<T>);

        impl<T> Mutex<T> {
            pub(crate) $($constant)? fn new(value: T) -> Self {
                Self(Inner::new(value))
            }

            /// What is inside, where nobody else can be there.
            pub(crate) fn get_mut(&mut self) -> &mut T {
                self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
            }

            pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
                self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
            }
        }
    };
}

#[cfg(any(parallel_workers_sync = "loom", parallel_workers_sync = "shuttle"))]
mod checked;
#[cfg(parallel_workers_sync = "loom")]
pub(crate) mod fenced;
#[cfg(any(
    parallel_workers_sync = "loom",
    parallel_workers_sync = "parking_lot",
    parallel_workers_sync = "shuttle"
))]
mod flagged;
#[cfg(parallel_workers_sync = "loom")]
pub(crate) mod parking;
#[cfg(parallel_workers_sync = "parking_lot")]
mod parking_lot;
#[cfg(not(parallel_workers_sync = "parking_lot"))]
#[cfg_attr(
    any(parallel_workers_sync = "loom", parallel_workers_sync = "shuttle"),
    expect(dead_code, unused_imports, reason = "there, only its mutex is of use")
)]
mod shipped;

#[cfg(any(parallel_workers_sync = "loom", parallel_workers_sync = "shuttle"))]
use checked as primitives;
#[cfg(parallel_workers_sync = "parking_lot")]
use parking_lot as primitives;
#[cfg(not(any(
    parallel_workers_sync = "loom",
    parallel_workers_sync = "parking_lot",
    parallel_workers_sync = "shuttle"
)))]
use shipped as primitives;

pub(crate) use primitives::{
    Mutex, MutexGuard, OnceLock, atomic, now, random_state, thread, thread_local,
};

/// What lives as long as the process, and so longer than one run of a model, which does not see it. So nothing that a
/// model sees may be done under a lock from here: it would be interrupted there, and all the others would wait for ever.
pub(crate) mod process {
    #[cfg(parallel_workers_sync = "parking_lot")]
    pub(crate) use super::parking_lot::Mutex;
    #[cfg(not(parallel_workers_sync = "parking_lot"))]
    pub(crate) use super::shipped::Mutex;
    pub(crate) use std::sync::atomic;
}
