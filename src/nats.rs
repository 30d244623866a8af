//! Many machines: one queue for a cluster, kept by NATS JetStream.
//!
//! [`Remote`] is a [`Processor`](crate::Processor) that has its requests processed by the workers of a cluster, wherever
//! [`serve`](fn@serve) or [`feed`] runs: nothing changes for callers. Equal requests are processed once, whichever host they come from, and
//! every caller gets the output. Workers come and go as they like; what one of them had in its hands when it was lost, another one
//! begins.
//!
//! ```text
//! ProcessorService<Remote<P>>  -->  NATS JetStream  -->  serve: ProcessorService<P>, on threads, async, in child processes
//!             ^                                                           |
//!             +-----------------------------------------------------------+
//! ```
//!
//! What is needed is a NATS server with JetStream: one binary, `nats-server --jetstream`. The protocol is on [one page](protocol),
//! from which a worker in another language can be written; `examples/any_language` has one in Python.

mod alarm;
mod api;
mod appetite;
mod care;
mod codec;
mod connection;
mod course;
mod driver;
mod error;
mod exchange;
mod feeder;
mod finished;
mod flight;
mod giving_back;
mod held;
mod join;
mod line;
mod link;
mod look;
mod message;
mod orphans;
mod pace;
mod pull;
mod queue;
mod recent;
mod remote;
mod seen;
mod serving;
mod slots;
mod status;
mod streams;
mod submission;
mod withdraw;

#[doc = include_str!("nats/PROTOCOL.md")]
pub mod protocol {}

pub use crate::foreign::Foreign;
pub use connection::Connection;
pub use error::NatsError;
pub use queue::Queue;
pub use remote::{Remote, RemoteBuilder};
pub use serving::{ServeOptions, Serving, feed, serve};
pub use status::{QueueStatus, status};
