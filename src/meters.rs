//! Figures for whatever the program has installed as the recorder of the `metrics` crate.
//!
//! Without the feature `metrics` nothing of this is there. A recorder is foreign code: it is called with no lock
//! held, and one that panics harms nobody.

#[cfg(feature = "metrics")]
pub(crate) use on::Meters;

#[cfg(not(feature = "metrics"))]
pub(crate) use off::Meters;

#[cfg(feature = "metrics")]
mod on {
    use std::fmt;
    use std::time::Duration;

    use metrics::{Counter, Gauge, Histogram, Unit};

    use crate::event::Outcome;
    use crate::panic::catch;

    const QUEUED: &str = "parallel_workers_queued";
    const WAIT: &str = "parallel_workers_wait_seconds";
    const RUN: &str = "parallel_workers_run_seconds";
    const SETTLED: &str = "parallel_workers_settled_total";
    const COALESCED: &str = "parallel_workers_coalesced_total";
    const RESPAWNS: &str = "parallel_workers_respawns_total";

    const OUTCOMES: [Outcome; 6] = [
        Outcome::Output,
        Outcome::Failed,
        Outcome::Panicked,
        Outcome::Aborted,
        Outcome::WorkerLost,
        Outcome::Stopped,
    ];

    /// The meters of one service, found once: the recorder has to be there before the service starts.
    pub(crate) struct Meters(Option<Found>);

    struct Found {
        queued: Gauge,
        wait: Histogram,
        run: Histogram,
        settled: [Counter; OUTCOMES.len()],
        coalesced: Counter,
        respawns: Counter,
    }

    impl Meters {
        pub(crate) const IS_ON: bool = true;

        pub(crate) fn new(service: &str) -> Self {
            Self(catch(|| find(service)).ok())
        }

        pub(crate) fn none() -> Self {
            Self(None)
        }

        pub(crate) fn queued(&self) {
            self.tell(|found| found.queued.increment(1.0));
        }

        pub(crate) fn refused(&self) {
            self.tell(|found| found.queued.decrement(1.0));
        }

        pub(crate) fn coalesced(&self) {
            self.tell(|found| found.coalesced.increment(1));
        }

        pub(crate) fn started(&self, waited: Duration) {
            self.tell(|found| {
                found.queued.decrement(1.0);
                found.wait.record(waited);
            });
        }

        /// `ran`: of a run that began.
        pub(crate) fn settled(&self, outcome: Outcome, ran: Option<Duration>) {
            self.tell(|found| {
                match ran {
                    Some(ran) => found.run.record(ran),
                    None => found.queued.decrement(1.0),
                }
                let index = OUTCOMES.iter().position(|one| *one == outcome);
                if let Some(counter) = index.and_then(|index| found.settled.get(index)) {
                    counter.increment(1);
                }
            });
        }

        pub(crate) fn respawned(&self) {
            self.tell(|found| found.respawns.increment(1));
        }

        fn tell(&self, f: impl FnOnce(&Found)) {
            if let Some(found) = &self.0 {
                let _ = catch(|| f(found));
            }
        }
    }

    fn find(service: &str) -> Found {
        metrics::describe_gauge!(QUEUED, "Requests that wait for a worker");
        metrics::describe_histogram!(WAIT, Unit::Seconds, "From queue to worker");
        metrics::describe_histogram!(RUN, Unit::Seconds, "From worker to outcome");
        metrics::describe_counter!(SETTLED, "Runs that have ended, by outcome");
        metrics::describe_counter!(COALESCED, "Requests that shared the run of an equal one");
        metrics::describe_counter!(RESPAWNS, "Processors made again, workers replaced");
        let name = || service.to_owned();
        Found {
            queued: metrics::gauge!(QUEUED, "service" => name()),
            wait: metrics::histogram!(WAIT, "service" => name()),
            run: metrics::histogram!(RUN, "service" => name()),
            settled: OUTCOMES.map(|outcome| {
                metrics::counter!(SETTLED, "service" => name(), "outcome" => outcome.as_str())
            }),
            coalesced: metrics::counter!(COALESCED, "service" => name()),
            respawns: metrics::counter!(RESPAWNS, "service" => name()),
        }
    }

    impl fmt::Debug for Meters {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Meters(..)")
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use std::time::Duration;

    use crate::event::Outcome;

    #[derive(Debug)]
    pub(crate) struct Meters;

    impl Meters {
        pub(crate) const IS_ON: bool = false;

        pub(crate) fn new(_service: &str) -> Self {
            Self
        }
        pub(crate) fn none() -> Self {
            Self
        }
        pub(crate) fn queued(&self) {}
        pub(crate) fn refused(&self) {}
        pub(crate) fn coalesced(&self) {}
        pub(crate) fn started(&self, _waited: Duration) {}
        pub(crate) fn settled(&self, _outcome: Outcome, _ran: Option<Duration>) {}
        pub(crate) fn respawned(&self) {}
    }
}
