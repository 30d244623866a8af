//! What a worker's thread does while its child works: it sends requests, takes answers, and looks after both.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Failure;
use crate::job::Job;
use crate::jobs::Jobs;
use crate::loss::{Breach, Loss};
use crate::panic::{Panic, catch};
use crate::process::child::Child;
use crate::process::end::End;
use crate::process::message::{FromService, MessageError};
use crate::process::sent::Sent;
use crate::processor::Processor;
use crate::sync::{Arc, now, thread};
use crate::usage;

/// How often the memory of a child is looked at, at most.
const MEMORY_LOOK: Duration = Duration::from_millis(50);

/// A request that is written and not in the window: its id, where it ends, and the job.
type Fresh<P> = (
    u64,
    u64,
    Job<<P as Processor>::Request, <P as Processor>::Output>,
);

/// One call of [`Processor::run`].
pub(crate) struct Driver<'a, P: Processor> {
    child: &'a mut Child<P>,
    jobs: &'a mut Jobs<P::Request, P::Output>,
    waker: Waker,
    /// Written, and not yet in the window.
    fresh: Vec<Fresh<P>>,
    /// Whether it takes no more requests.
    is_leaving: bool,
    /// Whether the child is to be replaced, having answered all it has.
    is_recycled: bool,
    /// When its memory is looked at next.
    next_look: Instant,
}

