//! A worker by hand, which does no more than it is told.

use std::time::Duration;

use async_nats::jetstream::{self, Message, consumer::PullConsumer};
use async_nats::{Client, HeaderMap};
use futures::StreamExt;
use tokio::runtime::{self, Runtime};

use crate::job::Output;
use crate::roles::Place;

pub(crate) struct Raw {
    runtime: Runtime,
    pub(crate) client: Client,
    name: String,
}

/// The bytes of an output.
pub(crate) fn output(output: &Output) -> Vec<u8> {
    postcard::to_stdvec(output).unwrap()
}

impl Raw {
    pub(crate) fn connect(place: &Place) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async_nats::connect(&place.url)).unwrap();
        let name = place.name.clone();
        Self {
            runtime,
            client,
            name,
        }
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The next request.
    pub(crate) async fn pull(&self) -> Message {
        let jetstream = jetstream::new(self.client.clone());
        let stream = format!("pw_{}_REQUESTS", self.name);
        let stream = jetstream.get_stream(stream).await.unwrap();
        let consumer: PullConsumer = stream.get_consumer("workers").await.unwrap();
        let batch = consumer
            .batch()
            .max_messages(1)
            .expires(Duration::from_secs(30));
        let mut messages = batch.messages().await.unwrap();
        messages.next().await.unwrap().unwrap()
    }

    /// Stores a result, unless there is one.
    pub(crate) async fn publish_result(&self, request: &Message, payload: Vec<u8>) -> bool {
        let mut parts = request.payload.split(|byte| *byte == b'\n');
        let submission = std::str::from_utf8(parts.next().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Pw-Status", "output");
        headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
        let subject = format!("pw.{}.r.{}", self.name, submission);
        let jetstream = jetstream::new(self.client.clone());
        let published = jetstream.publish_with_headers(subject, headers, payload.into());
        published.await.unwrap().await.is_ok()
    }

    /// What is published on a subject of the queue's, from now on.
    pub(crate) fn hear(&self, subject: &str) -> Heard<'_> {
        self.hear_all(format!("pw.{}.{subject}", self.name))
    }

    /// What anybody asks of JetStream, from now on.
    pub(crate) fn hear_api(&self, subject: &str) -> Heard<'_> {
        self.hear_all(format!("$JS.API.{subject}"))
    }

    fn hear_all(&self, subject: String) -> Heard<'_> {
        let subscriber = self.block_on(async {
            let subscriber = self.client.subscribe(subject).await.unwrap();
            self.client.flush().await.unwrap();
            subscriber
        });
        Heard(self, subscriber)
    }
}

/// What is published.
pub(crate) struct Heard<'a>(&'a Raw, async_nats::Subscriber);

impl Heard<'_> {
    /// Waits for the next message, and gives what it says.
    pub(crate) fn next(&mut self) -> String {
        let message = self.0.runtime.block_on(self.1.next()).unwrap();
        String::from_utf8(message.payload.to_vec()).unwrap()
    }
}
