//! A caller's connection to a queue.

use async_nats::{Subject, Subscriber};
use serde::Serialize;

use crate::current;
use crate::nats::codec::{Codec, key_of};
use crate::nats::connection::Connection;
use crate::nats::error::NatsError;
use crate::nats::link::{Events, Link, Outbox};
use crate::nats::queue::Queue;
use crate::nats::seen::{self, Ended};
use crate::nats::slots::Slots;
use crate::panic::Panic;
use crate::sync::thread;

/// A caller's connection, and what he hears through it.
pub(crate) struct Line {
    pub(crate) link: Link,
    pub(crate) events: Events,
    pub(crate) outbox: Outbox,
    pub(crate) codec: Codec,
    /// What submissions of this connection are called, with a number behind it.
    pub(crate) owner: String,
    /// Those that have ended.
    pub(crate) ended: Ended,
    /// Where acknowledgements come, with a place behind it.
    inbox: String,
    /// The numbers of the submissions whose acknowledgements are to come there.
    pub(crate) asked: Slots<u64>,
    pub(crate) acknowledgements: Subscriber,
    pub(crate) results: Subscriber,
    pub(crate) joins: Subscriber,
    /// The number of the next submission.
    pub(crate) next: u64,
    /// How many requests were answered.
    pub(crate) answered: u64,
}

impl Line {
    /// Connects, and listens.
    pub(crate) async fn open(connection: &Connection, queue: &Queue) -> Result<Self, NatsError> {
        let name = match current::worker() {
            Some((waiter, _)) => waiter.record.name.to_string(),
            None => thread::current().name().unwrap_or("caller").to_owned(),
        };
        let (link, mut events) = Link::connect(connection, queue, &name).await?;
        let inbox = link.client.new_inbox();
        // The last part of an inbox is unique.
        let owner = inbox.rsplit('.').next().unwrap_or_default().to_owned();
        let ended = seen::own(&owner);
        let results = link.names.result(&format!("{owner}.*"));
        let joins = link.names.joins(&owner);
        let acknowledgements = link.subscribe(format!("{inbox}.*")).await?;
        let results = link.subscribe(results).await?;
        let joins = link.subscribe(joins).await?;
        link.has_heard(&mut events).await?;
        Ok(Self {
            acknowledgements,
            results,
            joins,
            outbox: Outbox::new(link.client.clone()),
            codec: queue.codec,
            link,
            events,
            owner,
            ended,
            inbox,
            asked: Slots::new(),
            next: 1,
            answered: 0,
        })
    }

    /// What the submission with this number is called.
    pub(crate) fn name(&self, number: u64) -> String {
        format!("{}.{number}", self.owner)
    }

    /// Where the server answers to the submission with this number.
    pub(crate) fn reply_to(&mut self, number: u64) -> Subject {
        let place = self.asked.put(number);
        format!("{}.{place}", self.inbox).into()
    }

    /// The key and the bytes of a request.
    pub(crate) fn write<R: Serialize>(&self, request: &R) -> Result<(String, Vec<u8>), Panic> {
        let written = self.codec.write(request);
        let bytes = written.map_err(|error| {
            Panic::new(format!("the request could not be written: {error}"), None)
        })?;
        let longest = self.link.longest_payload();
        if bytes.len() > longest {
            let length = bytes.len();
            let message = format!(
                "the request takes {length} bytes, and the server takes no more than {longest}: give the processor a \
                 reference to the data, or raise `max_payload` in the server's configuration"
            );
            return Err(Panic::new(message, None));
        }
        Ok((key_of(&bytes), bytes))
    }
}
