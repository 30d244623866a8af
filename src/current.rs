//! Whether the calling thread is inside a service: one of its workers, or in one of its callbacks.
//!
//! From there nobody may block on the service's capacity, nor join its threads, and what is queued is let in
//! while the service drains.

use std::any::Any;
use std::cell::{Cell, RefCell};

use crate::record::WorkerRecord;
use crate::service_id::ServiceId;
use crate::sync::{Arc, thread_local};
use crate::waits::{Named, Waiter};

/// A worker's thread.
struct Inside {
    service: ServiceId,
    worker: Arc<WorkerRecord>,
    reserve: Arc<dyn Reserve>,
}

thread_local! {
    static WORKER: RefCell<Option<Inside>> = const { RefCell::new(None) };
    /// The service whose callback runs here; the innermost, where callbacks run in callbacks.
    static CALLBACK: Cell<Option<ServiceId>> = const { Cell::new(None) };
}

/// The thread is a worker for as long as this lives.
#[derive(Debug)]
pub(crate) struct WorkerThread(());

impl WorkerThread {
    pub(crate) fn enter(
        service: ServiceId,
        worker: Arc<WorkerRecord>,
        reserve: Arc<dyn Reserve>,
    ) -> Self {
        let inside = Inside {
            service,
            worker,
            reserve,
        };
        let _ = WORKER.try_with(|slot| slot.replace(Some(inside)));
        Self(())
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        let _ = WORKER.try_with(RefCell::take);
    }
}

/// A worker's thread as another thread may stand for it: one of a runtime, while it polls what the worker has begun.
#[cfg(feature = "async")]
#[derive(Clone)]
pub(crate) struct Borrowed {
    service: ServiceId,
    worker: Arc<WorkerRecord>,
    reserve: Arc<dyn Reserve>,
}

#[cfg(feature = "async")]
impl Borrowed {
    /// What this thread is, if it is a worker, with another reserve in the place of its own.
    pub(crate) fn of_this_thread(reserve: Arc<dyn Reserve>) -> Option<Self> {
        let (waiter, _) = worker()?;
        Some(Self {
            service: waiter.service,
            worker: waiter.record,
            reserve,
        })
    }

    /// The calling thread is that worker for as long as what it gives lives, whatever it was before.
    pub(crate) fn enter(&self) -> impl Drop {
        let inside = Inside {
            service: self.service,
            worker: Arc::clone(&self.worker),
            reserve: Arc::clone(&self.reserve),
        };
        let outer = WORKER.try_with(|slot| slot.replace(Some(inside)));
        Outer(outer.unwrap_or_default())
    }
}

/// What a thread was before.
#[cfg(feature = "async")]
struct Outer(Option<Inside>);

#[cfg(feature = "async")]
impl Drop for Outer {
    fn drop(&mut self) {
        let outer = self.0.take();
        let _ = WORKER.try_with(|slot| slot.replace(outer));
    }
}

/// Calls `f` as a callback of `service`.
pub(crate) fn in_callback<T>(service: ServiceId, f: impl FnOnce() -> T) -> T {
    let outer = CALLBACK
        .try_with(|slot| slot.replace(Some(service)))
        .unwrap_or_default();
    let result = f();
    let _ = CALLBACK.try_with(|slot| slot.set(outer));
    result
}

/// Whether this thread is one of the workers of `service`.
pub(crate) fn is_worker_of(service: ServiceId) -> bool {
    worker_of(service).is_some()
}

/// The worker of `service` whose thread this is.
pub(crate) fn worker_of(service: ServiceId) -> Option<Arc<WorkerRecord>> {
    let of = |slot: &RefCell<Option<Inside>>| {
        let slot = slot.borrow();
        let inside = slot.as_ref().filter(|inside| inside.service == service)?;
        Some(Arc::clone(&inside.worker))
    };
    WORKER.try_with(of).unwrap_or_default()
}

/// The worker, of whatever service, whose thread this is, and who stands in for it while it waits.
pub(crate) fn worker() -> Option<(Waiter, Arc<dyn Reserve>)> {
    let of = |slot: &RefCell<Option<Inside>>| {
        let slot = slot.borrow();
        let inside = slot.as_ref()?;
        let waiter = Waiter {
            service: inside.service,
            record: Arc::clone(&inside.worker),
        };
        Some((waiter, Arc::clone(&inside.reserve)))
    };
    WORKER.try_with(of).unwrap_or_default()
}

/// Who stands in for the workers of a service that wait.
pub(crate) trait Reserve: Send + Sync {
    /// Has somebody stand in for a worker, for as long as what it gives lives. `None`: there is nobody.
    fn stand_in(&self) -> Option<Box<dyn Any>>;

    /// What a worker runs.
    fn runs(&self, worker: &WorkerRecord) -> Vec<Named>;
}

/// Whether this thread is one of the workers of `service`, or in one of its callbacks.
pub(crate) fn is_inside(service: ServiceId) -> bool {
    CALLBACK.try_with(Cell::get).unwrap_or_default() == Some(service) || is_worker_of(service)
}
