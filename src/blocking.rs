//! How a thread of this crate waits: as a future would, with itself as the waker.
//!
//! Everything that can be waited for here can be polled with a [`Waker`]. A thread that blocks polls with a
//! waker that unparks it, so blocking and awaiting are one algorithm, and this is the one place where a
//! caller's thread goes to sleep.
//!
//! No wake-up is lost: the poll registers the waker under the lock of what it waits for, whoever changes that
//! takes the waker under the same lock and wakes after it, and an unpark that comes before the park makes the
//! park return at once.
//!
//! To wake a thread that sleeps takes longer than most short requests: tens of microseconds. So a thread looks out for a
//! while before it goes to sleep, and longer where that has paid; it lets others run meanwhile, and where there is
//! one processor only, or where looking out did not pay, it does not. A wake-up that comes meanwhile leaves its token
//! behind, so a later park of the caller's own may return at once, as parks may at any time.

use std::cell::Cell;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::process::atomic::AtomicUsize;
use crate::sync::thread::{self, Thread};
use crate::sync::{Arc, now, thread_local};

struct Unpark {
    thread: Thread,
    was_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: release, and acquire where it is read: who was woken sees what he was woken for. It is so by the
        // locks of what he polls, too.
        self.was_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// A thread as a waiter: what wakes it, and what tells it that it was woken.
struct Waiter {
    unpark: Arc<Unpark>,
    waker: Waker,
}

impl Waiter {
    fn new() -> Self {
        let unpark = Arc::new(Unpark {
            thread: thread::current(),
            was_woken: AtomicBool::new(false),
        });
        let waker = Waker::from(Arc::clone(&unpark));
        Self { unpark, waker }
    }
}

thread_local! {
    /// One a thread, so that waiting allocates nothing after the first time. It is not there while the thread waits:
    /// what it polls may itself wait, and would take the wake-ups of the outer wait for its own.
    static WAITER: Cell<Option<Waiter>> = const { Cell::new(None) };
    /// For how many nanoseconds this thread looks out before it sleeps.
    static LOOKOUT: Cell<u64> = const { Cell::new(LONGEST_LOOKOUT) };
}

/// In nanoseconds; about what it takes to put a thread to sleep and to wake it.
const LONGEST_LOOKOUT: u64 = 50_000;
/// It is never forgotten altogether, for the load may change.
const SHORTEST_LOOKOUT: u64 = 1_000;

/// Whether another thread can do something while this one looks on.
pub(crate) fn others_can_run() -> bool {
    /// How many processors there are; 0: nobody has looked.
    static PROCESSORS: AtomicUsize = AtomicUsize::new(0);
    // ORDERING: relaxed; whoever looks finds the same.
    let mut processors = PROCESSORS.load(Ordering::Relaxed);
    if processors == 0 {
        processors = thread::available_parallelism().map_or(1, usize::from);
        PROCESSORS.store(processors, Ordering::Relaxed);
    }
    processors > 1
}

/// Looks out for being woken, for a short while. It is asked before each park: a wake-up may have come before, and its
/// token been spent by something that waits inside what is polled.
fn look_out(unpark: &Unpark) -> bool {
    if !others_can_run() {
        return unpark.was_woken.load(Ordering::Acquire);
    }
    let longest = LOOKOUT.try_with(Cell::get).unwrap_or(0);
    let begin = now();
    let was_woken = loop {
        for _ in 0..32 {
            if unpark.was_woken.load(Ordering::Acquire) {
                break;
            }
            std::hint::spin_loop();
        }
        if unpark.was_woken.load(Ordering::Acquire) {
            break true;
        }
        if now().saturating_duration_since(begin) >= Duration::from_nanos(longest) {
            break false;
        }
        // Whoever is to wake this thread may need the processor.
        thread::yield_now();
    };
    let next = if was_woken {
        (2 * longest).min(LONGEST_LOOKOUT)
    } else {
        (longest / 2).max(SHORTEST_LOOKOUT)
    };
    let _ = LOOKOUT.try_with(|lookout| lookout.set(next));
    was_woken
}

/// The instant `timeout` from now; `None`, which is "never", where the clock cannot express it.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
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
    let waiter = WAITER.try_with(Cell::take).ok().flatten();
    let waiter = waiter.unwrap_or_else(Waiter::new);
    let value = loop {
        waiter.unpark.was_woken.store(false, Ordering::Relaxed);
        if let Some(value) = poll(&waiter.waker) {
            break Some(value);
        }
        if deadline.is_some_and(|deadline| now() >= deadline) {
            break None;
        }
        if look_out(&waiter.unpark) {
            continue;
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                thread::park_timeout(deadline.saturating_duration_since(now()));
            }
        }
    };
    let _ = WAITER.try_with(|slot| slot.set(Some(waiter)));
    value
}

/// [`block_until`] without a deadline.
pub(crate) fn block_on<T>(mut poll: impl FnMut(&Waker) -> Option<T>) -> T {
    loop {
        if let Some(value) = block_until(None, &mut poll) {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_inside_what_is_polled_takes_no_wake_up_of_the_outer_one() {
        let mut polls = 0;
        block_on(|waker| {
            polls += 1;
            if polls == 2 {
                return Some(());
            }
            waker.wake_by_ref();
            // What is polled waits itself, and spends the token of the wake-up.
            block_on(|_| Some(()));
            thread::park();
            None
        });
    }
}
