//! One worker's supervisor: makes the processor, lets it run, and judges why it came back.
//!
//! | it came back | then |
//! |---|---|
//! | because the queue is closed, or the worker was removed | the processor is dropped, the thread ends |
//! | because there is mail for the processor | the mail is read, and it runs again |
//! | because a request panicked, or `run` did | the processor is dropped and made again, with backoff |
//! | by itself | it runs again as soon as there is something to do |

use std::ops::ControlFlow;
use std::time::Duration;

use crate::blocking::block_until;
use crate::desk::Desk;
use crate::error::{FactoryError, Failure, StartError};
use crate::jobs::Jobs;
use crate::loss::Loss;
use crate::mail::Mail;
use crate::panic::{catch, discard};
use crate::processor::Processor;
use crate::queue_state::Popped;
use crate::record::Ending;
use crate::sync::{Arc, now};

/// Makes processors.
pub(crate) type Factory<P> = dyn Fn() -> Result<P, FactoryError> + Send + Sync;

/// How long a worker waits after its factory failed for the first time; twice as long after every further time.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
/// The longest it waits.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// After so many failures in a row a worker counts as broken; with all workers broken, requests settle with
/// `WorkerLost`.
const BROKEN_AFTER: u32 = 3;
/// After so many returns of `run` in a row that took no job though there were some, one job is given up, so that
/// a `run` that never takes any does not leave its callers waiting.
const FUTILE_RUNS: u32 = 100;

/// Sees a worker through its life.
pub(crate) struct Supervisor<P: Processor> {
    desk: Arc<Desk<P::Request, P::Output>>,
    factory: Arc<Factory<P>>,
    mail: Arc<Mail<P>>,
    jobs: Jobs<P::Request, P::Output>,
    /// How often in a row its processor failed, and had processed nothing.
    futile_renewals: u32,
    /// How many requests the worker had processed when its processor was made.
    processed: u64,
}

impl<P: Processor> Supervisor<P> {
    pub(crate) fn new(
        desk: Arc<Desk<P::Request, P::Output>>,
        factory: Arc<Factory<P>>,
        mail: Arc<Mail<P>>,
    ) -> Self {
        let jobs = Jobs::new(Arc::clone(&desk));
        Self {
            desk,
            factory,
            mail,
            jobs,
            futile_renewals: 0,
            processed: 0,
        }
    }

    /// The worker's first processor.
    pub(crate) fn begin(&self) -> Result<P, StartError> {
        let worker = || self.desk.record.name.to_string();
        match catch(|| (self.factory)()) {
            Ok(Ok(processor)) => {
                let Desk { home, record } = &*self.desk;
                record.set_ready(true);
                home.observer.worker_started(record);
                Ok(processor)
            }
            Ok(Err(source)) => Err(StartError::Factory {
                worker: worker(),
                source,
            }),
            Err(source) => Err(StartError::FactoryPanicked {
                worker: worker(),
                source,
            }),
        }
    }

    /// Works until the queue is closed, or the worker removed.
    pub(crate) fn work(mut self, processor: P) {
        let mut processor = processor;
        let mut futile_runs = 0;
        loop {
            let taken = self.jobs.taken();
            let had_mail = self.read_mail(&mut processor);
            // A spare worker that drives futures comes back when it is not needed.
            self.desk.record.linger();
            if !self.desk.record.is_spoilt() {
                self.jobs.begin();
                if catch(|| processor.run(&mut self.jobs)).is_err() {
                    // It may panic every time, before it has taken anything.
                    self.jobs.renew_with_backoff();
                }
                self.jobs.stop_waiting();
            }
            if self.desk.record.is_spoilt() {
                discard(processor);
                match self.renew() {
                    Some(revived) => processor = revived,
                    None => return,
                }
            } else if self.jobs.is_closed() {
                return discard(processor);
            } else if had_mail
                || self.desk.record.has_mail()
                || self.jobs.taken() != taken
                || self.desk.record.is_superfluous()
            {
                futile_runs = 0;
            } else {
                futile_runs += 1;
                self.jobs.wait_until_ready();
                if futile_runs >= FUTILE_RUNS {
                    drop(self.jobs.try_next());
                }
            }
        }
    }

    /// Does what has been asked of the processor, as long as that does it no harm. Whether there was anything.
    fn read_mail(&self, processor: &mut P) -> bool {
        let Desk { record, .. } = &*self.desk;
        if !record.has_mail() {
            return false;
        }
        // Before the mail is read, so that nothing that comes meanwhile goes unmarked.
        record.set_mail(false);
        record.work();
        while let Some(order) = self.mail.take() {
            if !order.carry_out(processor) {
                // The rest is for the processor that is made next.
                record.set_mail(true);
                record.spoil();
                break;
            }
        }
        true
    }

    /// Makes another processor, at once, unless the one before has failed and had processed nothing. `None`: there is
    /// no need for one.
    fn renew(&mut self) -> Option<P> {
        let record = &self.desk.record;
        if record.is_lost() || self.jobs.is_closed() {
            return None;
        }
        let processed = record.outputs() + record.panicked();
        let is_futile = self.jobs.has_failed() && processed == self.processed;
        self.processed = processed;
        self.futile_renewals = if is_futile {
            self.futile_renewals + 1
        } else {
            0
        };
        if is_futile {
            record.set_ready(false);
            let doublings = (self.futile_renewals - 1).min(16);
            let backoff = (FIRST_BACKOFF * (1 << doublings)).min(LONGEST_BACKOFF);
            if self.wait(backoff, false).is_break() {
                return None;
            }
        }
        self.revive()
    }

    /// Makes another processor, however long that takes; `None` if there is no need for it before.
    pub(crate) fn revive(&mut self) -> Option<P> {
        let Desk { home, record } = &*self.desk;
        record.set_ready(false);
        let mut backoff = FIRST_BACKOFF;
        let mut failures = 0;
        loop {
            if let Ok(Ok(processor)) = catch(|| (self.factory)()) {
                home.queue.recovered(record);
                record.respawned();
                record.set_ready(true);
                home.observer.worker_respawned(record);
                return Some(processor);
            }
            failures += 1;
            if failures >= BROKEN_AFTER {
                self.mail.give_up(&Failure::WorkerLost(Loss::NoProcessor));
            }
            record.linger();
            if self.wait(backoff, failures >= BROKEN_AFTER).is_break() {
                return None;
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Waits for `backoff`. A broken worker gives up requests meanwhile, if no other worker can take them.
    fn wait(&self, backoff: Duration, is_broken: bool) -> ControlFlow<()> {
        let Desk { home, record } = &*self.desk;
        record.rest();
        let deadline = now() + backoff;
        loop {
            let popped = block_until(Some(deadline), |waker| {
                let popped = home.queue.pop_broken(record, is_broken, waker.clone());
                (!matches!(popped, Popped::Nothing)).then_some(popped)
            });
            match popped {
                None => return ControlFlow::Continue(()),
                Some(Popped::Mail) => {
                    record.set_mail(false);
                    self.mail.give_up(&Failure::WorkerLost(Loss::NoProcessor));
                }
                Some(Popped::Item((entry, _))) => {
                    record.count(Ending::Dropped);
                    if entry.run.state_word().withdraw() {
                        home.end_queued(&entry, Failure::WorkerLost(Loss::NoProcessor));
                    }
                    discard(entry);
                    home.queue.finished(record);
                }
                Some(_) => return ControlFlow::Break(()),
            }
        }
    }
}
