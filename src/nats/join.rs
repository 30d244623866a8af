//! Waiting for a submission of somebody else's.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use async_nats::{Subject, Subscriber};
use bytes::Bytes;
use futures_core::Stream;

use crate::nats::link::Link;
use crate::nats::look::{Found, Unknown, look, look_for_answer, request};
use crate::nats::message::{Answer, Status};
use crate::nats::pace::Pace;

/// A worker acknowledges a request soon after it has stored the result.
const SOON: Duration = Duration::from_millis(1);
/// One that was lost in between does not, until another one finds the result.
const SELDOM: Duration = Duration::from_millis(500);

/// Waits for the result of `submission`, an equal request of somebody else's. `None`: it has none for others, or had it before,
/// and the request is to be submitted anew.
///
/// It subscribes, and looks then: what is published before the look is stored, and what is published after it is heard. As
/// what is heard may be lost, it looks again from time to time.
///
/// `has_waited`: nobody here can have seen its result, so that this is it, even if it is there already.
pub(crate) async fn join(
    link: Link,
    submission: String,
    subject: Subject,
    payload: Bytes,
    mut has_waited: bool,
) -> Option<Answer> {
    let mut pace = Pace::new();
    let mut subscriber = pin!(subscribe(&link, &submission).await);
    loop {
        match look(&link, &submission, &subject, &payload).await {
            Found::Answer(answer) if has_waited => return of_others(answer),
            Found::Answer(_) => {
                // It had ended: whoever has seen that and asks once more gets a new run, which can begin when its worker
                // has taken it out.
                until_gone(&link, &submission, &subject).await;
                return None;
            }
            Found::Gone | Found::Other { .. } | Found::Collides => return None,
            Found::Waits { .. } => has_waited = true,
            // It has waited for an answer long enough, and does so no longer every time.
            Found::Unknown => pace = Pace::new(),
        }
        let heard = poll_fn(|cx| subscriber.as_mut().poll_next(cx));
        tokio::select! {
            message = heard => {
                // What is heard may have been refused by the server: what is stored is looked up.
                let message = message?;
                if Answer::read(message.headers.as_ref(), message.payload).is_final()
                    && let Found::Answer(answer) = look_for_answer(&link, &submission, &subject, &payload).await
                {
                    return of_others(answer);
                }
            }
            () = tokio::time::sleep(pace.next()) => {}
        }
    }
}

async fn subscribe(link: &Link, submission: &str) -> Subscriber {
    let mut pace = Pace::new();
    loop {
        let subscribed = link.client.subscribe(link.names.result(submission)).await;
        match subscribed {
            Ok(subscriber) => return subscriber,
            Err(_) => tokio::time::sleep(pace.next()).await,
        }
    }
}

async fn until_gone(link: &Link, submission: &str, subject: &Subject) {
    let mut pace = Pace::between(SOON, SELDOM);
    loop {
        match request(link, subject).await {
            Ok(Some(queued)) if queued.submission != submission => return,
            Ok(None) => return,
            Ok(Some(_)) | Err(Unknown) => tokio::time::sleep(pace.next()).await,
        }
    }
}

/// What its owner has aborted, or may have stopped in the middle, is no result for others.
fn of_others(answer: Answer) -> Option<Answer> {
    (answer.status != Status::Aborted && !answer.is_cancelled).then_some(answer)
}
