//! How a thread of this crate waits: as a future would, with itself as the waker.
//!
//! Everything that can be waited for here can be polled with a [`Waker`]. A thread that blocks polls with a
//! waker that unparks it, so blocking and awaiting are one algorithm, and this is the one place where a
//! caller's thread goes to sleep.
//!
//! No wake-up is lost: the poll registers the waker under the lock of what it waits for, whoever changes that
//! takes the waker under the same lock and wakes after it, and an unpark that comes before the park makes the
//! park return at once.

use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::sync::Arc;
use crate::sync::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

fn new_thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

thread_local! {
    /// One waker a thread, so that waiting allocates nothing after the first time.
    static THREAD_WAKER: Waker = new_thread_waker();
}

/// The instant `timeout` from now; `None`, which is "never", where the clock cannot express it.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// Blocks until `poll` gives a value, or until `deadline` has passed: then `None`.
///
/// `poll` is asked at least once, and once more after the deadline. It must register the waker wherever it
/// will be woken from, and the caller must take it out again where it stays behind.
pub(crate) fn block_until<T>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(&Waker) -> Option<T>,
) -> Option<T> {
    // A thread that is being torn down has lost its thread-locals; it may still wait.
    let waker = THREAD_WAKER
        .try_with(Waker::clone)
        .unwrap_or_else(|_| new_thread_waker());
    loop {
        if let Some(value) = poll(&waker) {
            return Some(value);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let now = Instant::now();
                if now >= deadline {
                    return None;
                }
                thread::park_timeout(deadline - now);
            }
        }
    }
}

/// [`block_until`] without a deadline.
pub(crate) fn block_on<T>(mut poll: impl FnMut(&Waker) -> Option<T>) -> T {
    loop {
        if let Some(value) = block_until(None, &mut poll) {
            return value;
        }
    }
}
