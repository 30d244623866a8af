//! What rings when something has happened to one of many.

use std::task::{Wake, Waker};

use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Wakes a task, and says that it was this which did.
#[derive(Debug)]
pub(crate) struct Alarm {
    has_rung: AtomicBool,
    task: Waker,
}

impl Alarm {
    pub(crate) fn new(task: &Waker) -> Arc<Self> {
        Arc::new(Self {
            has_rung: AtomicBool::new(false),
            task: task.clone(),
        })
    }

    /// Whether it has rung since it was asked last.
    pub(crate) fn has_rung(&self) -> bool {
        // ORDERING: acquire, against the release below: who hears it sees why it rang.
        self.has_rung.load(Ordering::Relaxed) && self.has_rung.swap(false, Ordering::Acquire)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
