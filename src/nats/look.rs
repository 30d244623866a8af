//! What has become of a submission: looked up in the streams, where no message can be missed.

use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageError};
use bytes::Bytes;

use crate::nats::link::Link;
use crate::nats::message::Answer;
use crate::nats::submission;

/// A request as it is queued.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) sequence: u64,
    pub(crate) submission: String,
    pub(crate) payload: Bytes,
}

/// What a look has found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// The result.
    Answer(Answer),
    /// It is queued, or processed.
    Waits { sequence: u64 },
    /// An equal request of somebody else's is queued, or processed.
    Other { submission: String },
    /// Another request has the same key.
    Collides,
    /// Neither the request nor a result.
    Gone,
    /// The server does not tell at the moment.
    Unknown,
}

/// A result that was heard is stored soon, if it is: in milliseconds.
const PAUSES: [u64; 4] = [1, 5, 20, 100];

/// The server did not tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknown;

/// Finds out what has become of `submission`, a request with this payload that is queued on `subject`.
///
/// A worker stores the result before it takes the request out. So what has no result before and no request after it, but
/// a result then, has ended in between; and what has neither even then is gone.
pub(crate) async fn look(
    link: &Link,
    submission: &str,
    subject: &Subject,
    payload: &Bytes,
) -> Found {
    match look_twice(link, submission, subject, payload).await {
        Ok(found) => found,
        Err(Unknown) => Found::Unknown,
    }
}

/// The same, where a result was heard, and may be about to be stored: it looks a few times.
pub(crate) async fn look_for_answer(
    link: &Link,
    submission: &str,
    subject: &Subject,
    payload: &Bytes,
) -> Found {
    for pause in PAUSES {
        let found = look(link, submission, subject, payload).await;
        if !matches!(found, Found::Waits { .. }) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    look(link, submission, subject, payload).await
}

async fn look_twice(
    link: &Link,
    submission: &str,
    subject: &Subject,
    payload: &Bytes,
) -> Result<Found, Unknown> {
    if let Some(answer) = final_answer(link, submission).await? {
        return Ok(Found::Answer(answer));
    }
    Ok(match request(link, subject).await? {
        Some(queued) if queued.submission == submission => Found::Waits {
            sequence: queued.sequence,
        },
        Some(queued) => match final_answer(link, submission).await? {
            Some(answer) => Found::Answer(answer),
            None if queued.payload != *payload => Found::Collides,
            None => Found::Other {
                submission: queued.submission,
            },
        },
        None => match final_answer(link, submission).await? {
            Some(answer) => Found::Answer(answer),
            None => Found::Gone,
        },
    })
}

/// The result of a submission, if there is one.
pub(crate) async fn final_answer(link: &Link, submission: &str) -> Result<Option<Answer>, Unknown> {
    let stored = answer(link, submission).await?;
    Ok(stored.map(|(_, answer)| answer).filter(Answer::is_final))
}

/// What is stored on the subject of a submission's result, with its sequence.
pub(crate) async fn answer(
    link: &Link,
    submission: &str,
) -> Result<Option<(u64, Answer)>, Unknown> {
    let subject = link.names.result(submission);
    let message = last(link, link.names.results(), subject).await?;
    Ok(message.map(|message| {
        let answer = Answer::read(Some(&message.headers), message.payload);
        (message.sequence, answer)
    }))
}

/// The request that is queued there, or processed.
pub(crate) async fn request(link: &Link, subject: &Subject) -> Result<Option<Queued>, Unknown> {
    let subject = subject.to_string();
    let message = last(link, link.names.requests(), subject).await?;
    let Some(message) = message else {
        return Ok(None);
    };
    // What is no request is taken out by the first worker that sees it.
    let (submission, payload) = submission::read(&message.payload).ok_or(Unknown)?;
    Ok(Some(Queued {
        sequence: message.sequence,
        submission: submission.as_str().to_owned(),
        payload,
    }))
}

/// The last message of a subject, as the stream's leader knows it: other copies may be behind.
async fn last(
    link: &Link,
    stream: String,
    subject: String,
) -> Result<Option<StreamMessage>, Unknown> {
    let stream = link.context.get_stream_no_info(stream).await;
    let stream = stream.map_err(|_| Unknown)?;
    told(stream.get_last_raw_message_by_subject(&subject).await)
}

fn told(message: Result<StreamMessage, RawMessageError>) -> Result<Option<StreamMessage>, Unknown> {
    match message {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            _ => Err(Unknown),
        },
    }
}
