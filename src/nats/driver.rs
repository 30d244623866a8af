//! What a remote processor's worker does: it submits requests, hears what becomes of them, and looks where nothing is heard.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_nats::{Event, Message};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::job::Job;
use crate::jobs::Jobs;
use crate::nats::alarm::Alarm;
use crate::nats::flight::{Flight, Stage};
use crate::nats::line::Line;
use crate::nats::link::{heard, number_of};
use crate::nats::look::Found;
use crate::nats::message::{Answer, Stored};
use crate::nats::pace::Pace;
use crate::nats::submission;
use crate::nats::withdraw::Withdrawn;
use crate::panic::{Panic, catch};
use crate::processor::Processor;
use crate::sync::{Arc, now};

/// How often it looks after its flights, while there are any.
const TICK: Duration = Duration::from_millis(50);
/// How long it waits at first where the queue is full, or nobody is there to store anything.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// And then, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// For how long it takes leave of the server.
const FAREWELL: Duration = Duration::from_secs(1);

/// One call of [`Processor::run`].
pub(crate) struct Driver<'a, P: Processor> {
    pub(crate) line: &'a mut Line,
    window: usize,
    jobs: &'a mut Jobs<P::Request, P::Output>,
    /// By the numbers of their submissions.
    pub(crate) flights: HashMap<u64, Flight<P::Request, P::Output>, ahash::RandomState>,
    /// What looks on their behalf.
    pub(crate) tasks: JoinSet<(u64, Learned)>,
    /// Rings when nobody wants one of them any more.
    alarm: Option<Arc<Alarm>>,
    pub(crate) is_leaving: bool,
    /// Until when it submits nothing, because the queue is full; and for how long next time.
    closed: Option<Instant>,
    pause: Pace,
    tick: Pin<Box<tokio::time::Sleep>>,
}

/// What a task has found out for a flight.
#[derive(Debug)]
pub(crate) enum Learned {
    Looked(Found),
    /// `None`: who was waited for has given it up.
    Joined(Option<Answer>),
    Withdrawn(Withdrawn),
}

