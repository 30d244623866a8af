//! Stopping and idling as futures: what is waited for blocks no thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::current;
use crate::idle::Idleness;
use crate::processor::Processor;
use crate::service::ProcessorService;

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
    pub fn stop_async(&self) -> Stop<'_, P> {
        Stop {
            service: self,
            has_begun: false,
            place: None,
        }
    }

    /// As [`wait_idle`](Self::wait_idle), without blocking a thread.
    ///
    /// # Cancel safety
    ///
    /// Dropped at any time, it leaves nothing behind.
    pub fn wait_idle_async(&self) -> WaitIdle<'_, P> {
        WaitIdle {
            service: self,
            wanted: None,
            place: None,
        }
    }
}

/// The end of a service, see [`ProcessorService::stop_async`].
#[must_use = "futures do nothing unless awaited"]
pub struct Stop<'a, P: Processor> {
    service: &'a ProcessorService<P>,
    has_begun: bool,
    place: Option<u64>,
}

impl<P: Processor> Future for Stop<'_, P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let home = this.service.home();
        if !this.has_begun {
            this.has_begun = true;
            home.set_deadline(None);
            home.drain();
        }
        if current::is_worker_of(home.id) {
            return Poll::Ready(());
        }
        if !this.service.pool.poll_over(&mut this.place, cx.waker()) {
            return Poll::Pending;
        }
        // What is left then has nobody to process it: there were no workers.
        home.close();
        Poll::Ready(())
    }
}

impl<P: Processor> Drop for Stop<'_, P> {
    fn drop(&mut self) {
        self.service.pool.unwatch_end(self.place);
    }
}

impl<P: Processor> fmt::Debug for Stop<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.service).finish()
    }
}

/// The next moment at which a service has nothing to do, see [`ProcessorService::wait_idle_async`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitIdle<'a, P: Processor> {
    service: &'a ProcessorService<P>,
    /// `None`: it has not been polled.
    wanted: Option<Idleness>,
    place: Option<u64>,
}

impl<P: Processor> Future for WaitIdle<'_, P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let home = this.service.home();
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
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<P: Processor> Drop for WaitIdle<'_, P> {
    fn drop(&mut self) {
        if let Some(wanted) = self.wanted {
            self.service.home().queue.unwatch(wanted, self.place);
        }
    }
}

impl<P: Processor> fmt::Debug for WaitIdle<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitIdle").field(&self.service).finish()
    }
}
