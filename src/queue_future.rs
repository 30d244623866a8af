//! Queueing without blocking: the wait for room as a future.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::caller::{Caller, Nobody};
use crate::dispatcher::Dispatcher;
use crate::error::QueueError;
use crate::in_flight::KeyHash;
use crate::promise::Promise;
use crate::room::{Place, Room, Waited};
use crate::sync::Arc;
use crate::task::TaskWait;
use crate::terms::Terms;

/// The wait for room in a bounded queue, see
/// [`queue_request_async`](crate::ProcessorService::queue_request_async).
#[must_use = "futures do nothing unless awaited"]
pub struct QueueRequest<R, T> {
    home: Arc<Dispatcher<R, T>>,
    /// With its hash, once that is known. `None`: it has been queued, or refused.
    request: Option<(R, Option<KeyHash>)>,
    caller: Option<Caller<Nobody>>,
    place: Place<Arc<Room>>,
    is_waiting: bool,
    /// Of the task that awaits this.
    wait: TaskWait,
}

// Nothing of it is pinned.
impl<R, T> Unpin for QueueRequest<R, T> {}

impl<R, T> QueueRequest<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(home: &Arc<Dispatcher<R, T>>, request: R) -> Self {
        Self {
            home: Arc::clone(home),
            request: Some((request, None)),
            caller: Some(Caller::here()),
            place: Place::new(home.room.clone()),
            is_waiting: false,
            wait: TaskWait::default(),
        }
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<Promise<R, T>, QueueError<R>>> {
        loop {
            if self.is_waiting {
                match self.place.poll(self.home.id, cx.waker()) {
                    None => return Poll::Pending,
                    Some(Waited::Closed) => {
                        let (request, _) = self.take_request();
                        return Poll::Ready(Err(QueueError::Stopped(request)));
                    }
                    Some(Waited::Granted | Waited::TimedOut) => self.is_waiting = false,
                }
            }
            let (request, hash) = match self.take_request() {
                (request, Some(hash)) => (request, hash),
                (request, None) if self.home.refuses() => {
                    return Poll::Ready(Err(QueueError::Stopped(request)));
                }
                (request, None) => {
                    let hash = self.home.hash_of(&request);
                    (request, hash)
                }
            };
            let Self {
                home,
                caller,
                place,
                ..
            } = self;
            match home.admit(request, hash, Terms::USUAL, caller, place) {
                Ok(queued) => return Poll::Ready(queued.map(Promise::new)),
                Err(back) => self.request = Some((back, Some(hash))),
            }
            self.is_waiting = true;
        }
    }

    fn take_request(&mut self) -> (R, Option<KeyHash>) {
        let request = self.request.take();
        request.expect("a future is not polled again after it was ready")
    }
}

impl<R, T> Future for QueueRequest<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Output = Promise<R, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Promise<R, T>> {
        let Poll::Ready(queued) = self.poll_queue(cx) else {
            self.wait.begin();
            return Poll::Pending;
        };
        self.wait.end();
        let stopped = |refused: QueueError<R>| self.home.stopped(refused.into_request());
        Poll::Ready(queued.unwrap_or_else(|refused| Promise::new(stopped(refused))))
    }
}

impl<R, T> fmt::Debug for QueueRequest<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueRequest")
            .field("is_waiting", &self.is_waiting)
            .finish_non_exhaustive()
    }
}
