//! Requests that the server has back although they are done.

use serde_json::json;

use crate::nats::api::ask;
use crate::nats::link::Link;
use crate::nats::queue::WORKERS;

/// Takes out what is done and still there.
///
/// Some servers (2.9.10 was seen to) have requests back after a crash whose end was acknowledged. They are never delivered
/// again, and would keep equal requests out for ever. Everything up to the consumer's floor was acknowledged, so
/// whatever is found there is one of these.
pub(crate) async fn sweep(link: &Link) -> Option<u64> {
    let stream = link.names.requests();
    let info =
        |subject: String| async move { ask(&link.context, subject, &json!(null)).await.ok() };
    let consumer = info(format!("CONSUMER.INFO.{stream}.{WORKERS}")).await?;
    let floor = consumer["ack_floor"]["stream_seq"].as_u64()?;
    let state = info(format!("STREAM.INFO.{stream}")).await?;
    let messages = state["state"]["messages"].as_u64()?;
    let first = state["state"]["first_seq"].as_u64()?;
    if floor == 0 || messages == 0 || first > floor {
        return None;
    }
    let body = json!({ "seq": floor + 1 });
    let purged = ask(&link.context, format!("STREAM.PURGE.{stream}"), &body).await;
    purged.ok()?["purged"].as_u64()
}
