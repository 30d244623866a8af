//! One worker's intake.

use std::fmt;
use std::hash::Hash;
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};

use crate::blocking::{block_until, deadline_after};
use crate::context::Context;
use crate::departures::Departures;
use crate::desk::{Begun, Desk};
use crate::dispatcher::Entry;
use crate::hand::{Hand, Taken};
use crate::job::Job;
use crate::lanes::Assigned;
use crate::pace::Pace;
#[cfg(any(feature = "async", feature = "nats", feature = "process"))]
use crate::panic::Panic;
use crate::panic::discard;
use crate::queue_state::Popped;
use crate::record::Ending;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, now};

/// Where a worker gets its jobs from, one worker's own.
///
/// All ways of taking a job agree on one thing: when this worker is to hand control back, they give nothing, and
/// [`must_return`](Self::must_return) is true. [`Processor::run`](crate::Processor::run) then finishes what it
/// has and returns. That happens when the service stops, after a request panicked, and when a
/// [broadcast](crate::ProcessorService::broadcast) waits for the processor; in this last case `run` is called again.
pub struct Jobs<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) desk: Arc<Desk<R, T>>,
    /// How many were taken, ever.
    taken: u64,
    /// Of the requests that begin.
    pace: Pace,
    /// What it has taken and not begun. `None`: it has not looked for it, or is not served.
    hand: Option<OwnHand<R, T>>,
    must_finish: bool,
    is_closed: bool,
    /// Whether its processor asked to be made anew, with backoff.
    pub(crate) has_failed: bool,
    /// Whether a task of its own may be among the queue's sleepers.
    is_asleep: bool,
    /// Whether it may be among those that take nothing but their own.
    #[cfg(feature = "async")]
    takes_own: bool,
    /// What this worker has ended and not taken out of the in-flight table; nothing, while it waits.
    departures: Departures<Entry<R, T>>,
}

type OwnHand<R, T> = Arc<Hand<Arc<Entry<R, T>>>>;

/// A spare worker that has found nothing to do looks after so long whether it is still needed.
const SPARE_PATIENCE: Duration = Duration::from_millis(100);

/// What one look at the queue came to.
enum Look<J> {
    Job(J),
    Nothing,
    /// Nobody looked: this is a spare worker that is not needed.
    NotNeeded,
    Return,
}

