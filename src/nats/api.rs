//! What is asked of the server's JetStream, and how it refuses.

use std::fmt;
use std::future::pending;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::response::Response;
use async_nats::{Event, RequestErrorKind, ServerError};
use bytes::Bytes;
use serde_json::Value;

use crate::nats::link::Events;
use crate::sync::now;

/// Before this time is over it is not asked again. What comes to a cluster while it elects somebody to answer it, it never answers.
const ANSWER: Duration = Duration::from_secs(1);
/// After so long the server is asked again, where it was about to start.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server said so, with one of its numbers.
    Said { number: u64, text: String },
    /// It does not allow that.
    Denied(String),
    /// It said nothing in time.
    Silent,
    /// There is no connection, or nobody there who could answer: that may pass.
    Unreachable(String),
}

impl Refusal {
    /// Whether there is no such thing as was asked for.
    pub(crate) fn is_missing(&self) -> bool {
        // No stream, no consumer, no message.
        matches!(
            self,
            Self::Said {
                number: 10059 | 10014 | 10037,
                ..
            }
        )
    }

    /// Whether the account may not use JetStream.
    pub(crate) fn is_disabled(&self) -> bool {
        matches!(
            self,
            Self::Said {
                number: 10039 | 10076,
                ..
            }
        )
    }

    /// Whether asking again may help.
    pub(crate) fn may_pass(&self) -> bool {
        // JetStream is about to start, or a cluster about to elect its leader.
        match self {
            Self::Said { number, .. } => [10008, 10009].contains(number),
            Self::Denied(_) => false,
            Self::Silent | Self::Unreachable(_) => true,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said { number, text } => write!(f, "{text} ({number})"),
            Self::Silent => f.write_str("it did not answer"),
            Self::Denied(error) | Self::Unreachable(error) => f.write_str(error),
        }
    }
}

/// Asks, and gives what the server answered. `body` is null where there is nothing to say.
pub(crate) async fn ask(
    context: &Context,
    subject: String,
    body: &Value,
) -> Result<Value, Refusal> {
    let payload = match body {
        Value::Null => Bytes::new(),
        body => body.to_string().into(),
    };
    let subject = format!("$JS.API.{subject}");
    let answer = match context.client().request(subject, payload).await {
        Ok(answer) => answer.payload,
        Err(error) if error.kind() == RequestErrorKind::TimedOut => return Err(Refusal::Silent),
        Err(error) => return Err(Refusal::Unreachable(error.to_string())),
    };
    match serde_json::from_slice::<Response<Value>>(&answer) {
        Ok(Response::Ok(answer)) => Ok(answer),
        Ok(Response::Err { error }) => Err(refused(&error)),
        Err(error) => Err(Refusal::Unreachable(error.to_string())),
    }
}

/// The same, at the start: again and again until the deadline, as far as that may help.
///
/// What the server does not allow, this or something before, it does not answer, but it says so.
pub(crate) async fn ask_at_the_start(
    context: &Context,
    events: &mut Events,
    subject: &str,
    body: &Value,
    deadline: Instant,
) -> Result<Value, Refusal> {
    loop {
        let asked = tokio::time::timeout(ANSWER, ask(context, subject.to_owned(), body));
        let answered = tokio::select! {
            // It says that first.
            biased;
            denial = denial(events) => Err(Refusal::Denied(denial)),
            answered = asked => answered.unwrap_or(Err(Refusal::Silent)),
        };
        match answered {
            Err(refusal) if refusal.may_pass() && now() + PAUSE < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            answered => return answered,
        }
    }
}

/// Waits for the server to say that it does not allow something.
async fn denial(events: &mut Events) -> String {
    loop {
        match events.recv().await {
            Some(Event::ServerError(ServerError::Other(said)))
                if said.contains("Permissions Violation") =>
            {
                return said;
            }
            Some(_) => {}
            None => pending().await,
        }
    }
}

pub(crate) fn refused(error: &async_nats::jetstream::Error) -> Refusal {
    Refusal::Said {
        number: error.error_code().0,
        text: error.to_string(),
    }
}
