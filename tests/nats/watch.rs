//! What goes over the wire, and what is stored, as somebody sees it who is neither caller nor worker.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::runtime::Runtime;

/// What is not seen by then is not to be seen any more.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Watch {
    runtime: Runtime,
    client: Client,
    subscriber: Subscriber,
}

impl Watch {
    /// Watches what is published on some subjects from now on.
    pub(crate) fn start(url: &str, subjects: &str) -> Self {
        let watch = Self::start_as(ConnectOptions::new(), url, subjects);
        watch.catch_up();
        watch
    }

    /// The same as somebody, and soon.
    pub(crate) fn start_as(options: ConnectOptions, url: &str, subjects: &str) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let (client, subscriber) = runtime.block_on(async {
            let client = options.connect(url).await.unwrap();
            let subscriber = client.subscribe(subjects.to_owned()).await.unwrap();
            client.flush().await.unwrap();
            (client, subscriber)
        });
        Self {
            runtime,
            client,
            subscriber,
        }
    }

    /// Waits until the server has heard everything so far: it answers in turn.
    pub(crate) fn catch_up(&self) {
        self.ask("$JS.API.INFO", &[], "");
    }

    /// Waits for a message of which this is true.
    pub(crate) fn wait_for(&mut self, is_it: impl Fn(&Message) -> bool) -> Message {
        let Self {
            runtime,
            subscriber,
            ..
        } = self;
        runtime.block_on(async {
            let heard = async {
                loop {
                    let message = subscriber.next().await.unwrap();
                    if is_it(&message) {
                        return message;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, heard).await.unwrap()
        })
    }

    /// Publishes something that is answered on a subject which is watched.
    pub(crate) fn tell(&self, subject: &str, reply: String, payload: &'static str) {
        let subject = subject.to_owned();
        let told = self
            .client
            .publish_with_reply(subject, reply, payload.into());
        self.runtime.block_on(told).unwrap();
    }

    /// Publishes something, and gives what is answered.
    pub(crate) fn ask(
        &self,
        subject: &str,
        heads: &[(&str, &str)],
        payload: impl Into<Bytes>,
    ) -> Message {
        let mut headers = HeaderMap::new();
        for (name, value) in heads {
            headers.insert(*name, *value);
        }
        let (subject, payload) = (subject.to_owned(), payload.into());
        self.runtime.block_on(async {
            let asked = self.client.request_with_headers(subject, headers, payload);
            asked.await.unwrap()
        })
    }

    /// The last message on a subject that a stream has.
    pub(crate) fn stored(&self, stream: &str, subject: &str) -> (u64, HeaderMap, Vec<u8>) {
        self.runtime.block_on(async {
            let context = jetstream::new(self.client.clone());
            let stream = context.get_stream_no_info(stream).await.unwrap();
            let message = stream.get_last_raw_message_by_subject(subject).await;
            let message = message.unwrap();
            (message.sequence, message.headers, message.payload.to_vec())
        })
    }
}

/// What is in the head of a message under this name.
pub(crate) fn header<'a>(headers: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    Some(headers?.get(name)?.as_str())
}