impl<'a, P: Processor> Driver<'a, P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    pub(crate) fn new(child: &'a mut Child<P>, jobs: &'a mut Jobs<P::Request, P::Output>) -> Self {
        let waker = Waker::from(Arc::clone(&child.link.sleeper.alarm));
        let session = Arc::clone(&child.session);
        // Whoever gives the worker up ends its process himself.
        jobs.on_given_up(move |loss| drop(session.end(End::For(loss))));
        Self {
            child,
            jobs,
            waker,
            fresh: Vec::new(),
            is_leaving: false,
            is_recycled: false,
            next_look: now(),
        }
    }

    pub(crate) fn run(&mut self) {
        let worked = self.work();
        // There will be another child, unless this worker is to have none.
        match &worked {
            // One after another may end as it begins.
            Err(End::ByItself | End::For(Loss::BrokeProtocol(_))) => self.jobs.renew_with_backoff(),
            Err(_) => self.jobs.renew(),
            Ok(()) if self.is_recycled => self.jobs.renew(),
            Ok(()) => {}
        }
        if let Err(end) = worked {
            self.child.session.end(end);
            self.child.forget_process();
            self.child.link.read_stderr();
        }
    }

    /// Works until the worker is to hand control back and its child has answered all. An error: the child is to end.
    fn work(&mut self) -> Result<(), End> {
        loop {
            self.child.link.sleeper.look();
            let mut cx = Context::from_waker(&self.waker);
            if self.jobs.poll_given_up(&mut cx).is_ready() {
                return Err(End::For(self.jobs.desk.loss()));
            }
            self.send();
            self.flush();
            let Some((has_sent, timeout)) = self.look_after()? else {
                // It was ended by whoever gave the worker up.
                return Ok(());
            };
            if !has_sent && (self.is_leaving || self.is_recycled) {
                return Ok(());
            }
            if has_sent {
                // What else there is to do first makes for more answers at a time.
                thread::yield_now();
            } else {
                self.child.link.sleeper.look_out();
            }
            let stdout = self.child.session.stdout();
            let waited = self.child.link.wait(stdout, timeout);
            let ready = waited.map_err(|_| End::ByItself)?;
            if ready.stdout {
                self.receive()?;
            }
            if ready.ended {
                return Err(End::ByItself);
            }
        }
    }

    /// Sends what there is, as far as there is room.
    fn send(&mut self) {
        if self.is_leaving || self.is_recycled {
            return;
        }
        let options = &self.child.options;
        let left = options
            .recycle_after
            .map_or(u64::MAX, |most| most.saturating_sub(self.child.answered));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let room = self.child.session.with(|state| {
            let window = &state.window;
            window.room().min(left.saturating_sub(window.len()))
        });
        let session = Arc::clone(&self.child.session);
        session.set_taking(true);
        self.take(room.unwrap_or(0));
        self.enter();
        session.set_taking(false);
    }

    /// Enters what was taken and written into the window.
    fn enter(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let (fresh, time) = (&mut self.fresh, now());
        self.child.session.with(|state| {
            for (id, end, job) in fresh.drain(..) {
                state.window.send(id, end, Sent::new(job), time);
            }
        });
        // The process was ended meanwhile.
        let fresh = self.fresh.drain(..).rev();
        fresh.for_each(|(_, _, job)| job.give_back());
    }

    /// Takes requests until so many are written, or there are no more: then it is woken for the next one.
    fn take(&mut self, room: usize) {
        while self.fresh.len() < room && !self.child.link.is_full() {
            match self.jobs.poll_next(&mut Context::from_waker(&self.waker)) {
                Poll::Ready(Some(job)) => self.write(job),
                // It is to return, or is a spare worker that is not needed.
                Poll::Ready(None) => {
                    self.is_leaving = true;
                    break;
                }
                Poll::Pending => return,
            }
        }
        // It has no room, so it is not to be woken for requests.
        self.jobs.stop_polling();
    }

    /// Writes a request behind what is to be sent.
    fn write(&mut self, job: Job<P::Request, P::Output>) {
        let id = self.child.next_id;
        let attempt = job.context().attempt();
        let Child {
            link,
            options,
            hello,
            ..
        } = &mut *self.child;
        let begin = link.out.len();
        // The request's own code.
        let written = catch(|| {
            let request = job.request();
            let (out, limit) = (&mut link.out, hello.limit);
            options
                .codec
                .write_request(out, limit, id, attempt, request)
        });
        match written {
            Ok(Ok(())) => {}
            failed => {
                link.out.truncate(begin);
                let panic = failed.map_or_else(|panic| panic, |error| not_sent(error.err()));
                return self.jobs.end(job, Err(panic));
            }
        }
        let end = link.end();
        self.child.next_id += 1;
        self.fresh.push((id, end, job));
    }

    /// Writes what there is. How much that may have been is known before, and how much it was, after it: whoever ends the
    /// process meanwhile does not take for unread what has been read.
    fn flush(&mut self) {
        let Child { link, session, .. } = &mut *self.child;
        if link.end() == link.sent() {
            return;
        }
        session.with(|state| state.sent = link.end());
        if !link.flush() {
            session.with(|state| state.sent = link.sent());
        }
    }

    fn receive(&mut self) -> Result<(), End> {
        let Self { child, jobs, .. } = self;
        let mut answered = 0;
        let received = child.session.receive(|job, answer| {
            answered += 1;
            jobs.end(job, answer);
        });
        child.answered += answered;
        received
    }

    /// Recalls what waits too long, tells the child what nobody wants, and ends it where a request takes too long. Gives
    /// whether the child has requests, and when to look again; `None`: the process has been ended.
    fn look_after(&mut self) -> Result<Option<(bool, Option<Duration>)>, End> {
        self.is_recycled = self.is_recycled || self.is_to_be_recycled();
        let time = now();
        let session = Arc::clone(&self.child.session);
        let looked = session.with(|state| {
            let window = &mut state.window;
            let timeout = self.child.options.timeout;
            let expires = timeout.and_then(|timeout| window.oldest()?.checked_add(timeout));
            if expires.is_some_and(|expires| expires <= time) {
                return Err(End::For(Loss::TimedOut));
            }
            let patience = self.child.options.start_timeout;
            let unheard = window.asked().and_then(|asked| asked.checked_add(patience));
            if unheard.is_some_and(|unheard| unheard <= time) {
                let breach = Breach::new("it did not answer a recall");
                return Err(End::For(Loss::BrokeProtocol(breach)));
            }
            let expires = expires.into_iter().chain(unheard).min();
            let stalls = window.stalls_at();
            if stalls.is_some_and(|stalls| stalls <= time) {
                return Ok((true, true, expires));
            }
            Ok((
                !window.is_empty(),
                false,
                expires.into_iter().chain(stalls).min(),
            ))
        });
        let Some(looked) = looked else {
            return Ok(None);
        };
        let (has_sent, is_stalled, mut next) = looked?;
        if is_stalled {
            let unheard = self.look_at_stalled(time)?;
            next = next.into_iter().chain(unheard).min();
        }
        let until = |next: Instant| next.saturating_duration_since(time);
        Ok(Some((has_sent, next.map(until))))
    }

    /// No answer has come for some time. Gives until when a recall is to be answered that is begun now.
    fn look_at_stalled(&mut self, time: Instant) -> Result<Option<Instant>, End> {
        let waker = &self.waker;
        let kills = self.child.options.kills_on_abort;
        let mut unwanted = Vec::new();
        let looked = self.child.session.with(|state| {
            let is_alone = state.window.begun_jobs().count() == 1;
            for (id, sent) in state.window.begun_jobs() {
                if !sent.is_unwanted_now(waker) {
                    continue;
                }
                if kills && is_alone {
                    return Err(End::Unwanted);
                }
                unwanted.push(FromService::Cancel(id));
            }
            if state.window.recall(time) {
                unwanted.push(FromService::Recall);
            }
            Ok(())
        });
        looked.unwrap_or(Ok(()))?;
        let Child { link, options, .. } = &mut *self.child;
        let is_recalled = unwanted.contains(&FromService::Recall);
        let unheard = time.checked_add(options.start_timeout);
        for message in unwanted {
            let written = options
                .codec
                .write_from_service(&mut link.out, u32::MAX, &message);
            debug_assert!(written.is_ok(), "it can be written: {written:?}");
        }
        self.flush();
        Ok(unheard.filter(|_| is_recalled))
    }

    /// Whether the child has done enough.
    fn is_to_be_recycled(&mut self) -> bool {
        let options = &self.child.options;
        let has_done_enough = options
            .recycle_after
            .is_some_and(|most| self.child.answered >= most);
        let Some(most) = options.recycle_above.filter(|_| self.child.answered > 0) else {
            return has_done_enough;
        };
        let time = now();
        if time < self.next_look {
            return has_done_enough;
        }
        self.next_look = time + MEMORY_LOOK;
        let memory = usage::of_process(self.child.id()).memory;
        has_done_enough || memory.is_some_and(|memory| memory > most)
    }
}

