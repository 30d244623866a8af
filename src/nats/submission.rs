//! How a request is submitted.

use async_nats::HeaderMap;
use async_nats::message::OutboundMessage;
use bytes::Bytes;

use crate::nats::line::Line;
use crate::nats::message::SUBMISSION;

/// The message that submits a request under this number. The server stores it, unless there is an equal one, and answers to
/// the number's inbox.
pub(crate) fn submission(line: &Line, number: u64, key: &str, payload: Bytes) -> OutboundMessage {
    let mut headers = HeaderMap::new();
    headers.insert(SUBMISSION, format!("{}.{number}", line.owner));
    OutboundMessage {
        subject: line.link.names.request(key).into(),
        reply: Some(format!("{}.{number}", line.inbox).into()),
        headers: Some(headers),
        payload,
    }
}
