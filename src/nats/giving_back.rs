//! What a feeder gives back: because it stops, or because others are idle while it waits here.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::nats::api::ask;
use crate::nats::feeder::{Feeder, Learned};
use crate::nats::held::{Stage, Then};
use crate::nats::message::{Answer, Status};
use crate::nats::queue::WORKERS;
use crate::processor::Processor;
use crate::promise::Promise;
use crate::state::State;

/// What has waited here for longer may be begun elsewhere, if somebody is idle there.
const PATIENCE: Duration = Duration::from_millis(50);

impl<P: Processor> Feeder<P>
where
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    /// Gives a request back that was not begun here.
    pub(crate) fn give_back(&mut self, number: u64) {
        if let Some(held) = self.held.get(&number) {
            let starts = held.start - 1;
            self.give_back_after(number, starts, Then::GiveBack);
        }
    }

    /// Writes down how often it was begun, and gives it back then.
    pub(crate) fn give_back_after(&mut self, number: u64, starts: u32, then: Then) {
        if let Some(held) = self.held.get(&number) {
            let answer = Answer {
                starts,
                ..Answer::new(Status::Started, held.why.clone())
            };
            self.begin_storing(number, answer, then);
        }
    }

    /// Gives back everything that was not begun.
    pub(crate) fn give_back_all(&mut self) {
        self.ready.clear();
        self.suspects.clear();
        self.alone_since = None;
        let numbers: Vec<u64> = self.held.keys().copied().collect();
        numbers
            .into_iter()
            .for_each(|number| self.try_to_give_back(number));
    }

    fn try_to_give_back(&mut self, number: u64) {
        let Some(held) = self.held.get_mut(&number) else {
            return;
        };
        match &mut held.stage {
            Stage::Fed(promise) => {
                // Where that succeeds, its callback says so. What runs is not told anything.
                let _ = promise.clone().take_back();
            }
            Stage::Ready => self.give_back(number),
            Stage::Looking => self.let_go(number, b"-NAK"),
            Stage::Storing(storing) if storing.then == Then::Feed => self.give_back(number),
            Stage::Storing(_) => {}
        }
    }

    /// Asks whether workers elsewhere are idle, where requests wait here.
    pub(crate) fn look_for_idlers(&mut self, time: Instant) {
        if self.asks_for_idlers || !self.suspects.is_empty() || self.leaving.is_some() {
            return;
        }
        let waits = |since: Instant| time.saturating_duration_since(since) > PATIENCE;
        if !self
            .held
            .values()
            .any(|held| waits(held.since) && is_queued(held.promise()))
        {
            return;
        }
        self.asks_for_idlers = true;
        let link = self.link.clone();
        self.tasks.spawn(async move {
            let subject = format!("CONSUMER.INFO.{}.{WORKERS}", link.names.requests());
            let info = ask(&link.context, subject, &serde_json::Value::Null).await;
            let idle = info
                .ok()
                .and_then(|info| info["num_waiting"].as_u64())
                .unwrap_or(0);
            if idle == 0 {
                tokio::time::sleep(PATIENCE).await;
            }
            Learned::Idlers(usize::try_from(idle).unwrap_or(0))
        });
    }

    /// Gives back as many as there are idle workers elsewhere, the oldest first.
    pub(crate) fn give_back_to(&mut self, idle: usize) {
        let held = self.held.iter();
        let mut waiting: Vec<u64> = held
            .filter(|(_, held)| is_queued(held.promise()))
            .map(|(number, _)| *number)
            .collect();
        waiting.sort_unstable();
        for number in waiting.into_iter().take(idle) {
            self.try_to_give_back(number);
        }
    }
}

fn is_queued<R, T>(promise: Option<&Promise<R, T>>) -> bool
where
    R: std::hash::Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    promise.is_some_and(|promise| promise.state() == State::Queued)
}
