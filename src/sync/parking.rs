//! Parking for loom, whose own loses an unpark that comes while the thread stands at a lock.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

/// A thread, to be unparked.
#[derive(Clone)]
pub(crate) struct Thread(Arc<Parker>);

struct Parker {
    /// Whether it was unparked, and has not been parked since.
    has_token: Mutex<bool>,
    unparked: Condvar,
}

loom::thread_local! {
    static CURRENT: Thread = Thread(Arc::new(Parker {
        has_token: Mutex::new(false),
        unparked: Condvar::new(),
    }));
}

/// The calling thread.
pub(crate) fn current() -> Thread {
    CURRENT.with(Thread::clone)
}

/// Waits for the calling thread to be unparked.
pub(crate) fn park() {
    let Thread(parker) = current();
    let mut has_token = parker.has_token.lock().expect("no thread panics under it");
    while !*has_token {
        has_token = parker
            .unparked
            .wait(has_token)
            .expect("no thread panics under it");
    }
    *has_token = false;
}

impl Thread {
    /// Has it go on, now or when it parks next.
    pub(crate) fn unpark(&self) {
        let mut has_token = self.0.has_token.lock().expect("no thread panics under it");
        *has_token = true;
        self.0.unparked.notify_one();
    }
}
