//! The least that the protocol can cost: what one would write by hand over the same client, with the same guarantees.
//!
//! A request is stored before its caller goes on, in a work queue with one subject for each key. Its output is stored
//! before the request is acknowledged, so a worker's death loses nothing. There is no sharing, no abort, nobody who looks
//! again for an outcome whose message was lost, and there are no statistics.

mod caller;
mod slots;
mod worker;

use std::num::ParseIntError;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Client, Message};
use tokio::runtime::{Builder, Runtime};

use crate::case::Contender;
use crate::cpu::Meter;
use crate::load::{Error, Figures, Load};
use crate::nats_server::NatsServer;
use crate::workers::Workers;

pub use worker::work;

/// Told to a worker, as the first argument.
pub const WORKER: &str = "floor-worker";

const JOBS: &str = "JOBS";
const CONSUMER: &str = "W";

pub fn contender(server: &Path) -> Contender {
    let server = server.to_owned();
    Contender {
        name: "floor",
        run: Box::new(move |load| run(&server, load)),
        fewer: 1,
        jobs: true,
    }
}

fn run(server: &Path, load: &Load) -> Result<Figures, Error> {
    let server = NatsServer::start(server)?;
    let runtime = runtime()?;
    runtime.block_on(set_up(&server.address))?;
    let micros = load.job.as_micros().to_string();
    let arguments = [WORKER.to_owned(), server.address.clone(), micros];
    let workers = Workers::start_own(load.workers, &arguments)?;
    let meter = Meter {
        server: server.id(),
        caller: std::process::id(),
        workers: workers.ids(),
    };
    runtime.block_on(caller::call(&server.address, load, &meter))
}

/// One thread: what the client's task has read is taken by ours without waking anybody, and what ours has sent is
/// written by one call to the system.
fn runtime() -> Result<Runtime, Error> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// A queue, who may take from it, and where outputs are kept.
async fn set_up(address: &str) -> Result<(), Error> {
    let jetstream = jetstream::new(async_nats::connect(address).await?);
    let jobs = stream::Config {
        name: JOBS.to_owned(),
        subjects: vec!["floor.q.*".to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        discard: stream::DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: 1,
        max_messages: 1_000_000,
        ..stream::Config::default()
    };
    let takers = consumer::pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: consumer::AckPolicy::Explicit,
        ack_wait: Duration::from_secs(5),
        max_deliver: -1,
        max_ack_pending: 20_000,
        max_waiting: 512,
        ..consumer::pull::Config::default()
    };
    let outputs = stream::Config {
        name: "RES".to_owned(),
        subjects: vec!["floor.r.*.*".to_owned()],
        max_messages_per_subject: 1,
        max_messages: 1_000_000,
        max_bytes: 1 << 30,
        max_age: Duration::from_secs(600),
        duplicate_window: Duration::from_secs(1),
        ..stream::Config::default()
    };
    let jobs = jetstream.create_stream(jobs).await?;
    jobs.create_consumer(takers).await?;
    jetstream.create_stream(outputs).await?;
    Ok(())
}

/// Where a request is queued: one place for each.
fn request_subject(request: u64) -> String {
    format!("floor.q.{request:x}")
}

/// Where its output goes. `*` stands for all that this caller has asked for.
fn output_subject(caller: u64, request: impl std::fmt::Display) -> String {
    format!("floor.r.{caller:x}.{request}")
}

/// The number that a subject ends with.
fn number_of<N>(message: &Message) -> Result<N, Error>
where
    N: FromStr<Err = ParseIntError>,
{
    let subject = message.subject.as_str();
    let last = subject.rsplit('.').next().unwrap_or_default();
    Ok(last.parse()?)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Error> {
    let rest = bytes.get(at..).and_then(|rest| rest.first_chunk());
    let number = rest.ok_or("a message is too short")?;
    Ok(u64::from_le_bytes(*number))
}

/// An error unless the server says that it has stored a message. What it says is JSON, and this is all of interest.
fn check_stored(answer: &Message) -> Result<(), Error> {
    let error = b"\"error\"";
    let mut parts = answer.payload.windows(error.len());
    if answer.status.is_some() || parts.any(|part| part == error) {
        return Err(format!("the server has not stored a message: {answer:?}").into());
    }
    Ok(())
}

async fn connect(address: &str) -> Result<Client, Error> {
    Ok(async_nats::connect(address).await?)
}