impl<'a, P: Processor> Driver<'a, P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    pub(crate) fn new(
        line: &'a mut Line,
        window: usize,
        jobs: &'a mut Jobs<P::Request, P::Output>,
    ) -> Self {
        Self {
            line,
            window,
            jobs,
            flights: HashMap::default(),
            tasks: JoinSet::new(),
            alarm: None,
            is_leaving: false,
            closed: None,
            pause: pause(),
            tick: Box::pin(tokio::time::sleep(TICK)),
        }
    }

    /// Works until the worker is to hand control back and everything that was submitted has ended.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        if !self.flights.is_empty() {
            self.let_go();
            self.line.outbox.flush(FAREWELL).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.jobs.poll_given_up(cx).is_ready() {
            return Poll::Ready(());
        }
        let alarm = self.alarm.get_or_insert_with(|| Alarm::new(cx.waker()));
        if alarm.has_rung() {
            self.look_for_unwanted();
        }
        self.hear_events(cx);
        while let Some(message) = heard(&mut self.line.acknowledgements, cx) {
            self.acknowledged(&message);
        }
        while let Some(message) = heard(&mut self.line.results, cx) {
            self.answered(message);
        }
        while let Some(message) = heard(&mut self.line.joins, cx) {
            self.joined(&message);
        }
        while let Poll::Ready(Some(done)) = self.tasks.poll_join_next(cx) {
            // One that was aborted has nothing to tell.
            if let Ok((number, learned)) = done {
                self.learn(number, learned);
            }
        }
        self.take(cx);
        if self.flights.is_empty() && self.is_leaving {
            return Poll::Ready(());
        }
        self.look_at_the_clock(cx);
        let _ = self.line.outbox.poll_send(cx);
        Poll::Pending
    }

    fn hear_events(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(event)) = self.line.events.poll_recv(cx) {
            match event {
                // What was on its way when the connection broke may be lost.
                Event::Connected => self.look_at_all(),
                Event::ServerError(error) => self.refused(&error.to_string()),
                _ => {}
            }
        }
    }

    /// Takes requests, as far as there is room.
    fn take(&mut self, cx: &mut Context<'_>) {
        if self.is_leaving {
            return;
        }
        while self.flights.len() < self.window && self.closed.is_none() {
            match self.jobs.poll_next(cx) {
                Poll::Ready(Some(job)) => self.submit_new(job),
                // It is to return, or is a spare worker that is not needed.
                Poll::Ready(None) => {
                    self.is_leaving = true;
                    return;
                }
                Poll::Pending => return,
            }
        }
        self.jobs.stop_polling();
    }

    fn submit_new(&mut self, job: Job<P::Request, P::Output>) {
        // The request's own code.
        let written = catch(|| self.line.write(job.request()));
        let (mut key, bytes) = match written {
            Ok(Ok(written)) => written,
            Ok(Err(panic)) | Err(panic) => return self.jobs.end(job, Err(panic)),
        };
        let number = self.line.next;
        self.line.next += 1;
        if !job.is_shared() {
            // Nobody else has such a key.
            key = format!("{key}-{}-{number}", self.line.owner);
        }
        let subject = self.line.link.names.request(&key).into();
        let flight = Flight::new(job, subject, Bytes::from(bytes), now());
        self.flights.insert(number, flight);
        self.submit(number);
    }

    /// Sends a request, for the first time or once more.
    pub(crate) fn submit(&mut self, number: u64) {
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        flight.stage = Stage::Sent;
        flight.pace = Pace::new();
        flight.look_later(now());
        let payload = submission::write(&self.line.name(number), &flight.payload);
        let subject = flight.subject.clone();
        let reply = self.line.reply_to(number);
        self.line.outbox.push(subject, Some(reply), None, payload);
    }

    /// The server says whether it has stored a request.
    fn acknowledged(&mut self, message: &Message) {
        let place = number_of(message).and_then(|place| usize::try_from(place).ok());
        let Some(number) = place.and_then(|place| self.line.asked.take(place)) else {
            return;
        };
        let Some(flight) = self
            .flights
            .get_mut(&number)
            .filter(|flight| flight.stage == Stage::Sent)
        else {
            return;
        };
        match Stored::read(message) {
            Stored::At(sequence) => {
                flight.stage = Stage::Queued { sequence };
                self.pause = pause();
                self.look_whether_wanted(number);
            }
            // By somebody else, or by an earlier copy of the same message.
            Stored::Taken => self.look(number, false),
            Stored::Full if !self.is_leaving => self.give_back(number),
            Stored::Full | Stored::Overtaken | Stored::Refused(_) => {
                flight.stage = Stage::Held;
                flight.due = now() + self.pause.next();
            }
        }
    }

    /// There is no room in the cluster: it waits in the service's own queue.
    fn give_back(&mut self, number: u64) {
        if let Some(flight) = self.flights.remove(&number) {
            flight.job.give_back();
            if self.closed.is_none() {
                let pause = self.pause.next();
                self.closed = Some(now() + pause);
                self.tick
                    .as_mut()
                    .reset(tokio::time::Instant::from_std(now() + pause.min(TICK)));
            }
        }
    }

    /// The result of a submission of this connection's.
    fn answered(&mut self, message: Message) {
        let Some(number) = number_of(&message) else {
            return;
        };
        let answer = Answer::read(message.headers.as_ref(), message.payload);
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        if !answer.is_final() {
            flight.is_doubtful = true;
        } else if flight.is_doubtful {
            self.look(number, true);
        } else {
            self.settle(number, answer);
        }
    }

    /// Ends a request with the panic that came instead of an output, or with the output.
    pub(crate) fn end(&mut self, number: u64, processed: Result<P::Output, Panic>) {
        if let Some(flight) = self.flights.remove(&number) {
            self.line.answered += 1;
            self.line.ended.insert(number);
            // There is room for one more, unless somebody else takes it.
            self.closed = None;
            self.jobs.end(flight.job, processed);
        }
    }

    fn look_at_the_clock(&mut self, cx: &mut Context<'_>) {
        if self.flights.is_empty() && self.closed.is_none() {
            return;
        }
        while self.tick.as_mut().poll(cx).is_ready() {
            self.tick
                .as_mut()
                .reset(tokio::time::Instant::from_std(now() + TICK));
            let time = now();
            if self.closed.is_some_and(|until| until <= time) {
                self.closed = None;
                // To take what waits in the service's queue.
                cx.waker().wake_by_ref();
            }
            self.look_after_all(time);
        }
    }

    /// Has every flight that has been on its way for a while tell when nobody wants it, and looks for those that are due.
    fn look_after_all(&mut self, time: Instant) {
        let mut due = Vec::new();
        let alarm = self.alarm.clone().map(Waker::from);
        for (number, flight) in &mut self.flights {
            if let Some(alarm) = alarm.as_ref().filter(|_| !flight.listens) {
                flight.listens = true;
                if flight.job.poll_cancelled(alarm) {
                    alarm.wake_by_ref();
                }
            }
            if flight.due <= time && flight.is_unattended() {
                due.push(*number);
            }
        }
        for number in due {
            self.look_when_due(number);
        }
    }
}

fn pause() -> Pace {
    Pace::between(SHORTEST_PAUSE, LONGEST_PAUSE)
}
