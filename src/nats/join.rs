//! Waiting for a submission of somebody else's.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::nats::link::Link;
use crate::nats::look::{Found, look};
use crate::nats::message::Answer;
use crate::nats::pace::Pace;

/// Waits for the result of `submission`, an equal request of somebody else's. `None`: there will be none, and the request is to
/// be submitted anew.
///
/// It subscribes, and looks then: what is published before the look is stored, and what is published after it is heard. As
/// what is heard may be lost, it looks again from time to time.
pub(crate) async fn join(
    link: Link,
    submission: String,
    key: String,
    payload: Bytes,
) -> Option<Answer> {
    let mut pace = Pace::new();
    let subscriber = loop {
        let subscribed = link.client.subscribe(link.names.result(&submission)).await;
        match subscribed {
            Ok(subscriber) => break subscriber,
            Err(_) => tokio::time::sleep(pace.next()).await,
        }
    };
    let mut subscriber = pin!(subscriber);
    loop {
        match look(&link, &submission, &key, &payload).await {
            Found::Answer(answer) => return of_others(answer),
            Found::Gone | Found::Other { .. } | Found::Collides => return None,
            Found::Waits { .. } | Found::Unknown => {}
        }
        let heard = poll_fn(|cx| subscriber.as_mut().poll_next(cx));
        let patience: Duration = pace.next();
        let mut patience = pin!(tokio::time::sleep(patience));
        tokio::select! {
            message = heard => {
                let message = message?;
                let answer = Answer::read(message.headers.as_ref(), message.payload);
                if answer.is_final() {
                    return of_others(answer);
                }
            }
            () = &mut patience => {}
        }
    }
}

/// What its owner has aborted, or may have stopped in the middle, is no result for others.
fn of_others(answer: Answer) -> Option<Answer> {
    use crate::nats::message::Status;
    (answer.status != Status::Aborted && !answer.is_cancelled).then_some(answer)
}
