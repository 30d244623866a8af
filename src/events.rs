//! A subscriber's end: a bounded queue of events that never makes anybody wait but the subscriber.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;

use crate::blocking::{block_until, deadline_after};
use crate::event::Event;
use crate::sync::{Arc, Mutex};
use crate::wakers::{Wakers, wake_all};

/// What a service tells, from the moment of [`ProcessorService::subscribe`](crate::ProcessorService::subscribe).
///
/// Read with [`recv`](Self::recv) and its like, as an iterator ([`iter`](Self::iter)) or as a `Stream`. It holds no more events than its capacity: who reads too slowly loses the oldest ones, and
/// [`missed`](Self::missed) tells how many. Dropped, it is unsubscribed.
pub struct Events {
    inbox: Arc<Inbox>,
    /// The place of the task that polls the stream.
    place: Option<u64>,
}

/// Where a service puts events for one subscriber.
#[derive(Debug)]
pub(crate) struct Inbox(Mutex<Content>);

#[derive(Debug)]
struct Content {
    events: VecDeque<Event>,
    capacity: usize,
    missed: u64,
    is_closed: bool,
    waiting: Wakers,
}

impl Inbox {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Content {
            events: VecDeque::new(),
            capacity: capacity.max(1),
            missed: 0,
            is_closed: false,
            waiting: Wakers::default(),
        })))
    }

    /// Puts an event in; where there is no room, the oldest one goes.
    pub(crate) fn put(&self, event: Event) {
        let mut content = self.0.lock();
        if content.events.len() >= content.capacity {
            content.events.pop_front();
            content.missed += 1;
        }
        content.events.push_back(event);
        let woken = content.waiting.take();
        // LOCK: released before anybody is woken.
        drop(content);
        wake_all(woken);
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        let mut content = self.0.lock();
        content.is_closed = true;
        let woken = content.waiting.take();
        drop(content);
        wake_all(woken);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    /// The next event, or `Ready(None)` where none will come, or a place among those who wait.
    fn poll(&self, place: &mut Option<u64>, waker: &Waker) -> Poll<Option<Event>> {
        let waker = waker.clone();
        let mut content = self.0.lock();
        let (poll, unused) = match content.events.pop_front() {
            Some(event) => (Poll::Ready(Some(event)), Some(waker)),
            None if content.is_closed => (Poll::Ready(None), Some(waker)),
            None => (Poll::Pending, content.waiting.register(place, waker)),
        };
        drop(content);
        drop(unused);
        poll
    }

    fn forget(&self, place: Option<u64>) {
        let unused = place.and_then(|place| self.0.lock().waiting.remove(place));
        // LOCK: released above; a waker is foreign.
        drop(unused);
    }
}

impl Events {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, place: None }
    }

    /// The next event; `None`: the service is gone, and there will be none.
    ///
    /// # Blocking
    ///
    /// Until there is one.
    pub fn recv(&self) -> Option<Event> {
        self.recv_until(None).flatten()
    }

    /// The next event, if there is one now.
    pub fn try_recv(&self) -> Option<Event> {
        self.inbox.0.lock().events.pop_front()
    }

    /// The next event, if one comes within `timeout`; one that is too long for the clock means for ever.
    ///
    /// # Blocking
    ///
    /// For `timeout` at most.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        self.recv_until(deadline_after(timeout)).flatten()
    }

    /// The events, one after another: waits for each, and ends when the service is gone.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        std::iter::from_fn(|| self.recv())
    }

    /// How many events were lost, because nobody took them in time.
    pub fn missed(&self) -> u64 {
        self.inbox.0.lock().missed
    }

    /// How many wait to be taken.
    pub fn len(&self) -> usize {
        self.inbox.0.lock().events.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Option<Option<Event>> {
        let mut place = None;
        let received = block_until(deadline, |waker| match self.inbox.poll(&mut place, waker) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        });
        self.inbox.forget(place);
        received
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Self { inbox, place } = &mut *self;
        inbox.poll(place, cx.waker())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.inbox.forget(self.place);
        self.inbox.close();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("len", &self.len())
            .field("missed", &self.missed())
            .finish()
    }
}
