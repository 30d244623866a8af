//! The request that runs in a child process: what its context is made of.

use std::time::Instant;

use crate::context::Context;
use crate::state::{StateWord, Ticket};
use crate::status::WorkerId;
use crate::subscribers::Subscribers;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, Ordering};

/// Good for one request after another, until one is cancelled.
pub(crate) struct Running {
    state: StateWord,
    subscribers: Mutex<Subscribers>,
    worker: WorkerId,
    deadline: Mutex<Option<Instant>>,
    attempts: AtomicU32,
}

impl Running {
    pub(crate) fn new(worker: WorkerId) -> Self {
        let state = StateWord::new(false);
        let has_started = state.start();
        debug_assert!(has_started, "nobody else has it");
        Self {
            state,
            subscribers: Mutex::new(Subscribers::of(None)),
            worker,
            deadline: Mutex::default(),
            attempts: AtomicU32::new(0),
        }
    }

    /// The context of a request that begins for this time.
    pub(crate) fn context(&self, attempt: u32) -> Context<'_> {
        // ORDERING: relaxed; the thread that reads it is this one, or has the context from it.
        self.attempts
            .store(attempt.saturating_sub(1), Ordering::Relaxed);
        Context {
            state: &self.state,
            subscribers: &self.subscribers,
            worker: self.worker,
            deadline: &self.deadline,
            attempts: &self.attempts,
        }
    }

    /// Nobody wants its output any more.
    pub(crate) fn cancel(&self) {
        let mut subscribers = self.subscribers.lock();
        // LOCK: as where the last caller leaves a run: who asks to be told from now on is told at once.
        let _ = self.state.leave();
        let told = subscribers.take_of(Ticket::PROCESSOR);
        drop(subscribers);
        let callbacks = told.wake().callbacks;
        debug_assert!(callbacks.is_empty(), "processors leave wakers only");
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.is_unwanted()
    }
}
