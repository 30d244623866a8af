//! What a feeder does with each request that it holds, from its delivery to its end.

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::QueueError;
use crate::handle::PromiseOf;
use crate::nats::codec::Codec;
use crate::nats::feeder::{Feeder, Learned};
use crate::nats::finished::Finished;
use crate::nats::held::{Stage, Storing, Then};
use crate::nats::look;
use crate::nats::message::{Answer, SUBMISSION, Status, Stored};
use crate::nats::pace::Pace;
use crate::nats::submission::Name;
use crate::panic::catch;
use crate::processor::Processor;
use crate::promise::Promise;
use crate::room::Patience;
use crate::state::Abort;
use crate::sync::now;
use crate::terms::Terms;

/// Others may have it after a second.
const LATER: &[u8] = br#"-NAK {"delay": 1000000000}"#;
/// Where the server does not tell what is stored, it is asked again.
const NEXT_LOOK: Duration = Duration::from_millis(200);

/// Where the server does not say for so long that it has stored something, it is sent again.
const SILENCE: Duration = Duration::from_secs(2);
/// Where it says that it has not, it is sent again after so long at first,
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// and after so long in the end.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl<P: Processor> Feeder<P>
where
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    /// A request was delivered.
    pub(crate) fn accept(&mut self, number: u64) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        if self.leaving.is_some() {
            // What is delivered for the first time would be taken for begun.
            return match held.delivery {
                1 => self.give_back(number),
                _ => self.let_go(number, b"-NAK"),
            };
        }
        if self.recent.contains(held.submission.as_str()) {
            return self.answer(number, Answer::new(Status::Aborted, Bytes::new()));
        }
        if held.delivery > 1 {
            held.stage = Stage::Looking;
            return self.look(number);
        }
        self.ready.push_back(number);
    }

    fn look(&mut self, number: u64) {
        let Some(held) = self.held.get(&number) else {
            return;
        };
        let (link, submission) = (self.link.clone(), held.submission.clone());
        self.tasks.spawn(async move {
            let answer = look::answer(&link, submission.as_str()).await;
            Learned::Answer(number, answer)
        });
    }

    pub(crate) fn learn(&mut self, learned: Learned) {
        match learned {
            Learned::Answer(number, Ok(stored)) => self.looked(number, stored),
            // The server does not tell now: once more, a little later, when nobody else is answered either.
            Learned::Answer(number, Err(look::Unknown)) => {
                let Some(held) = self.held.get(&number) else {
                    return;
                };
                let (link, submission) = (self.link.clone(), held.submission.clone());
                self.tasks.spawn(async move {
                    tokio::time::sleep(NEXT_LOOK).await;
                    let answer = look::answer(&link, submission.as_str()).await;
                    Learned::Answer(number, answer)
                });
            }
            Learned::Idlers(idle) => {
                self.asks_for_idlers = false;
                self.give_back_to(idle);
            }
            Learned::Swept => {}
        }
    }

    /// It is known what others have stored for a request.
    fn looked(&mut self, number: u64, stored: Option<(u64, Answer)>) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        let (after, answer) =
            stored.map_or((0, None), |(sequence, answer)| (sequence, Some(answer)));
        if answer.as_ref().is_some_and(Answer::is_final) {
            // Somebody has done it, and could not take it out of the queue.
            return self.let_go(number, b"+ACK");
        }
        held.after = after;
        if let Stage::Storing(storing) = &mut held.stage {
            let is_behind = answer.is_some_and(|answer| answer.starts > held.start);
            if is_behind && storing.then != Then::Acknowledge {
                // Another worker has it, and has begun it since: what is known of its starts here is old.
                self.forget(number);
                return;
            }
            storing.due = now();
            return self.store(number);
        }
        // Every start is written down before it, but for that at the first delivery, which may have been one.
        let starts = answer.as_ref().map_or(1, |answer| answer.starts);
        held.why = answer.map(|answer| answer.payload).unwrap_or_default();
        if starts >= self.most_starts {
            held.start = starts;
            return self.bury(number);
        }
        held.start = starts + 1;
        if held.start == self.most_starts {
            held.stage = Stage::Ready;
            return self.suspects.push_back(number);
        }
        self.note_start(number);
    }

    /// Writes down that it is about to be begun once more, and hands it to the service then.
    fn note_start(&mut self, number: u64) {
        if let Some(held) = self.held.get(&number) {
            let answer = Answer {
                starts: held.start,
                ..Answer::new(Status::Started, held.why.clone())
            };
            self.begin_storing(number, answer, Then::Feed);
        }
    }

    /// It was begun as often as it may be, and is set aside.
    fn bury(&mut self, number: u64) {
        if let Some(held) = self.held.get(&number) {
            let answer = Answer {
                starts: held.start,
                ..Answer::new(Status::Dead, held.payload.clone())
            };
            self.begin_storing(number, answer, Then::TellDead);
        }
    }

    /// Its result is known.
    fn answer(&mut self, number: u64, answer: Answer) {
        self.begin_storing(number, answer, Then::Acknowledge);
    }

    pub(crate) fn begin_storing(&mut self, number: u64, answer: Answer, then: Then) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        let storing = Storing {
            answer,
            then,
            due: now(),
            pace: Pace::between(SILENCE, 2 * SILENCE),
            refused: Pace::between(SHORTEST_PAUSE, LONGEST_PAUSE),
        };
        if let Stage::Fed(_) = std::mem::replace(&mut held.stage, Stage::Storing(storing)) {
            self.fed -= 1;
        }
        self.store(number);
    }

    /// Sends what is to be stored.
    fn store(&mut self, number: u64) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        let Stage::Storing(storing) = &mut held.stage else {
            return;
        };
        storing.due = now() + storing.pace.next();
        let reply = format!("{}.a.{}", self.inbox, self.asked.put(number));
        let names = &self.link.names;
        let (subject, headers, payload) = match storing.then {
            Then::TellDead => {
                let mut headers = HeaderMap::new();
                headers.insert(SUBMISSION, held.submission.as_str());
                headers.insert("Pw-Starts", held.start.to_string());
                let key = held.subject.rsplit('.').next().unwrap_or_default();
                (names.dead_letter(key), headers, held.payload.clone())
            }
            _ => {
                let headers = storing.answer.headers(held.after);
                let payload = storing.answer.payload.clone();
                (names.result(held.submission.as_str()), headers, payload)
            }
        };
        self.outbox
            .push(subject, Some(reply.into()), Some(headers), payload);
    }

    /// The server says what has become of a message.
    pub(crate) fn stored(&mut self, number: u64, stored: Stored) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        let Stage::Storing(storing) = &mut held.stage else {
            return;
        };
        match (stored, storing.then) {
            (Stored::At(_), Then::TellDead) => {
                let answer = Answer {
                    starts: held.start,
                    ..Answer::new(Status::Dead, held.why.clone())
                };
                self.answer(number, answer);
            }
            (Stored::At(_), Then::Acknowledge) => self.let_go(number, b"+ACK"),
            (Stored::At(_), Then::GiveBack) => self.let_go(number, b"-NAK"),
            (Stored::At(_), Then::GiveBackLater) => self.let_go(number, LATER),
            (Stored::At(sequence), Then::Feed) => {
                held.after = sequence;
                held.stage = Stage::Ready;
                self.ready.push_front(number);
            }
            // Somebody else has stored something, or this did, and the server's word was lost.
            (Stored::Overtaken, _) => self.look(number),
            // Nobody is there who could store it, as while a cluster elects somebody: that is over soon.
            (Stored::Taken | Stored::Full | Stored::Refused(_), _) => {
                storing.due = now() + storing.refused.next();
            }
        }
    }

    pub(crate) fn store_what_is_due(&mut self, time: Instant) {
        let is_due =
            |stage: &Stage<_, _>| matches!(stage, Stage::Storing(storing) if storing.due <= time);
        let held = self.held.iter();
        let due: Vec<u64> = held
            .filter(|(_, held)| is_due(&held.stage))
            .map(|(number, _)| *number)
            .collect();
        due.into_iter().for_each(|number| self.store(number));
    }

    /// After the connection was broken: what was on its way may be lost.
    pub(crate) fn store_all_again(&mut self) {
        for held in self.held.values_mut() {
            if let Stage::Storing(storing) = &mut held.stage {
                storing.due = now();
            }
        }
    }

    /// Hands to the service what is ready.
    pub(crate) fn feed(&mut self) {
        if let Some(number) = self.suspects.front().copied() {
            return self.feed_suspect(number);
        }
        while let Some(number) = self.ready.pop_front() {
            if !self.hand_over(number) {
                self.ready.push_front(number);
                return;
            }
        }
    }

    /// What may be about to end this process is begun when nothing else runs, and nothing else is begun beside it: each for a
    /// lease at most, for the others may take as long as they like, and so may this.
    fn feed_suspect(&mut self, number: u64) {
        let time = now();
        let since = *self.alone_since.get_or_insert(time);
        let is_late = time.saturating_duration_since(since) > self.lease;
        let stage = self.held.get(&number).map(|held| &held.stage);
        match stage {
            Some(Stage::Ready) if self.ready.contains(&number) => {
                self.ready.retain(|ready| *ready != number);
                self.alone_since = Some(time);
                self.hand_over(number);
            }
            Some(Stage::Ready) if is_late || !self.is_busy() => self.note_start(number),
            Some(Stage::Fed(_)) | None if is_late || stage.is_none() => self.end_of_suspicion(),
            _ => {}
        }
    }

    /// Whether anything runs, or has run and its result is not stored: then it would be lost with this process.
    fn is_busy(&self) -> bool {
        let is_busy = |stage: &Stage<_, _>| matches!(stage, Stage::Fed(_) | Stage::Storing(_));
        self.held.values().any(|held| is_busy(&held.stage))
    }

    fn end_of_suspicion(&mut self) {
        self.suspects.pop_front();
        self.alone_since = None;
    }

    /// Hands a request to the service. False: it has no room.
    fn hand_over(&mut self, number: u64) -> bool {
        let Some(held) = self
            .held
            .get_mut(&number)
            .filter(|held| matches!(held.stage, Stage::Ready))
        else {
            return true;
        };
        let request = match read_request::<P::Request>(self.codec, &held.payload) {
            Ok(request) => request,
            Err(answer) => {
                self.answer(number, answer);
                return true;
            }
        };
        let terms = Terms {
            attempts: held.start - 1,
            patience: Patience::None,
            ..Terms::UNSHARED
        };
        let promise = match self.handle.home.queue(request, terms) {
            Ok(ticketed) => Promise::new(ticketed),
            Err(QueueError::Stopped(_)) => {
                self.give_back(number);
                return true;
            }
            Err(_) => return false,
        };
        held.stage = Stage::Fed(promise.clone());
        self.fed += 1;
        self.tell_when_finished(number, &promise);
        true
    }

    fn tell_when_finished(&self, number: u64, promise: &PromiseOf<P>) {
        let (finishing, codec) = (self.finishing.clone(), self.codec);
        let longest = self.link.longest_payload();
        promise.on_settled(move |promise| {
            if let Some(outcome) = promise.try_result() {
                let finished = Finished::of(outcome, codec, longest);
                // A feeder that is gone has given its requests up.
                let _ = finishing.send((number, finished));
            }
        });
    }

    /// What the service had has ended.
    pub(crate) fn finish(&mut self, number: u64, finished: Finished) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        match finished {
            Finished::Answer(mut answer) => {
                answer.starts = held.start;
                answer.is_cancelled = held.is_cancelled;
                self.answer(number, answer);
            }
            Finished::Aborted => self.answer(number, Answer::new(Status::Aborted, Bytes::new())),
            Finished::TakenBack => self.give_back(number),
            Finished::Untouched => {
                let starts = held.start - 1;
                self.give_back_after(number, starts, Then::GiveBackLater);
            }
            Finished::Lost(why) => {
                held.why = why.into();
                let starts = held.start;
                self.give_back_after(number, starts, Then::GiveBack);
            }
        }
    }

    /// A caller wants a submission no more.
    pub(crate) fn abort(&mut self, message: &Message) {
        let Ok(name) = std::str::from_utf8(&message.payload) else {
            return;
        };
        let Some(number) = self.names.get(&Name::from(name)).copied() else {
            return self.recent.insert(name.to_owned());
        };
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        match &held.stage {
            Stage::Fed(promise) => {
                let aborted = promise.clone().abort();
                held.is_cancelled |= aborted == Abort::Running;
            }
            Stage::Ready | Stage::Looking => {
                self.answer(number, Answer::new(Status::Aborted, Bytes::new()));
            }
            Stage::Storing(_) => {}
        }
    }
}

/// The request that these bytes are, or what to answer to whoever waits for it.
fn read_request<R: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> Result<R, Answer> {
    // The request's own code.
    match catch(|| codec.read(bytes)) {
        Ok(Ok(request)) => Ok(request),
        Ok(Err(error)) => {
            let message = format!("the worker cannot read the request: {error}");
            Err(Answer::panicked(&message, None))
        }
        Err(panic) => Err(Answer::panicked(panic.message(), panic.location())),
    }
}
