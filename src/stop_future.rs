//! Stopping and idling as futures: what is waited for blocks no thread.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::current;
use crate::dispatcher::Dispatcher;
use crate::idle::Idleness;
use crate::pool::EndOfThreads;
use crate::processor::Processor;
use crate::service::ProcessorService;
use crate::sync::Arc;
use crate::task::TaskWait;

/// How a service is waited for by tasks.
impl<P: Processor> ProcessorService<P> {
    /// Does what [`stop`](Self::stop) does, and waits for its end without blocking a thread.
    ///
    /// The service drains from the first poll on. For a deadline, put a timer of your runtime around this, and end
    /// what is left with [`shutdown`](Self::shutdown): `Discard` or `Abandon`. Awaited inside one of its own workers, it is ready at once,
    /// and the rest is done after that.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the service goes on draining; it can be waited for again.
    ///
    /// ```
    /// use parallel_workers::{Context, ProcessorService, processor_fn};
    ///
    /// let service = ProcessorService::start(1, || processor_fn(|n: &u64, _: &Context| n * n))?;
    /// let promise = service.queue_request(12);
    /// futures::executor::block_on(service.stop_async());
    /// assert_eq!(promise.try_result(), Some(Ok(&144)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop_async(&self) -> Stop<P::Request, P::Output> {
        Stop {
            home: Arc::clone(self.home()),
            end: self.pool.end(),
            has_begun: false,
            place: None,
        }
    }

    /// As [`wait_idle`](Self::wait_idle), without blocking a thread.
    ///
    /// # Cancel safety
    ///
    /// Dropped at any time, it leaves nothing behind.
    pub fn wait_idle_async(&self) -> WaitIdle<P::Request, P::Output> {
        WaitIdle {
            home: Arc::clone(self.home()),
            wanted: None,
            place: None,
            wait: TaskWait::default(),
        }
    }
}

/// The end of a service, see [`ProcessorService::stop_async`].
#[must_use = "futures do nothing unless awaited"]
pub struct Stop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    home: Arc<Dispatcher<R, T>>,
    end: EndOfThreads,
    has_begun: bool,
    place: Option<u64>,
}

impl<R, T> Future for Stop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let home = &this.home;
        if !this.has_begun {
            this.has_begun = true;
            home.set_deadline(None);
            home.drain();
        }
        if current::is_worker_of(home.id) {
            return Poll::Ready(());
        }
        if !this.end.poll(&mut this.place, cx.waker()) {
            return Poll::Pending;
        }
        // What is left then has nobody to process it: there were no workers.
        home.close();
        Poll::Ready(())
    }
}

impl<R, T> Drop for Stop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.end.leave(self.place);
    }
}

impl<R, T> fmt::Debug for Stop<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop")
            .field("has_begun", &self.has_begun)
            .finish_non_exhaustive()
    }
}

/// The next moment at which a service has nothing to do, see [`ProcessorService::wait_idle_async`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitIdle<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    home: Arc<Dispatcher<R, T>>,
    /// `None`: it has not been polled.
    wanted: Option<Idleness>,
    place: Option<u64>,
    /// Of the task that awaits this.
    wait: TaskWait,
}

impl<R, T> Future for WaitIdle<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let home = &this.home;
        let wanted = *this.wanted.get_or_insert_with(|| {
            let worker = current::worker_of(home.id);
            let wanted = Idleness {
                of: None,
                except: worker.map(|worker| worker.id),
            };
            home.queue.watch(wanted);
            wanted
        });
        if home.queue.poll_idle(wanted, &mut this.place, cx.waker()) {
            this.wait.end();
            return Poll::Ready(());
        }
        this.wait.begin();
        Poll::Pending
    }
}

impl<R, T> Drop for WaitIdle<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(wanted) = self.wanted {
            self.home.queue.unwatch(wanted, self.place);
        }
    }
}

impl<R, T> fmt::Debug for WaitIdle<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitIdle")
            .field("has_begun", &self.wanted.is_some())
            .finish_non_exhaustive()
    }
}