/// Why a request is not sent.
fn not_sent(error: Option<MessageError>) -> Panic {
    let reason = error.map_or_else(String::new, |error| error.to_string());
    Panic::new(
        format!("the request cannot be sent to the worker: {reason}"),
        None,
    )
}

impl<P: Processor> Child<P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    /// Has the process answer one request, and waits for that.
    pub(crate) fn exchange(
        &mut self,
        request: &P::Request,
        attempt: u32,
    ) -> Result<P::Output, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let (codec, limit) = (self.options.codec, self.hello.limit);
        let written = codec.write_request(&mut self.link.out, limit, id, attempt, request);
        written.map_err(|error| Failure::Panicked(not_sent(Some(error))))?;
        let session = Arc::clone(&self.session);
        loop {
            self.link.sleeper.look();
            self.link.flush();
            let waited = self.link.wait(session.stdout(), None);
            let answer = session.with_decoder(|decoder| {
                waited.map_err(|_| End::ByItself)?;
                session.answer_to(id, decoder)
            });
            match answer {
                Some(Ok(None)) => {}
                Some(Ok(Some(answer))) => return answer.map_err(Failure::Panicked),
                None => return Err(Failure::WorkerLost(Loss::Killed)),
                Some(Err(end)) => return Err(Failure::WorkerLost(session.end(end))),
            }
        }
    }
}
