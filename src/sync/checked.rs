//! For loom and shuttle, which run a model again and again, each time in another order.

#[cfg(parallel_workers_sync = "loom")]
use ::loom as checker;
#[cfg(parallel_workers_sync = "shuttle")]
use ::shuttle as checker;

use std::time::Instant;

use ahash::RandomState;
use checker::sync::Mutex as Inner;
pub(crate) use checker::sync::MutexGuard;

#[cfg(parallel_workers_sync = "shuttle")]
pub(crate) use checker::sync::atomic;
#[cfg(parallel_workers_sync = "shuttle")]
pub(crate) use checker::thread_local;

#[cfg(parallel_workers_sync = "loom")]
pub(crate) use super::fenced as atomic;
pub(crate) use super::flagged::OnceLock;

mutex!();

/// Loom's does not know of constants.
#[cfg(parallel_workers_sync = "loom")]
macro_rules! local {
    () => {};
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const $init:block; $($rest:tt)*) => {
        loom::thread_local! { $(#[$attribute])* static $name: $type = $init; }
        $crate::sync::thread_local! { $($rest)* }
    };
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr; $($rest:tt)*) => {
        loom::thread_local! { $(#[$attribute])* static $name: $type = $init; }
        $crate::sync::thread_local! { $($rest)* }
    };
}

#[cfg(parallel_workers_sync = "loom")]
pub(crate) use local as thread_local;

/// Always the same.
pub(crate) fn now() -> Instant {
    static NOW: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *NOW.get_or_init(Instant::now)
}

pub(crate) fn random_state() -> RandomState {
    RandomState::with_seeds(1, 2, 3, 4)
}

pub(crate) mod thread {
    use std::io;
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use super::checker::thread;

    #[cfg(parallel_workers_sync = "loom")]
    pub(crate) use crate::sync::parking::{Thread, current, park};
    pub(crate) use std::thread::panicking;
    pub(crate) use thread::yield_now;
    #[cfg(parallel_workers_sync = "shuttle")]
    pub(crate) use thread::{Thread, current, park};

    /// A timeout never passes.
    pub(crate) fn park_timeout(_timeout: Duration) {
        park();
    }

    pub(crate) fn available_parallelism() -> io::Result<NonZeroUsize> {
        Ok(NonZeroUsize::MIN)
    }

    pub(crate) struct Builder(thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Self {
            Self(thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Self {
            Self(self.0.name(name))
        }

        pub(crate) fn spawn<T: Send + 'static>(
            self,
            main: impl FnOnce() -> T + Send + 'static,
        ) -> io::Result<JoinHandle<T>> {
            self.0.spawn(main).map(JoinHandle)
        }
    }

    pub(crate) struct JoinHandle<T>(thread::JoinHandle<T>);

    impl<T> JoinHandle<T> {
        /// Nobody knows; to join it is never wrong.
        pub(crate) fn is_finished(&self) -> bool {
            false
        }

        pub(crate) fn join(self) -> std::thread::Result<T> {
            self.0.join()
        }
    }
}
