//! The spare workers of a pool: started when one of its workers waits inside a request, gone some time after it has
//! gone on.

use std::any::Any;

use crate::beginning::Beginning;
use crate::current::Reserve;
use crate::error::StartError;
use crate::panic::discard;
use crate::pool::Pool;
use crate::processor::Processor;
use crate::record::WorkerRecord;
use crate::spares::StandIn;
use crate::status::WorkerId;
use crate::sync::{Arc, Weak};
use crate::waits::Named;

/// A spare worker stands in for a worker that waits, for as long as this lives.
struct StandsIn<P: Processor>(Arc<Pool<P>>);

impl<P: Processor> Drop for StandsIn<P> {
    fn drop(&mut self) {
        let pool = &self.0;
        pool.home.queue.worker_goes_on();
        pool.spares.dismiss();
        // One that drives futures has nothing that tells it after a while to look whether it is still needed.
        pool.home.counters.rouse_spares();
    }
}

/// A worker's thread does not keep its pool alive: a service that was dropped has nobody stand in.
impl<P: Processor> Reserve for Weak<Pool<P>> {
    fn stand_in(&self) -> Option<Box<dyn Any>> {
        let nothing = || Some(Box::new(()) as Box<dyn Any>);
        let Some(pool) = self.upgrade() else {
            return nothing();
        };
        if pool.home.queue.is_closed() {
            // Nothing will be processed here any more, so nothing that is waited for can be.
            return nothing();
        }
        match pool.spares.ask() {
            StandIn::Refused => return None,
            StandIn::Present => pool.home.counters.rouse_spares(),
            StandIn::ToStart => {
                if pool.start_spare().is_err() {
                    pool.spares.did_not_start();
                    return None;
                }
            }
        }
        pool.home.queue.worker_waits();
        Some(Box::new(StandsIn(pool)))
    }

    fn runs(&self, worker: &WorkerRecord) -> Vec<Named> {
        let Some(pool) = self.upgrade() else {
            return Vec::new();
        };
        let runs = pool.home.running_with(worker).into_iter();
        runs.map(|entry| {
            let named = Named {
                id: entry.id,
                name: entry.name(),
            };
            discard(entry);
            named
        })
        .collect()
    }
}

impl<P: Processor> Pool<P> {
    /// Starts a spare worker, and returns when it has its processor.
    fn start_spare(self: &Arc<Self>) -> Result<(), StartError> {
        let beginning = Arc::new(Beginning::default());
        let mut next = self.next.lock();
        let id = WorkerId(*next);
        let name = format!("{}-spare-{}", self.name(), *next);
        let record = Arc::new(WorkerRecord::spare(
            id,
            name.into(),
            Arc::clone(&self.spares),
        ));
        *next += 1;
        self.home.queue.seat(Arc::clone(&record));
        self.spawn_thread(&record, Some(Arc::clone(&beginning)))?;
        drop(next);
        beginning.wait()
    }
}
