//! What a remote processor's worker makes of what it learns about a request on its way.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use async_nats::Message;

use crate::job::Job;
use crate::nats::codec::beside;
use crate::nats::driver::{Driver, Learned};
use crate::nats::exchange::read_output;
use crate::nats::flight::{Stage, Task};
use crate::nats::join::join;
use crate::nats::look::{Found, look, look_for_answer};
use crate::nats::message::{Answer, Status};
use crate::nats::seen;
use crate::nats::withdraw::{Withdrawn, withdraw};
use crate::panic::{Panic, catch};
use crate::processor::Processor;
use crate::sync::now;

impl<P: Processor> Driver<'_, P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    /// A result has come.
    pub(crate) fn settle(&mut self, number: u64, answer: Answer) {
        if !self.flights.contains_key(&number) {
            // It was known already: it has come twice, or was looked up as well as heard.
            return;
        }
        match answer.status {
            Status::Output => {
                // The output's own code.
                let read = catch(|| read_output(self.line, &answer));
                self.end(number, read.unwrap_or_else(Err));
            }
            Status::Panicked => self.end(number, Err(answer.panic())),
            Status::Dead => self.end_with(number, |job| job.poison(answer.starts)),
            Status::Aborted => self.aborted(number),
            Status::Started => {}
        }
    }

    /// It was given up before it was begun. Where somebody here wants it, it is submitted anew.
    fn aborted(&mut self, number: u64) {
        if self.is_unwanted(number) {
            return self.end_with(number, Job::abort);
        }
        if let Some(mut flight) = self.flights.remove(&number) {
            // Under another number, which nobody has joined: on this one's subject there is a result.
            flight.joiners = 0;
            let number = self.line.next;
            self.line.next += 1;
            self.flights.insert(number, flight);
            self.submit(number);
        }
    }

    fn end_with(&mut self, number: u64, end: impl FnOnce(Job<P::Request, P::Output>)) {
        if let Some(flight) = self.flights.remove(&number) {
            self.line.answered += 1;
            self.line.ended.insert(number);
            end(flight.job);
        }
    }

    /// A task has found something out.
    pub(crate) fn learn(&mut self, number: u64, learned: Learned) {
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        flight.task = None;
        flight.look_later(now());
        match learned {
            Learned::Looked(found) => self.found(number, found),
            Learned::Joined(Some(answer)) => {
                if let Stage::Joined { submission } = &flight.stage {
                    seen::join(submission);
                }
                self.settle(number, answer);
            }
            Learned::Joined(None) => self.submit(number),
            Learned::Withdrawn(Withdrawn::Removed) => {
                // Who waits for it, too, is not to wait in vain.
                let answer = Answer::new(Status::Aborted, Bytes::new());
                let headers = answer.headers(0);
                let subject = self.line.link.names.result(&self.line.name(number));
                let outbox = &mut self.line.outbox;
                outbox.push(subject, None, Some(headers), answer.payload);
                self.end_with(number, Job::abort);
            }
            Learned::Withdrawn(Withdrawn::Delivered) => self.tell_workers(number),
            Learned::Withdrawn(Withdrawn::Unknown) => flight.look_soon(now()),
        }
    }

    fn found(&mut self, number: u64, found: Found) {
        let is_unwanted = self.is_unwanted(number);
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        match found {
            Found::Answer(answer) => self.settle(number, answer),
            Found::Waits { sequence } => {
                flight.stage = Stage::Queued { sequence };
                self.look_whether_wanted(number);
            }
            Found::Gone | Found::Other { .. } | Found::Collides if is_unwanted => {
                self.end_with(number, Job::abort);
            }
            Found::Other { submission } => self.join(number, submission),
            Found::Collides => {
                flight.subject = beside(&flight.subject).into();
                self.submit(number);
            }
            Found::Gone => self.submit(number),
            // It has waited for an answer long enough, and does so no longer every time.
            Found::Unknown => flight.look_soon(now()),
        }
    }

    /// Waits for somebody else's submission, and tells him.
    fn join(&mut self, number: u64, submission: String) {
        let is_unseen = !seen::knows(&submission);
        self.tell_owner(&submission, "+");
        self.wait_for(number, submission, is_unseen);
    }

    fn wait_for(&mut self, number: u64, submission: String, is_unseen: bool) {
        let link = self.line.link.clone();
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        let (subject, payload) = (flight.subject.clone(), flight.payload.clone());
        let joining = join(link, submission.clone(), subject, payload, is_unseen);
        let task = async move { (number, Learned::Joined(joining.await)) };
        flight.task = Some(Task(self.tasks.spawn(task)));
        flight.stage = Stage::Joined { submission };
    }

    fn tell_owner(&mut self, submission: &str, what: &str) {
        if let Some((owner, number)) = submission.split_once('.') {
            let subject = self.line.link.names.joins(owner);
            let payload = format!("{what}{number}").into();
            self.line.outbox.push(subject, None, None, payload);
        }
    }

    /// Somebody elsewhere waits for a submission of this connection's, or does so no more.
    pub(crate) fn joined(&mut self, message: &Message) {
        let Ok(text) = std::str::from_utf8(&message.payload) else {
            return;
        };
        let (joins, number) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(number), _) => (true, number.parse()),
            (_, Some(number)) => (false, number.parse()),
            _ => return,
        };
        let Ok(number) = number else { return };
        if let Some(flight) = self.flights.get_mut(&number) {
            flight.joiners = match joins {
                true => flight.joiners.saturating_add(1),
                false => flight.joiners.saturating_sub(1),
            };
            self.look_whether_wanted(number);
        }
    }

    /// Finds out what has become of a request. `is_heard`: its result was heard, and what is stored may be another one's, for
    /// the server delivers what it refuses to store, too.
    pub(crate) fn look(&mut self, number: u64, is_heard: bool) {
        let name = self.line.name(number);
        let link = self.line.link.clone();
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        let (subject, payload) = (flight.subject.clone(), flight.payload.clone());
        let task = async move {
            let found = match is_heard {
                true => look_for_answer(&link, &name, &subject, &payload).await,
                false => look(&link, &name, &subject, &payload).await,
            };
            (number, Learned::Looked(found))
        };
        flight.task = Some(Task(self.tasks.spawn(task)));
    }

    /// It is time to look after a request.
    pub(crate) fn look_when_due(&mut self, number: u64) {
        match self.flights.get(&number).map(|flight| &flight.stage) {
            Some(Stage::Held) => self.submit(number),
            Some(Stage::Sent | Stage::Queued { .. }) => self.look(number, false),
            // Its task looks by itself, and is about to tell.
            Some(Stage::Joined { .. }) | None => {}
        }
    }

    /// After the connection was broken: what was on its way may be lost. Not all at a time.
    pub(crate) fn look_at_all(&mut self) {
        let time = now();
        let mut joined = Vec::new();
        for (number, flight) in &mut self.flights {
            flight.is_doubtful = true;
            flight.look_soon(time);
            if let Stage::Joined { submission } = &flight.stage {
                joined.push((*number, submission.clone()));
            }
        }
        // They look for themselves: at once, now.
        for (number, submission) in joined {
            self.wait_for(number, submission, true);
        }
    }

    /// The server does not allow something. Where that is a request, its caller hears of it, for it never will be.
    pub(crate) fn refused(&mut self, said: &str) {
        let is_about = |subject: &str| said.contains(&format!("\"{subject}\""));
        let flights = self.flights.iter();
        let refused: Vec<u64> = flights
            .filter(|(_, flight)| flight.stage == Stage::Sent && is_about(&flight.subject))
            .map(|(number, _)| *number)
            .collect();
        for number in refused {
            let message = format!("the server does not allow to queue the request: {said}");
            self.end(number, Err(Panic::new(message, None)));
        }
    }

    fn is_unwanted(&self, number: u64) -> bool {
        let flight = self.flights.get(&number);
        flight.is_some_and(|flight| flight.job.context().is_cancelled())
    }

    /// Looks for those that nobody wants any more.
    pub(crate) fn look_for_unwanted(&mut self) {
        let flights = self.flights.iter();
        let unwanted: Vec<u64> = flights
            .filter(|(_, flight)| !flight.is_unwanted && flight.job.context().is_cancelled())
            .map(|(number, _)| *number)
            .collect();
        for number in unwanted {
            if let Some(flight) = self.flights.get_mut(&number) {
                flight.is_unwanted = true;
            }
            self.look_whether_wanted(number);
        }
    }

    /// Takes a request back that nobody wants, if that can be done now.
    pub(crate) fn look_whether_wanted(&mut self, number: u64) {
        if !self.is_unwanted(number) {
            return;
        }
        let link = self.line.link.clone();
        let Some(flight) = self.flights.get_mut(&number) else {
            return;
        };
        match flight.stage.clone() {
            // What becomes of it is about to be known.
            Stage::Sent => {}
            Stage::Held => self.end_with(number, Job::abort),
            Stage::Joined { submission } => {
                self.tell_owner(&submission, "-");
                self.end_with(number, Job::abort);
            }
            // Others want it.
            Stage::Queued { .. } if flight.joiners > 0 => {}
            Stage::Queued { sequence } => {
                let task = async move {
                    let withdrawn = withdraw(&link, sequence).await;
                    (number, Learned::Withdrawn(withdrawn))
                };
                flight.task = Some(Task(self.tasks.spawn(task)));
            }
        }
    }

    fn tell_workers(&mut self, number: u64) {
        let payload = self.line.name(number).into();
        let subject = self.line.link.names.aborts();
        self.line.outbox.push(subject, None, None, payload);
    }

    /// Drops what is left, and tells the workers that nobody wants it.
    pub(crate) fn let_go(&mut self) {
        let mut left = Vec::new();
        for (number, flight) in self.flights.drain() {
            if flight.joiners == 0 {
                left.push((number, flight.stage.clone()));
            }
        }
        for (number, stage) in left {
            match stage {
                Stage::Joined { submission } => self.tell_owner(&submission, "-"),
                Stage::Held => {}
                Stage::Sent | Stage::Queued { .. } => self.tell_workers(number),
            }
        }
    }
}
