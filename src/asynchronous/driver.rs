//! What a worker drives: requests as futures, as many at a time as it may.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::task::{Context, Poll};

use crate::asynchronous::request::{Done, Processed};
use crate::asynchronous::slots::Slots;
use crate::current;
use crate::job::Job;
use crate::jobs::Jobs;

/// So many futures are polled before whoever polls the worker has a turn: a runtime has to look after its timers, and
/// tokio gives a task a budget of 128 operations, after which everything that is asked of it is pending.
const BUDGET: u32 = 64;

/// Drives what `begin` makes of jobs, until the worker is to hand control back and has finished what it has.
pub(super) fn drive<R, T, F>(
    jobs: &mut Jobs<R, T>,
    concurrency: usize,
    begin: impl Fn(Job<R, T>) -> F,
) -> impl Future<Output = ()>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Future<Output = Done<R, T>>,
{
    let mut driver = Driver {
        jobs,
        concurrency,
        begin,
        slots: Slots::new(),
        is_leaving: false,
        rests: false,
        stand_in: None,
    };
    poll_fn(move |cx| driver.poll(cx))
}

struct Driver<'a, R, T, B, F>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    jobs: &'a mut Jobs<R, T>,
    concurrency: usize,
    begin: B,
    slots: Slots<F>,
    /// Whether it takes no more jobs.
    is_leaving: bool,
    /// Whether it takes none at the moment: it is a spare worker that is not needed.
    rests: bool,
    /// A spare worker for those that it does not take, where what it has waits for others.
    stand_in: StandIn,
}

impl<R, T, B, F> Driver<'_, R, T, B, F>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    B: Fn(Job<R, T>) -> F,
    F: Future<Output = Done<R, T>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.jobs.poll_given_up(cx).is_ready() {
            self.slots.clear();
            return Poll::Ready(());
        }
        let mut budget = BUDGET;
        self.rests = false;
        loop {
            while let Poll::Ready(done) = self.slots.poll_next(cx, &mut budget) {
                settle(self.jobs, done);
            }
            if budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !self.take(cx) {
                break;
            }
            budget -= 1;
        }
        if (self.is_leaving || self.rests) && self.slots.is_empty() {
            return Poll::Ready(());
        }
        if self.is_leaving && self.slots.waiting() > 0 {
            stand_in(&mut self.stand_in);
        }
        Poll::Pending
    }

    /// Takes a job and begins it, if there is one, and it may.
    fn take(&mut self, cx: &mut Context<'_>) -> bool {
        if self.slots.working() >= self.concurrency {
            return false;
        }
        if self.is_leaving {
            return self.take_own(cx);
        }
        match self.jobs.poll_next(cx) {
            Poll::Ready(Some(job)) => {
                self.begin(job);
                true
            }
            Poll::Ready(None) => {
                self.is_leaving = self.jobs.must_return();
                self.rests = !self.is_leaving;
                self.is_leaving && self.take_own(cx)
            }
            Poll::Pending => false,
        }
    }

    /// The same of what was assigned to this worker, where what it has may wait for that.
    fn take_own(&mut self, cx: &mut Context<'_>) -> bool {
        if self.slots.waiting() == 0 {
            return false;
        }
        match self.jobs.poll_own(cx) {
            Poll::Ready(job) => {
                self.begin(job);
                true
            }
            Poll::Pending => false,
        }
    }

    fn begin(&mut self, job: Job<R, T>) {
        let future = (self.begin)(job);
        if let Some(done) = self.slots.begin(future) {
            settle(self.jobs, done);
        }
    }
}

/// Who takes jobs while a worker takes none.
pub(super) type StandIn = Option<Box<dyn Any>>;

/// Has a spare worker take the jobs that this one does not, for as long as it has tasks that may wait for these: as for a
/// thread that waits. Where there is none to be had, it asks again when it is polled next.
pub(super) fn stand_in(stand_in: &mut StandIn) {
    if stand_in.is_none()
        && let Some((_, reserve)) = current::worker()
    {
        *stand_in = reserve.stand_in();
    }
}

fn settle<R, T>(jobs: &mut Jobs<R, T>, (job, processed): Done<R, T>)
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    match processed {
        Processed::Output(output) => jobs.end(job, Ok(output)),
        Processed::Panicked(panic) => jobs.end(job, Err(panic)),
        Processed::Unwanted => job.abort(),
    }
}
