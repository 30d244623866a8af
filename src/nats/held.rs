//! One request in the hands of a cluster's worker.

use std::time::Instant;

use async_nats::{Message, Subject};
use bytes::Bytes;

use crate::nats::message::Answer;
use crate::nats::pace::Pace;
use crate::nats::submission::{self, Name};
use crate::promise::Promise;

/// A request that was delivered, and neither acknowledged nor given back.
pub(crate) struct Held<R, T> {
    pub(crate) submission: Name,
    /// Where it was queued.
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
    /// Where it is acknowledged.
    pub(crate) receipt: Subject,
    /// How often it was delivered, this time included.
    pub(crate) delivery: u64,
    /// Which start this is.
    pub(crate) start: u32,
    /// The sequence of what is stored on the subject of its result; 0: nothing.
    pub(crate) after: u64,
    pub(crate) stage: Stage<R, T>,
    /// Whether its processor was told that nobody wants it.
    pub(crate) is_cancelled: bool,
    /// Why its worker was lost the last time.
    pub(crate) why: Bytes,
    pub(crate) since: Instant,
}

/// How far it has come.
pub(crate) enum Stage<R, T> {
    /// It was delivered before, and it is looked up what became of that.
    Looking,
    /// It waits to be handed to the service.
    Ready,
    /// The service has it.
    Fed(Promise<R, T>),
    /// Something is stored, and then?
    Storing(Storing),
}

/// A message that is to be stored, again and again until it is.
#[derive(Clone, Debug)]
pub(crate) struct Storing {
    pub(crate) answer: Answer,
    pub(crate) then: Then,
    pub(crate) due: Instant,
    /// How long to wait where nothing is said of it,
    pub(crate) pace: Pace,
    /// and how long where it is said that it could not be stored.
    pub(crate) refused: Pace,
}

/// What is done when a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The request is handed to the service: how often it was begun is known now.
    Feed,
    /// It is taken out of the queue: its result is known.
    Acknowledge,
    /// Others may have it.
    GiveBack,
    /// The same, but not at once: it is not known whether anybody can begin it.
    GiveBackLater,
    /// It was set aside, and whoever waits is to be told.
    TellDead,
}

/// What the head of a delivery tells: how often it was delivered.
fn delivery(receipt: &str) -> Option<u64> {
    // $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>... or, with the domain and the account before the stream,
    // $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>....
    let parts: Vec<&str> = receipt.split('.').collect();
    let place = match parts.len() {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    parts.get(place)?.parse().ok()
}

impl<R, T> Held<R, T> {
    /// What was delivered. `None`: it is no request, but something that somebody else put there.
    pub(crate) fn new(message: Message, now: Instant) -> Option<Self> {
        let receipt = message.reply?;
        let (submission, payload) = submission::read(&message.payload)?;
        Some(Self {
            delivery: delivery(&receipt)?,
            submission,
            subject: message.subject,
            payload,
            receipt,
            start: 1,
            after: 0,
            stage: Stage::Ready,
            is_cancelled: false,
            why: Bytes::new(),
            since: now,
        })
    }

    /// The promise, where the service has it.
    pub(crate) fn promise(&self) -> Option<&Promise<R, T>> {
        match &self.stage {
            Stage::Fed(promise) => Some(promise),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_counted_by_the_server() {
        assert_eq!(delivery("$JS.ACK.S.workers.2.10.20.1700000000.0"), Some(2));
        let long = "$JS.ACK.domain.account.S.workers.3.10.20.1700000000.0";
        assert_eq!(delivery(long), Some(3));
        assert_eq!(delivery(&format!("{long}.token")), Some(3));
        assert_eq!(delivery("_INBOX.it"), None);
    }
}
