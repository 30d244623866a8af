//! A connection to a queue, as callers and workers both have it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;

use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::message::OutboundMessage;
use async_nats::{Client, Event, HeaderMap, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::nats::api::{Refusal, ask_at_the_start};
use crate::nats::connection::Connection;
use crate::nats::error::NatsError;
use crate::nats::queue::{Names, Queue};
use crate::nats::streams;
use crate::sync::Arc;
use crate::sync::now;

/// What tasks of a connection share.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) context: jetstream::Context,
    pub(crate) names: Arc<Names>,
    /// How long an answer is waited for.
    pub(crate) patience: Duration,
}

/// What happens to a connection.
pub(crate) type Events = mpsc::UnboundedReceiver<Event>;

/// How long a look takes at most: what comes to a cluster while it elects somebody to answer it, it never answers, and then it is
/// looked again.
const ANSWER: Duration = Duration::from_secs(2);

impl Link {
    /// Connects, and has the queue's streams be there.
    pub(crate) async fn connect(
        connection: &Connection,
        queue: &Queue,
        name: &str,
    ) -> Result<(Self, Events), NatsError> {
        queue.check()?;
        let (sender, mut events) = mpsc::unbounded_channel();
        let client = connection.connect(name, sender).await?;
        let context = ContextBuilder::new()
            .timeout(connection.patience().min(ANSWER))
            .build(client.clone());
        streams::ensure(&client, &context, connection, queue, &mut events).await?;
        let link = Self {
            client,
            context,
            names: Arc::new(queue.names()),
            patience: connection.patience(),
        };
        Ok((link, events))
    }

    /// Subscribes; [`has_heard`](Self::has_heard) says whether the server allows it.
    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, NatsError> {
        let subscriber = self.client.subscribe(subject.clone()).await;
        subscriber.map_err(|error| NatsError::Refused {
            what: format!("a subscription to {subject}"),
            said: error.to_string(),
        })
    }

    /// Waits until the server has heard all that it was told at the start, and looks whether it allows it.
    pub(crate) async fn has_heard(&self, events: &mut Events) -> Result<(), NatsError> {
        let subject = format!("STREAM.INFO.{}", self.names.requests());
        let deadline = now() + self.patience;
        match ask_at_the_start(&self.context, events, &subject, &Value::Null, deadline).await {
            Err(Refusal::Denied(said)) => Err(NatsError::Refused {
                what: "a subscription".to_owned(),
                said,
            }),
            Err(Refusal::Silent) => Err(NatsError::Silent {
                what: subject,
                timeout: self.patience,
            }),
            // What else it may say passes: it has just answered the same.
            _ => Ok(()),
        }
    }

    /// The longest payload that a message may have, besides a head of the usual length.
    pub(crate) fn longest_payload(&self) -> usize {
        const HEAD: usize = 4096;
        self.client.max_payload().saturating_sub(HEAD)
    }
}

/// What is to be sent, in order. Whoever puts something in never waits: what the connection does not take, because it is broken
/// or busy, stays here.
#[derive(Debug)]
pub(crate) struct Outbox {
    client: Client,
    waiting: VecDeque<OutboundMessage>,
}

impl Outbox {
    pub(crate) fn new(client: Client) -> Self {
        let waiting = VecDeque::new();
        Self { client, waiting }
    }

    pub(crate) fn push(
        &mut self,
        subject: impl Into<Subject>,
        reply: Option<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) {
        self.waiting.push_back(OutboundMessage {
            subject: subject.into(),
            reply,
            payload,
            headers,
        });
    }

    /// Hands on what the connection takes now; the task is woken when it takes more.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.waiting.is_empty() {
            let mut client = Pin::new(&mut self.client);
            match client.as_mut().poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                // The connection is gone for good: so is whoever sends.
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
            if let Some(message) = self.waiting.pop_front() {
                // Lengths are looked at before, and subjects are our own.
                let sent = client.start_send(message);
                debug_assert!(sent.is_ok(), "it can be sent: {sent:?}");
            }
        }
        Poll::Ready(())
    }

    /// Sends everything, and waits until it is written to the socket; no longer than `patience`.
    pub(crate) async fn flush(&mut self, patience: Duration) {
        let flush = async {
            poll_fn(|cx| self.poll_send(cx)).await;
            let _ = self.client.flush().await;
        };
        // What does not get there is found out by who waits for it.
        let _ = tokio::time::timeout(patience, flush).await;
    }
}

/// The next message, if there is one.
pub(crate) fn heard(subscriber: &mut Subscriber, cx: &mut Context<'_>) -> Option<Message> {
    match Pin::new(subscriber).poll_next(cx) {
        Poll::Ready(message) => message,
        Poll::Pending => None,
    }
}

/// The number at the end of a message's subject.
pub(crate) fn number_of(message: &Message) -> Option<u64> {
    message.subject.rsplit('.').next()?.parse().ok()
}
