use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, Message};
use async_nats::{Client, Subject};
use futures_util::StreamExt;

use super::slots::Slots;
use super::{CONSUMER, JOBS, check_stored, connect, number_of, output_subject, runtime, u64_at};
use crate::load::{Error, process};
use crate::workers;

/// Fetched at a time; more does not make it faster, and less has others wait less where jobs are long.
const BATCH: usize = 256;
/// Outputs are held back for at most so long while there are more requests.
const PATIENCE: Duration = Duration::from_micros(200);

/// Serves until the process ends.
pub fn work(address: &str, job: Duration) -> Result<(), Error> {
    workers::end_with_parent();
    runtime()?.block_on(serve(address, job))
}

async fn serve(address: &str, job: Duration) -> Result<(), Error> {
    let client = connect(address).await?;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(format!("{inbox}.*")).await?;
    let queue = jetstream::new(client.clone()).get_stream(JOBS).await?;
    let consumer: PullConsumer = queue.get_consumer(CONSUMER).await?;
    let builder = consumer.stream().max_messages_per_batch(BATCH);
    let mut requests = builder.messages().await?;
    let mut outbox = Outbox {
        client,
        inbox,
        unstored: Slots::new(),
    };
    workers::say_ready()?;
    let mut yielded = Instant::now();
    loop {
        tokio::select! {
            biased;
            Some(answer) = answers.next() => {
                check_stored(&answer)?;
                outbox.stored(number_of(&answer)?).await?;
            }
            Some(request) = requests.next() => {
                outbox.answer(request?, job).await?;
                // The client writes and reads when this task does not run.
                if yielded.elapsed() > PATIENCE {
                    tokio::task::yield_now().await;
                    yielded = Instant::now();
                }
            }
            else => return Err("the connection to the server has ended".into()),
        }
    }
}

struct Outbox {
    client: Client,
    inbox: String,
    /// Where requests are acknowledged whose outputs are on their way to be stored.
    unstored: Slots<Subject>,
}

impl Outbox {
    async fn answer(&mut self, request: Message, job: Duration) -> Result<(), Error> {
        let payload = &request.payload;
        let (number, caller) = (u64_at(payload, 0)?, u64_at(payload, 8)?);
        let output = process(number, job).to_le_bytes().to_vec();
        let acknowledge = request.message.reply.ok_or("a request has no reply")?;
        let place = self.unstored.put(acknowledge);
        let reply = format!("{}.{place}", self.inbox);
        let subject = output_subject(caller, number);
        let sent = self
            .client
            .publish_with_reply(subject, reply, output.into());
        Ok(sent.await?)
    }

    /// An output is safe: its request may go.
    async fn stored(&mut self, place: usize) -> Result<(), Error> {
        if let Some(acknowledge) = self.unstored.take(place) {
            self.client.publish(acknowledge, "+ACK".into()).await?;
        }
        Ok(())
    }
}
