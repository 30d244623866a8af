//! The task of a worker that is being polled, and what it waits for.
//!
//! A worker drives so many tasks at a time. Those that await requests of this crate are not to keep these from being
//! begun: where every task waited for a request that has no place, nothing would ever go on. So whatever a task awaits
//! here is counted, and a worker may begin another task for each that waits.

#[cfg(feature = "async")]
pub(crate) use counted::{Task, TaskWait};
#[cfg(not(feature = "async"))]
pub(crate) use uncounted::TaskWait;

#[cfg(feature = "async")]
mod counted {
    use std::cell::RefCell;

    use crate::sync::atomic::{AtomicU32, Ordering};
    use crate::sync::{Arc, thread_local};

    thread_local! {
        static TASK: RefCell<Option<Task>> = const { RefCell::new(None) };
    }

    /// How many waits of one task go on.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Task(Arc<AtomicU32>);

    impl Task {
        /// Polls it: the waits that begin in `poll` are its own.
        pub(crate) fn poll<T>(&self, poll: impl FnOnce() -> T) -> T {
            let enter = |task| TASK.try_with(|slot| slot.replace(task)).ok().flatten();
            let outer = Outer(enter(Some(self.clone())));
            let polled = poll();
            drop(outer);
            polled
        }

        /// Whether any goes on.
        pub(crate) fn waits(&self) -> bool {
            // ORDERING: relaxed; the count changes while the task is polled, as a rule, and its worker looks after that.
            self.0.load(Ordering::Relaxed) > 0
        }
    }

    /// What was polled before, to go on with, though this one panics.
    struct Outer(Option<Task>);

    impl Drop for Outer {
        fn drop(&mut self) {
            let outer = self.0.take();
            let _ = TASK.try_with(|slot| slot.replace(outer));
        }
    }

    /// A wait of a task, for as long as this lives; or none, outside of tasks.
    #[derive(Debug, Default)]
    pub(crate) struct TaskWait(Option<Task>);

    impl TaskWait {
        /// The task that is polled waits, if there is one. Whether there is.
        pub(crate) fn begin(&mut self) -> bool {
            if self.0.is_none() {
                self.0 = TASK.try_with(|slot| slot.borrow().clone()).ok().flatten();
                if let Some(Task(waits)) = &self.0 {
                    waits.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.0.is_some()
        }

        /// It waits no longer.
        pub(crate) fn end(&mut self) {
            if let Some(Task(waits)) = self.0.take() {
                waits.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    impl Drop for TaskWait {
        fn drop(&mut self) {
            self.end();
        }
    }
}

/// Without tasks, nothing is counted.
#[cfg(not(feature = "async"))]
mod uncounted {
    #[derive(Debug, Default)]
    pub(crate) struct TaskWait(());

    impl TaskWait {
        pub(crate) fn begin(&mut self) -> bool {
            false
        }

        pub(crate) fn end(&mut self) {}
    }
}
