//! What a running request may know.

use std::fmt;
use std::time::Instant;

use crate::cancelled::Cancelled;
use crate::state::StateWord;
use crate::status::WorkerId;
use crate::subscribers::Subscribers;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, Ordering};

/// What a running request may know of its circumstances.
///
/// A processor of long requests asks [`is_cancelled`](Self::is_cancelled) from time to time, and gives up early
/// when nobody wants the output any more.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub(crate) state: &'a StateWord,
    pub(crate) subscribers: &'a Mutex<Subscribers>,
    pub(crate) worker: WorkerId,
    pub(crate) deadline: &'a Mutex<Option<Instant>>,
    /// How often it was begun before.
    pub(crate) attempts: &'a AtomicU32,
}

impl<'a> Context<'a> {
    /// The worker that processes the request.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// How many times processing the request has begun, this time included: one more for each worker that was lost
    /// with it, where it is [tried again](crate::Job::retry) then. On threads it is always 1.
    pub fn attempt(&self) -> u32 {
        // ORDERING: relaxed; it changes while the request is in the queue, whose lock orders that.
        self.attempts.load(Ordering::Relaxed).saturating_add(1)
    }

    /// Whether nobody wants the output any more: everybody who asked for it has aborted, or the run was given
    /// up. Once true, it stays so; whatever the processor returns then, it returns for nobody.
    pub fn is_cancelled(&self) -> bool {
        self.state.is_unwanted()
    }

    /// Waits until nobody wants the output any more: until [`is_cancelled`](Self::is_cancelled) is true.
    ///
    /// For a processor that has something to tidy up then. One that has not lets its backend drop it, see
    /// `Async::cancel_on_abort`.
    ///
    /// # Cancel safety
    ///
    /// Dropped at any time, it leaves nothing behind.
    pub fn cancelled(&self) -> Cancelled<'a> {
        Cancelled::new(self.state, self.subscribers)
    }

    /// When the output is of no use any more: the deadline of the shutdown that waits for it. `None`: no
    /// shutdown with a deadline goes on.
    pub fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock()
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("worker", &self.worker)
            .field("attempt", &self.attempt())
            .field("is_cancelled", &self.is_cancelled())
            .field("deadline", &self.deadline())
            .finish()
    }
}
