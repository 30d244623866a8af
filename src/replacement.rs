//! A worker is given up, and another one takes its place.

use std::io;
use std::time::Duration;

use crate::blocking::block_until;
use crate::error::StartError;
use crate::loss::Loss;
use crate::pool::{Pool, close_if_deserted, leave, no_thread};
use crate::processor::Processor;
use crate::queue_state::Popped;
use crate::record::WorkerRecord;
use crate::status::WorkerId;
use crate::sync::{Arc, now};
use crate::waits;

/// How long a replacement that got no thread waits before it asks for one again; twice as long after every further
/// refusal.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
/// So often it asks again: in all it waits for 150 ms.
const FURTHER_ATTEMPTS: u32 = 4;

impl<P: Processor> Pool<P> {
    /// Gives a worker up, with all it has, and starts another one in its place. `None`: it was leaving, or had
    /// left, and nobody takes its place.
    pub(crate) fn kill(
        self: &Arc<Self>,
        lost: &Arc<WorkerRecord>,
    ) -> Result<Option<WorkerId>, StartError> {
        let mut next = self.next.lock();
        let was_leaving = lost.is_retired();
        if !lost.lose() {
            return Ok(None);
        }
        waits::lose(self.home.id, lost);
        // Off the list, if its thread has not come to its end and taken itself off meanwhile. Its seat it leaves.
        self.home.counters.lose(lost.id);
        let heir = Arc::new(lost.heir(WorkerId(*next)));
        let has_heir = !was_leaving
            && !self.home.queue.is_closed()
            && self.home.queue.succeed(lost.id, Arc::clone(&heir));
        // Its thread may be asleep: it is to look up, and to end.
        self.home.queue.recall(lost);
        lost.rouse();
        let begun = if has_heir {
            *next += 1;
            self.home.counters.arrive(Arc::clone(&heir));
            Some(self.try_thread(&heir, None))
        } else {
            self.home.queue.unseat(lost.id);
            None
        };
        drop(next);
        self.let_go(lost.id);
        self.home.observer.worker_lost(lost);
        // Callbacks run here, so no lock is held.
        lost.tell_keeper(Loss::Killed);
        self.home.give_up(lost);
        let replaced = match begun {
            None => Ok(None),
            Some(Ok(())) => Ok(Some(heir.id)),
            Some(Err(refused)) => self.insist(&heir, refused),
        };
        close_if_deserted(&self.home);
        replaced
    }

    /// Asks for a replacement's thread again and again, with backoff. `None`: the replacement has been told to go
    /// meanwhile.
    fn insist(
        self: &Arc<Self>,
        heir: &Arc<WorkerRecord>,
        refused: io::Error,
    ) -> Result<Option<WorkerId>, StartError> {
        // The replacement is listed: a stop waits for what becomes of it.
        let _alive = self.alive();
        let mut refused = refused;
        let mut backoff = FIRST_BACKOFF;
        for _ in 0..FURTHER_ATTEMPTS {
            let deadline = now() + backoff;
            let told = block_until(Some(deadline), |waker| {
                let popped = self.home.queue.pop_broken(heir, false, waker.clone());
                (!matches!(popped, Popped::Nothing)).then_some(())
            });
            if told.is_some() {
                leave(&self.home, heir);
                return Ok(None);
            }
            match self.try_thread(heir, None) {
                Ok(()) => {
                    // Who gave it up meanwhile found no thread to let go of.
                    if heir.is_lost() {
                        self.let_go(heir.id);
                    }
                    return Ok(Some(heir.id));
                }
                Err(error) => refused = error,
            }
            backoff *= 2;
        }
        leave(&self.home, heir);
        Err(no_thread(heir, refused))
    }
}
