//! The streams that a queue is kept in: there, and as they are described.

use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::Context;
use serde_json::{Value, json};

use crate::nats::api::{Refusal, ask_at_the_start};
use crate::nats::connection::Connection;
use crate::nats::error::NatsError;
use crate::nats::link::Events;
use crate::nats::queue::{Names, Queue, WORKERS};
use crate::sync::now;

/// The version of the protocol.
pub(crate) const VERSION: u32 = 1;
/// From this version on, several copies of a queue stay the same.
const REPLICATED_SINCE: (i64, i64, i64) = (2, 12, 3);
/// How long requests that were set aside are kept.
const DEAD_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many of them.
const DEAD_MOST: u64 = 100_000;
/// And how many bytes of them, at most: the server keeps as much room free.
const DEAD_BYTES: u64 = 64 << 20;
/// How many requests workers may have at a time, all together.
const MOST_HELD: u64 = 20_000;
/// How many workers may wait at a time, all together.
const MOST_WAITING: u64 = 512;

/// Has the queue's streams and its consumer be there, and looks whether they are as described.
pub(crate) async fn ensure(
    client: &Client,
    context: &Context,
    connection: &Connection,
    queue: &Queue,
    events: &mut Events,
) -> Result<(), NatsError> {
    check_server(client, connection, queue)?;
    let names = queue.names();
    let mut asker = Asker {
        context,
        connection,
        events,
        deadline: now() + connection.patience(),
    };
    for (name, config) in [
        (names.requests(), requests(&names, queue)),
        (names.results(), results(&names, queue)),
        (names.dead(), dead(&names, queue)),
    ] {
        let info = format!("STREAM.INFO.{name}");
        let create = format!("STREAM.CREATE.{name}");
        asker
            .ensure(&name, &info, &create, &config, &config)
            .await?;
    }
    let stream = names.requests();
    let info = format!("CONSUMER.INFO.{stream}.{WORKERS}");
    let create = format!("CONSUMER.DURABLE.CREATE.{stream}.{WORKERS}");
    let config = consumer(queue);
    let body = json!({ "stream_name": stream, "config": config });
    asker.ensure(&stream, &info, &create, &body, &config).await
}

/// Looks whether the server can keep such a queue.
fn check_server(client: &Client, connection: &Connection, queue: &Queue) -> Result<(), NatsError> {
    let server = client.server_info();
    if !server.jetstream {
        return Err(no_jetstream(connection));
    }
    let (major, minor, patch) = REPLICATED_SINCE;
    if queue.replicas > 1 && !client.is_server_compatible(major, minor, patch) {
        return Err(NatsError::TooOld {
            replicas: queue.replicas,
            version: server.version,
        });
    }
    Ok(())
}

fn no_jetstream(connection: &Connection) -> NatsError {
    NatsError::NoJetStream {
        servers: connection.shown(),
    }
}

struct Asker<'a> {
    context: &'a Context,
    connection: &'a Connection,
    events: &'a mut Events,
    deadline: Instant,
}

impl Asker<'_> {
    /// Has something be there that is as `config` says.
    async fn ensure(
        &mut self,
        name: &str,
        info: &str,
        create: &str,
        body: &Value,
        config: &Value,
    ) -> Result<(), NatsError> {
        let (asked, found) = match self.ask(info, &Value::Null).await {
            Err(refusal) if refusal.is_missing() => (create, self.ask(create, body).await),
            found => (info, found),
        };
        match found {
            Ok(found) => compare(name, config, &found["config"]),
            Err(refusal) if refusal.is_disabled() => Err(no_jetstream(self.connection)),
            Err(Refusal::Silent) => Err(NatsError::Silent {
                what: asked.to_owned(),
                timeout: self.connection.patience(),
            }),
            Err(refusal) => Err(NatsError::Refused {
                what: asked.to_owned(),
                said: refusal.to_string(),
            }),
        }
    }

    async fn ask(&mut self, subject: &str, body: &Value) -> Result<Value, Refusal> {
        ask_at_the_start(self.context, self.events, subject, body, self.deadline).await
    }
}

/// Looks whether everything that somebody may have described otherwise is as it is described here.
fn compare(stream: &str, ours: &Value, theirs: &Value) -> Result<(), NatsError> {
    for what in [
        "description",
        "retention",
        "discard",
        "discard_new_per_subject",
        "max_msgs_per_subject",
        "max_msgs",
        "max_bytes",
        "max_age",
        "num_replicas",
        "ack_policy",
        "ack_wait",
    ] {
        if !ours[what].is_null() && ours[what] != theirs[what] {
            return Err(NatsError::Different {
                stream: stream.to_owned(),
                what,
                theirs: theirs[what].to_string(),
                ours: ours[what].to_string(),
            });
        }
    }
    Ok(())
}

fn nanos(duration: Duration) -> u64 {
    // A century is for ever.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// What tells one version of the protocol, and one way of writing, from another.
fn description(queue: &Queue) -> String {
    format!("parallel-workers {VERSION} {}", queue.codec.name())
}

/// One subject for each key, and on each no more than one message: publishing a request is asking whether an equal one is there.
fn requests(names: &Names, queue: &Queue) -> Value {
    json!({
        "name": names.requests(),
        "description": description(queue),
        "subjects": [names.request("*")],
        "retention": "workqueue",
        "storage": "file",
        "discard": "new",
        "discard_new_per_subject": true,
        "max_msgs_per_subject": 1,
        "max_msgs": queue.capacity,
        "max_bytes": queue.bytes,
        "max_consumers": -1,
        // It has nothing to do here, and what is remembered takes memory.
        "duplicate_window": nanos(Duration::from_secs(1)),
        "num_replicas": queue.replicas,
    })
}

fn results(names: &Names, queue: &Queue) -> Value {
    json!({
        "name": names.results(),
        "description": description(queue),
        "subjects": [names.result("*.*")],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "max_msgs": queue.capacity,
        "max_bytes": queue.bytes,
        "max_age": nanos(queue.kept),
        "duplicate_window": nanos(Duration::from_secs(1).min(queue.kept)),
        "num_replicas": queue.replicas,
    })
}

fn dead(names: &Names, queue: &Queue) -> Value {
    json!({
        "name": names.dead(),
        "description": description(queue),
        "subjects": [names.dead_letter("*")],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msgs": DEAD_MOST,
        "max_bytes": queue.bytes.min(DEAD_BYTES),
        "max_age": nanos(DEAD_KEPT),
        "num_replicas": queue.replicas,
    })
}

fn consumer(queue: &Queue) -> Value {
    json!({
        "durable_name": WORKERS,
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_policy": "explicit",
        "ack_wait": nanos(queue.lease),
        // Deliveries are not counted: what merely waited beside a request that kills its worker is delivered as often as that.
        "max_deliver": -1,
        "max_ack_pending": MOST_HELD,
        "max_waiting": MOST_WAITING,
    })
}