impl<R, T> Jobs<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(desk: Arc<Desk<R, T>>) -> Self {
        let departures = Departures::new(&desk.home.in_flight);
        Self {
            desk,
            taken: 0,
            pace: Pace::default(),
            hand: None,
            must_finish: false,
            is_closed: false,
            has_failed: false,
            is_asleep: false,
            #[cfg(feature = "async")]
            takes_own: false,
            departures,
        }
    }

    /// The next job. `None`: return from `run`.
    ///
    /// # Blocking
    ///
    /// Until there is a job, or the worker is to hand control back. A worker that still holds other jobs keeps
    /// their callers waiting meanwhile: [`try_next`](Self::try_next) and [`take`](Self::take) do not.
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: after `None` there may be more"
    )]
    pub fn next(&mut self) -> Option<Job<R, T>> {
        let begun = self.next_until(None)?;
        Some(self.job(begun))
    }

    /// Processes one job after another, until this worker is to hand control back: what
    /// [`Processor::run`](crate::Processor::run) does by default, and faster than with [`next`](Self::next) and
    /// [`Job::process`].
    ///
    /// ```
    /// use parallel_workers::{Context, Jobs, Processor, ProcessorService};
    ///
    /// struct Appender;
    ///
    /// impl Processor for Appender {
    ///     type Request = String;
    ///     type Output = usize;
    ///
    ///     fn process(&mut self, text: &String, _: &Context) -> usize {
    ///         text.len()
    ///     }
    ///
    ///     fn run(&mut self, jobs: &mut Jobs<String, usize>) {
    ///         // What is borrowed here lives for as long as the worker works.
    ///         let mut written = String::new();
    ///         jobs.process_each(|text, _| {
    ///             written.push_str(text);
    ///             written.len()
    ///         });
    ///     }
    /// }
    ///
    /// let service = ProcessorService::start(1, || Appender)?;
    /// service.queue_request("one".to_string());
    /// assert_eq!(*service.queue_request("three".to_string()).wait()?, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Blocking
    ///
    /// As `next`, between the jobs.
    pub fn process_each(&mut self, mut process: impl FnMut(&R, &Context<'_>) -> T) {
        while let Some(begun) = self.next_until(None) {
            let notes = Some(&mut self.departures);
            self.desk.process(begun, &mut process, notes);
        }
    }

    /// The next job, if there is one now.
    pub fn try_next(&mut self) -> Option<Job<R, T>> {
        match self.look(None) {
            Look::Job(begun) => Some(self.job(begun)),
            Look::Nothing | Look::NotNeeded | Look::Return => None,
        }
    }

    /// The next job, if there is one within `timeout`; one that is too long for the clock means for ever.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Job<R, T>> {
        let begun = self.next_until(deadline_after(timeout))?;
        Some(self.job(begun))
    }

    /// Up to `most` jobs: waits for the first as [`next`](Self::next) does, then for others, but no longer than
    /// `linger`. With a `linger` of zero it takes what is there. None at all: return from `run`.
    pub fn take(&mut self, most: usize, linger: Duration) -> Vec<Job<R, T>> {
        let mut batch = Vec::new();
        if most == 0 {
            return batch;
        }
        batch.extend(self.next());
        let deadline = deadline_after(linger);
        while !batch.is_empty() && batch.len() < most {
            let next = match (self.try_next(), linger.is_zero()) {
                (None, false) => {
                    let begun = self.next_until(deadline);
                    begun.map(|begun| self.job(begun))
                }
                (next, _) => next,
            };
            match next {
                Some(job) => batch.push(job),
                None => break,
            }
        }
        batch
    }

    /// The next job, for a future that is polled: `Ready(None)` says to return from `run`.
    ///
    /// While it is pending, the worker counts as one that looks for something to do: it is woken for a request, and is
    /// to poll again, or to return. [`next_async`](Self::next_async) sees to that by itself.
    pub fn poll_next(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Job<R, T>>> {
        let found = self.look_if_needed(Some(cx.waker()));
        self.is_asleep |= matches!(found, Look::Nothing);
        match found {
            Look::Job(begun) => {
                self.is_asleep = false;
                Poll::Ready(Some(self.job(begun)))
            }
            Look::Return | Look::NotNeeded => Poll::Ready(None),
            Look::Nothing => {
                let record = &self.desk.record;
                if record.held() == 0 {
                    record.rest();
                }
                Poll::Pending
            }
        }
    }

    /// Whether all that this worker has was given up: it was [killed](crate::Worker::kill), or its service
    /// [abandoned](crate::Shutdown::Abandon). If not, the task is woken when it is.
    ///
    /// What is given up has been settled, or is about to be. A processor that can drop what it has begun does that, and
    /// returns from `run`.
    pub fn poll_given_up(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        let Desk { home, record } = &*self.desk;
        // ORDERING: SeqCst, and after the waker is there: whoever gives it up says so first, and then looks for one.
        record.listen(cx.waker());
        if !record.is_lost() && !home.is_abandoned.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        // There will be nothing more for it.
        self.is_closed = true;
        Poll::Ready(())
    }

    /// Whether its processor has failed since `run` was called.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The next job that was assigned to this worker, though it is to return: what it has may wait for that, and nobody
    /// else may do it.
    #[cfg(feature = "async")]
    pub(crate) fn poll_own(&mut self, cx: &mut task::Context<'_>) -> Poll<Job<R, T>> {
        let desk = Arc::clone(&self.desk);
        self.takes_own = true;
        while let Popped::Item(taken) = desk.home.queue.pop_own(&desk.record, cx.waker().clone()) {
            if let Some(begun) = self.start(taken) {
                return Poll::Ready(self.job(begun));
            }
        }
        Poll::Pending
    }

    /// Ends a job that this worker has, with an output, or with the panic that came instead.
    #[cfg(any(feature = "async", feature = "nats", feature = "process"))]
    pub(crate) fn end(&mut self, job: Job<R, T>, processed: Result<T, Panic>) {
        if let Some(begun) = job.into_begun() {
            let notes = Some(&mut self.departures);
            match processed {
                Ok(output) => self.desk.settle(begun, output, notes),
                Err(panic) => self.desk.panicked(begun, panic, notes),
            }
        }
    }

    /// `run` has returned, or a future of it is gone: no waker of it stays behind.
    pub(crate) fn stop_waiting(&mut self) {
        let record = &self.desk.record;
        record.stop_listening();
        record.set_keeper(None);
        #[cfg(feature = "async")]
        if std::mem::take(&mut self.takes_own) {
            self.desk.home.queue.recovered(record);
        }
        self.stop_polling();
    }

    /// After [`poll_next`](Self::poll_next) was pending: says that this worker does not look for jobs at the moment. If it was
    /// woken for one, another worker is.
    ///
    /// To be called where it cannot take the next job after all, for as long as it does not poll again.
    pub fn stop_polling(&mut self) {
        if std::mem::take(&mut self.is_asleep) {
            let Desk { home, record } = &*self.desk;
            home.queue.stop_sleeping(record);
        }
    }

    /// Whether this worker is to finish what it has and return from `run`.
    pub fn must_return(&self) -> bool {
        let record = &self.desk.record;
        self.must_finish || self.is_closed || record.is_spoilt() || record.has_mail()
    }

    /// `run` is about to be called.
    pub(crate) fn begin(&mut self) {
        self.must_finish = false;
        self.has_failed = false;
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether there will never be another one.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Waits until it makes sense to call `run`.
    pub(crate) fn wait_until_ready(&mut self) {
        let Desk { home, record } = &*self.desk;
        record.rest();
        crate::blocking::block_on(|waker| {
            home.queue
                .ready_or_sleep(record, waker.clone())
                .then_some(())
        });
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Option<Begun<R, T>> {
        loop {
            self.desk.record.linger();
            let until = self.patience(deadline);
            match self.look_until(until) {
                Look::Job(begun) => return Some(begun),
                Look::Return => return None,
                Look::Nothing if until == deadline => return None,
                // A spare worker, which looks whether it is still needed.
                Look::Nothing | Look::NotNeeded => {}
            }
        }
    }

    /// Until when this worker waits at a time, if it waits until `deadline`.
    fn patience(&self, deadline: Option<Instant>) -> Option<Instant> {
        if !self.desk.record.is_spare() {
            return deadline;
        }
        let patience = deadline_after(SPARE_PATIENCE);
        deadline.into_iter().chain(patience).min()
    }

    fn look_until(&mut self, deadline: Option<Instant>) -> Look<Begun<R, T>> {
        let found = self.look_if_needed(None);
        if !matches!(found, Look::Nothing) {
            return found;
        }
        let desk = Arc::clone(&self.desk);
        if desk.record.held() == 0 {
            desk.record.rest();
        }
        let waited = block_until(deadline, |waker| match self.look_if_needed(Some(waker)) {
            // It sleeps, so whatever comes wakes it, or another one.
            Look::Nothing => None,
            found => Some(found),
        });
        let found = waited.unwrap_or(Look::Nothing);
        if matches!(found, Look::Nothing | Look::NotNeeded) {
            desk.home.queue.stop_sleeping(&desk.record);
        }
        found
    }

    fn job(&self, begun: Begun<R, T>) -> Job<R, T> {
        Job::new(begun, Arc::clone(&self.desk))
    }

    fn look_if_needed(&mut self, waker: Option<&Waker>) -> Look<Begun<R, T>> {
        if self.desk.record.is_superfluous() {
            return Look::NotNeeded;
        }
        self.look(waker)
    }

    /// Looks once; with a waker, sleeps where there is nothing.
    fn look(&mut self, waker: Option<&Waker>) -> Look<Begun<R, T>> {
        let found = self.look_in_queue(waker);
        if !matches!(found, Look::Job(_)) {
            self.departures.flush(&self.desk.home.in_flight);
        }
        found
    }

    fn look_in_queue(&mut self, waker: Option<&Waker>) -> Look<Begun<R, T>> {
        if self.must_return() {
            return Look::Return;
        }
        loop {
            match self.take_next(waker) {
                Popped::Item(taken) => match self.start(taken) {
                    Some(begun) => return Look::Job(begun),
                    None => continue,
                },
                Popped::Nothing => return Look::Nothing,
                Popped::Mail => {}
                Popped::Finish => self.must_finish = true,
                Popped::Closed => self.is_closed = true,
            }
            return Look::Return;
        }
    }

    /// What this worker has in its hand, or what it finds in the queue.
    fn take_next(&mut self, waker: Option<&Waker>) -> Popped<Arc<Entry<R, T>>> {
        let Desk { home, record } = &*self.desk;
        if self.hand.is_none() {
            self.hand = home.queue.hand_of(record);
        }
        // One that is called has had its hand emptied, or is about to.
        if !record.is_called()
            && let Some(taken) = self.hand.as_ref().and_then(|hand| hand.take(record))
        {
            return Popped::Item(taken);
        }
        let most = if self.hand.is_some() {
            self.pace.batch()
        } else {
            1
        };
        if most > 1 {
            home.queue.let_gather();
        }
        match waker {
            None => home.queue.pop(record, most),
            Some(waker) => home.queue.pop_or_sleep(record, most, waker.clone()),
        }
    }

    fn start(&mut self, (entry, came): Taken<Arc<Entry<R, T>>>) -> Option<Begun<R, T>> {
        let Desk { home, record } = &*self.desk;
        let began = record.work();
        if record.is_lost() {
            home.put_back((entry, came));
        } else {
            let (since, waited) = times(&self.desk, &mut self.pace, began, came);
            let line = entry.line();
            if let Some(place) = home.start(&entry, record, since, waited) {
                self.taken += 1;
                let begun = Begun { entry, place, line };
                if !record.is_lost() {
                    return Some(begun);
                }
                // Given up between the two: whoever did that may have missed it, and nobody has begun it.
                self.desk.give_back(begun);
                return None;
            }
            // It was withdrawn between the queue and here.
            discard(entry);
        }
        record.count(Ending::Dropped);
        home.queue.finished(record);
        None
    }
}

/// The time on the worker's clock, and how long a request has waited, both in nanoseconds: exactly where somebody
/// watches, else about when, and nothing. `began`: the time, if the worker had nothing to do until now.
fn times<R, T>(
    desk: &Desk<R, T>,
    pace: &mut Pace,
    began: Option<u64>,
    came: Option<Instant>,
) -> (u64, u64)
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let Desk { home, record } = desk;
    if !home.observer.is_on() {
        return (pace.time(began, || record.nanos()), 0);
    }
    let waited = came.map_or(0, |came| now().saturating_duration_since(came).as_nanos());
    let waited = u64::try_from(waited).unwrap_or(u64::MAX);
    (pace.time(Some(record.nanos()), || 0), waited)
}

impl<R, T> fmt::Debug for Jobs<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("worker", &self.desk.record.id)
            .field("taken", &self.taken)
            .field("must_return", &self.must_return())
            .finish()
    }
}
