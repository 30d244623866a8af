//! Taking a submission back that nobody wants any more.

use serde_json::json;

use crate::nats::api::ask;
use crate::nats::link::Link;
use crate::nats::queue::WORKERS;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    /// It was taken out before any worker had it.
    Removed,
    /// A worker may have it, and is to be told.
    Delivered,
    /// The server does not tell at the moment.
    Unknown,
}

/// Takes the request with this sequence out of the queue, unless a worker has been given it.
///
/// Requests are delivered in the order of their sequences, so one that is beyond the last delivered has not been. If that is
/// still so after it was taken out, it never will be.
pub(crate) async fn withdraw(link: &Link, sequence: u64) -> Withdrawn {
    match last_delivered(link).await {
        Some(last) if last < sequence => {}
        Some(_) => return Withdrawn::Delivered,
        None => return Withdrawn::Unknown,
    }
    let subject = format!("STREAM.MSG.DELETE.{}", link.names.requests());
    // Its bytes need not be written over.
    let body = json!({ "seq": sequence, "no_erase": true });
    if ask(&link.context, subject, &body).await.is_err() {
        return Withdrawn::Unknown;
    }
    match last_delivered(link).await {
        Some(last) if last < sequence => Withdrawn::Removed,
        // It may have been delivered in between, or what came after it.
        Some(_) => Withdrawn::Delivered,
        None => Withdrawn::Unknown,
    }
}

async fn last_delivered(link: &Link) -> Option<u64> {
    let subject = format!("CONSUMER.INFO.{}.{WORKERS}", link.names.requests());
    let info = ask(&link.context, subject, &json!(null)).await.ok()?;
    info["delivered"]["stream_seq"].as_u64()
}
