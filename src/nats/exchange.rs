//! One request and its answer, for processors that wrap a remote one.

use async_nats::Subject;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::nats::codec::beside;
use crate::nats::join::join;
use crate::nats::line::Line;
use crate::nats::look::{Found, look};
use crate::nats::message::{Answer, Status};
use crate::nats::pace::Pace;
use crate::nats::seen;
use crate::nats::submission;
use crate::panic::Panic;

/// Submits a request, and waits for its output, or for what came instead.
pub(crate) async fn exchange<R: Serialize, T: DeserializeOwned>(
    line: &mut Line,
    request: &R,
) -> Result<T, Panic> {
    let (key, bytes) = line.write(request)?;
    let mut subject: Subject = line.link.names.request(&key).into();
    let payload = Bytes::from(bytes);
    let mut pace = Pace::new();
    loop {
        let number = line.next;
        line.next += 1;
        let name = line.name(number);
        let reply = line.reply_to(number);
        let message = submission::write(&name, &payload);
        line.outbox
            .push(subject.clone(), Some(reply), None, message);
        line.outbox.flush(line.link.patience).await;
        let (waited, takes) = match look(&line.link, &name, &subject, &payload).await {
            Found::Other { submission } => {
                let is_unseen = !seen::knows(&submission);
                (submission, is_unseen)
            }
            Found::Collides => {
                subject = beside(&subject).into();
                continue;
            }
            _ => (name, true),
        };
        let link = line.link.clone();
        if let Some(answer) = join(link, waited, subject.clone(), payload.clone(), takes).await {
            line.answered += 1;
            line.ended.insert(number);
            return output(line, &answer);
        }
        // Somebody else gave it up, or it was never stored.
        tokio::time::sleep(pace.next()).await;
    }
}

fn output<T: DeserializeOwned>(line: &Line, answer: &Answer) -> Result<T, Panic> {
    match answer.status {
        Status::Output => read_output(line, answer),
        Status::Dead => {
            let starts = answer.starts;
            let message = format!("the request was begun {starts} times, and was set aside");
            Err(Panic::new(message, None))
        }
        _ => Err(answer.panic()),
    }
}

/// The output that an answer holds.
pub(crate) fn read_output<T: DeserializeOwned>(line: &Line, answer: &Answer) -> Result<T, Panic> {
    let read = line.codec.read(&answer.payload);
    read.map_err(|error| {
        let message = format!("what the worker answered cannot be read as an output: {error}");
        Panic::new(message, None)
    })
}
