//! What a cluster's queue holds, at one moment.

use std::fmt;

use async_nats::jetstream::context::ContextBuilder;
use serde_json::{Value, json};
use tokio::runtime;
use tokio::sync::mpsc;

use crate::nats::api::{Refusal, ask};
use crate::nats::connection::Connection;
use crate::nats::error::NatsError;
use crate::nats::queue::{Queue, WORKERS};

/// What a cluster's queue holds, at one moment. Prints as a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueStatus {
    /// Requests that are not done, those that workers have among them.
    pub requests: u64,
    /// Requests that workers have: begun, or about to be.
    pub delivered: u64,
    /// Questions for requests that stand, of services that have nothing to do: a service may have two.
    pub idle: u64,
    /// Outputs that are kept for callers who were cut off.
    pub outputs: u64,
    /// Requests that were set aside in the last seven days.
    pub dead: u64,
}

/// Looks what a queue holds.
///
/// # Errors
///
/// [`NatsError`] says what is wrong with the address or the server, or that there is no such queue.
///
/// # Blocking
///
/// Until the server has answered.
pub fn status(connection: &Connection, queue: &Queue) -> Result<QueueStatus, NatsError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| NatsError::Runtime { source })?;
    runtime.block_on(look(connection, queue))
}

async fn look(connection: &Connection, queue: &Queue) -> Result<QueueStatus, NatsError> {
    queue.check()?;
    let (events, _) = mpsc::unbounded_channel();
    let client = connection.connect("status", events).await?;
    let context = ContextBuilder::new()
        .timeout(connection.patience())
        .build(client);
    let info = |subject: String| {
        let context = context.clone();
        async move {
            let answered = ask(&context, subject.clone(), &json!(null)).await;
            answered.map_err(|refusal| refused(queue, connection, subject, &refusal))
        }
    };
    let names = queue.names();
    let (requests, results) = (names.requests(), names.results());
    let consumer = info(format!("CONSUMER.INFO.{requests}.{WORKERS}")).await?;
    let requests = info(format!("STREAM.INFO.{requests}")).await?;
    let results = info(format!("STREAM.INFO.{results}")).await?;
    let dead = info(format!("STREAM.INFO.{}", names.dead())).await?;
    let messages = |stream: &Value| stream["state"]["messages"].as_u64().unwrap_or(0);
    let number = |name: &str| consumer[name].as_u64().unwrap_or(0);
    Ok(QueueStatus {
        requests: messages(&requests),
        delivered: number("num_ack_pending"),
        idle: number("num_waiting"),
        outputs: messages(&results),
        dead: messages(&dead),
    })
}

fn refused(queue: &Queue, connection: &Connection, what: String, refusal: &Refusal) -> NatsError {
    match refusal {
        missing if missing.is_missing() => NatsError::Missing {
            queue: queue.name().to_owned(),
        },
        Refusal::Silent => NatsError::Silent {
            what,
            timeout: connection.patience(),
        },
        refusal => NatsError::Refused {
            what,
            said: refusal.to_string(),
        },
    }
}

impl fmt::Display for QueueStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            delivered,
            idle,
            outputs,
            dead,
        } = self;
        write!(
            f,
            "{requests} requests, {delivered} of them with workers; {idle} services idle; {outputs} outputs kept; \
             {dead} requests set aside"
        )
    }
}
