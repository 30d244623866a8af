//! Spans for whatever the program has installed as the subscriber of the `tracing` crate.
//!
//! A run has one span, from its start on a worker to its outcome; it is a child of the span in which its request was
//! queued, and follows from the spans of all callers who joined. Without the feature `tracing` nothing of this is
//! there. A subscriber is foreign code: it is called with no lock held, and one that panics harms nobody.

#[cfg(feature = "tracing")]
pub(crate) use on::{Origin, Trace};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Origin, Trace};

#[cfg(feature = "tracing")]
mod on {
    use std::time::Duration;

    use tracing::field::Empty;
    use tracing::{Span, debug, info_span};

    use crate::event::Outcome;
    use crate::panic::catch;
    use crate::record::WorkerRecord;
    use crate::request_id::RequestId;
    use crate::sync::{Arc, Mutex};

    /// The span in which a request is queued.
    #[derive(Debug)]
    pub(crate) struct Origin(Span);

    impl Origin {
        pub(crate) fn here() -> Self {
            Self(catch(Span::current).unwrap_or_else(|_| Span::none()))
        }
    }

    /// What is kept of one run.
    #[derive(Debug)]
    pub(crate) struct Trace(Mutex<State>);

    #[derive(Debug)]
    enum State {
        /// Where it was queued, and where others joined before it began. Spans that must be had from under the lock
        /// without a call to the subscriber are behind an `Arc`.
        Queued(Arc<Span>, Vec<Span>),
        Running(Arc<Span>),
        /// No span is kept open by a promise that somebody holds.
        Settled,
    }

    impl Trace {
        pub(crate) const IS_ON: bool = true;

        pub(crate) fn new(origin: Origin) -> Self {
            Self(Mutex::new(State::Queued(Arc::new(origin.0), Vec::new())))
        }

        /// Somebody joined.
        pub(crate) fn join(&self, id: RequestId, origin: Origin) {
            let span = match &mut *self.0.lock() {
                State::Queued(_, joined) => return joined.push(origin.0),
                State::Running(span) => Some(Arc::clone(span)),
                State::Settled => None,
            };
            let _ = catch(|| link(span.as_deref(), &origin.0, id));
        }

        /// A worker begins the run.
        pub(crate) fn start(&self, id: RequestId, worker: &WorkerRecord, waited: Duration) {
            let origin = match &*self.0.lock() {
                State::Queued(origin, _) => Arc::clone(origin),
                _ => return,
            };
            let span = catch(|| {
                info_span!(
                    target: "parallel_workers",
                    parent: &*origin,
                    "run",
                    request = id.0,
                    worker = &*worker.name,
                    waited = ?waited,
                    ran = Empty,
                    outcome = Empty,
                )
            });
            let span = Arc::new(span.unwrap_or_else(|_| Span::none()));
            let running = State::Running(Arc::clone(&span));
            let before = std::mem::replace(&mut *self.0.lock(), running);
            if let State::Queued(_, joined) = before {
                let _ = catch(|| joined.iter().for_each(|other| link(Some(&span), other, id)));
            }
        }

        /// Calls `f` in the span of the run.
        pub(crate) fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
            let span = match &*self.0.lock() {
                State::Running(span) => Some(Arc::clone(span)),
                _ => None,
            };
            match span {
                Some(span) => span.in_scope(f),
                None => f(),
            }
        }

        /// The run has ended.
        pub(crate) fn settle(&self, id: RequestId, outcome: Outcome, ran: Option<Duration>) {
            let state = std::mem::replace(&mut *self.0.lock(), State::Settled);
            let _ = catch(move || match state {
                State::Running(span) => {
                    span.record("outcome", outcome.as_str());
                    if let Some(ran) = ran {
                        span.record("ran", tracing::field::debug(ran));
                    }
                }
                State::Queued(origin, _) => origin.in_scope(|| {
                    debug!(
                        target: "parallel_workers",
                        request = id.0,
                        outcome = outcome.as_str(),
                        "settled before it began"
                    );
                }),
                State::Settled => {}
            });
        }
    }

    /// The run follows from the caller's span too, where it says so.
    fn link(run: Option<&Span>, caller: &Span, id: RequestId) {
        if let Some(run) = run {
            run.follows_from(caller);
        }
        caller.in_scope(|| {
            debug!(target: "parallel_workers", request = id.0, "joined an equal request");
        });
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use std::time::Duration;

    use crate::event::Outcome;
    use crate::record::WorkerRecord;
    use crate::request_id::RequestId;

    #[derive(Debug)]
    pub(crate) struct Origin;

    impl Origin {
        pub(crate) fn here() -> Self {
            Self
        }
    }

    #[derive(Debug)]
    pub(crate) struct Trace;

    impl Trace {
        pub(crate) const IS_ON: bool = false;

        pub(crate) fn new(_origin: Origin) -> Self {
            Self
        }
        pub(crate) fn join(&self, _id: RequestId, _origin: Origin) {}
        pub(crate) fn start(&self, _id: RequestId, _worker: &WorkerRecord, _waited: Duration) {}
        pub(crate) fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
            f()
        }
        pub(crate) fn settle(&self, _id: RequestId, _outcome: Outcome, _ran: Option<Duration>) {}
    }
}
