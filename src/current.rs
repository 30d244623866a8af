//! Whether the calling thread is inside a service: one of its workers, or in one of its callbacks.
//!
//! From there nobody may block on the service's capacity, nor join its threads, and what is queued is let in
//! while the service drains.

use std::cell::{Cell, RefCell};

use crate::record::WorkerRecord;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Names one service of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServiceId(u64);

impl ServiceId {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // ORDERING: relaxed; numbers need only differ.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

thread_local! {
    static WORKER: RefCell<Option<(ServiceId, Arc<WorkerRecord>)>> = const { RefCell::new(None) };
    /// The service whose callback runs here; the innermost, where callbacks run in callbacks.
    static CALLBACK: Cell<Option<ServiceId>> = const { Cell::new(None) };
}

/// The thread is a worker for as long as this lives.
#[derive(Debug)]
pub(crate) struct WorkerThread(());

impl WorkerThread {
    pub(crate) fn enter(service: ServiceId, worker: Arc<WorkerRecord>) -> Self {
        let _ = WORKER.try_with(|slot| slot.replace(Some((service, worker))));
        Self(())
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        let _ = WORKER.try_with(RefCell::take);
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
    let of = |slot: &RefCell<Option<(ServiceId, Arc<WorkerRecord>)>>| {
        let slot = slot.borrow();
        slot.as_ref()
            .filter(|(of, _)| *of == service)
            .map(|(_, worker)| Arc::clone(worker))
    };
    WORKER.try_with(of).unwrap_or_default()
}

/// Whether this thread is one of the workers of `service`, or in one of its callbacks.
pub(crate) fn is_inside(service: ServiceId) -> bool {
    CALLBACK.try_with(Cell::get).unwrap_or_default() == Some(service) || is_worker_of(service)
}
