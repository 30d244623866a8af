//! Asking the queue for requests.

use std::time::{Duration, Instant};

use async_nats::Message;
use serde_json::json;

use crate::nats::link::{Link, Outbox};
use crate::nats::queue::WORKERS;

/// A question is answered for so long.
const EXPIRES: Duration = Duration::from_secs(30);
/// And how often the server says that it still stands, where there is nothing else.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Where it says nothing for so long, it has forgotten it.
const SILENCE: Duration = Duration::from_secs(5);
/// After a refusal it is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// How many requests were asked for, in questions that stand.
#[derive(Debug)]
pub(crate) struct Pull {
    inbox: String,
    /// The last question.
    number: u64,
    /// The first one that may stand.
    first: u64,
    /// How many are still to come.
    open: usize,
    /// Whether all came that were asked for.
    is_satisfied: bool,
    heard: Instant,
    /// No question before.
    not_before: Instant,
}

impl Pull {
    /// Answers come to the inbox, with the number of the question behind it.
    pub(crate) fn new(inbox: String, now: Instant) -> Self {
        Self {
            inbox,
            number: 0,
            first: 1,
            open: 0,
            is_satisfied: false,
            heard: now,
            not_before: now,
        }
    }

    /// How many requests are still to come.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Whether all came that were asked for last. Says so once.
    pub(crate) fn take_satisfied(&mut self) -> bool {
        std::mem::take(&mut self.is_satisfied)
    }

    /// Asks for so many requests more.
    pub(crate) fn ask(&mut self, link: &Link, outbox: &mut Outbox, many: usize, now: Instant) {
        if many == 0 || now < self.not_before {
            return;
        }
        self.number += 1;
        self.open += many;
        self.heard = now;
        let stream = link.names.requests();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{WORKERS}");
        let reply = format!("{}.{}", self.inbox, self.number);
        // The numbers are small enough.
        let question = json!({
            "batch": many,
            "expires": EXPIRES.as_nanos() as u64,
            "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
        });
        outbox.push(
            subject,
            Some(reply.into()),
            None,
            question.to_string().into(),
        );
    }

    /// Takes note of an answer. Gives whether it is a request.
    pub(crate) fn hear(&mut self, message: &Message, now: Instant) -> bool {
        let Some(status) = message.status.map(|status| status.as_u16()) else {
            // It comes under its own subject: whichever question it answers.
            self.heard = now;
            self.is_satisfied = self.open == 1;
            self.open = self.open.saturating_sub(1);
            return true;
        };
        let number = message.subject.rsplit('.').next();
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        if number.is_none_or(|number| number < self.first) {
            return false;
        }
        self.heard = now;
        if status != 100 {
            self.open = self.open.saturating_sub(unanswered(message));
            // 404 and 408: it was waited for in vain. Everything else is trouble, which may pass.
            if ![404, 408].contains(&status) {
                self.not_before = now + PAUSE;
            }
        }
        false
    }

    /// The server has nothing that stands: the connection was broken.
    pub(crate) fn forget(&mut self) {
        self.open = 0;
        self.first = self.number + 1;
    }

    /// Forgets a question that the server has forgotten.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.open > 0 && now.saturating_duration_since(self.heard) > SILENCE {
            self.forget();
        }
    }
}

/// How many of the requests that a question was for will not come. Where the server does not say it, all of them.
fn unanswered(message: &Message) -> usize {
    let headers = message.headers.as_ref();
    let pending = headers.and_then(|headers| headers.get("Nats-Pending-Messages"));
    let pending = pending.and_then(|pending| pending.as_str().parse().ok());
    pending.unwrap_or(usize::MAX)
}
