//! Waiting, inside a request, for nobody to want its output.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::state::{Phase, StateWord, Ticket};
use crate::subscribers::{Key, Subscriber, Subscribers};
use crate::sync::Mutex;

/// Nobody wants the output of a request any more, see [`Context::cancelled`](crate::Context::cancelled).
#[must_use = "futures do nothing unless awaited"]
pub struct Cancelled<'a> {
    state: &'a StateWord,
    subscribers: &'a Mutex<Subscribers>,
    /// On which it waits: the processor's, for everybody to leave; any other, for the end.
    ticket: Ticket,
    key: Option<Key>,
}

impl<'a> Cancelled<'a> {
    pub(crate) fn new(state: &'a StateWord, subscribers: &'a Mutex<Subscribers>) -> Self {
        Self {
            state,
            subscribers,
            ticket: Ticket::PROCESSOR,
            key: None,
        }
    }

    /// The same, but for the run to be ended by somebody else: its worker was given up.
    #[cfg(feature = "async")]
    pub(crate) fn given_up(mut self) -> Self {
        self.ticket = Ticket::PINNED;
        self
    }

    /// Has its waker woken even when it is dropped.
    #[cfg(any(feature = "nats", feature = "process"))]
    pub(crate) fn stay(&mut self) {
        self.key = None;
    }

    fn is_due(&self) -> bool {
        match self.ticket {
            Ticket::PROCESSOR => self.state.is_unwanted(),
            _ => self.state.read().phase() != Phase::Running,
        }
    }
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due() {
            return Poll::Ready(());
        }
        // A clone is foreign code: before the lock.
        let waker = cx.waker().clone();
        let mut subscribers = self.subscribers.lock();
        // LOCK: the last caller leaves under it, and whoever settles the run closes the list under it. So either it
        // is seen here, or this is found there.
        if self.is_due() {
            drop(subscribers);
            return Poll::Ready(());
        }
        let (key, unused) = match self.key {
            Some(key) => (Some(key), Some(subscribers.replace_waker(key, waker))),
            None => {
                let ticket = self.ticket;
                match subscribers.subscribe(Subscriber::Waker { ticket, waker }) {
                    Ok(key) => (Some(key), None),
                    Err(Subscriber::Waker { waker, .. }) => (None, Some(waker)),
                    Err(_) => (None, None),
                }
            }
        };
        drop(subscribers);
        drop(unused);
        self.key = key;
        key.map_or(Poll::Ready(()), |_| Poll::Pending)
    }
}

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let unused = self.subscribers.lock().remove(key);
            // LOCK: released above; what is dropped here is foreign.
            drop(unused);
        }
    }
}

impl fmt::Debug for Cancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("is_cancelled", &self.is_due())
            .finish()
    }
}
