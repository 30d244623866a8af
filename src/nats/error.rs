//! Why a queue cannot be had.

use std::time::Duration;

use thiserror::Error;

use crate::error::{FactoryError, StartError};

/// Why there is no connection to a queue. Nothing is left behind but streams that were created.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NatsError {
    /// The name of a queue, or of a prefix, is none.
    #[error("{name:?} is no name for a queue: use 1 to 32 letters, digits, `-` and `_`")]
    Name {
        /// The name.
        name: String,
    },
    /// A setting of the queue is of no use.
    #[error("`{what}` cannot be so: {why}")]
    Setting {
        /// Which one.
        what: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// That is no address of a server.
    #[error(
        "{address:?} is no address of a NATS server: write nats://host:4222, several with commas"
    )]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The file with the credentials cannot be read, or has none.
    #[error("could not read the credentials in {file:?}")]
    Credentials {
        /// The file.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No server answers, or it lets nobody in with these credentials.
    #[error(
        "could not connect to {servers}: does a NATS server run there, and does it let you in?"
    )]
    Connect {
        /// Where to.
        servers: String,
        /// What the client said.
        source: FactoryError,
    },
    /// The server has JetStream switched off, or the account may not use it.
    #[error(
        "the server at {servers} has no JetStream: start it with `--jetstream`, or enable it for this account"
    )]
    NoJetStream {
        /// Which one.
        servers: String,
    },
    /// Several copies are wanted, and the server cannot keep them the same.
    #[error(
        "{replicas} replicas need NATS servers of version 2.12.3 or newer, and this one is {version}: older ones \
         let the copies come apart; upgrade, or keep one copy"
    )]
    TooOld {
        /// How many were wanted.
        replicas: usize,
        /// The server's version.
        version: String,
    },
    /// There is no such queue.
    #[error("there is no queue {queue:?}: no caller and no worker has connected to it")]
    Missing {
        /// Its name.
        queue: String,
    },
    /// The queue is there, and is kept otherwise than described.
    #[error(
        "the stream {stream} is there, and its {what} is {theirs}, not {ours}: describe the queue alike everywhere"
    )]
    Different {
        /// The stream.
        stream: String,
        /// What differs.
        what: &'static str,
        /// How it is.
        theirs: String,
        /// How it was described.
        ours: String,
    },
    /// The server refused something that is needed.
    #[error("the server refused {what}: {said}")]
    Refused {
        /// What it refused.
        what: String,
        /// What it said.
        said: String,
    },
    /// The server did not answer.
    #[error(
        "the server did not answer within {timeout:?} when asked for {what}: is it overloaded, or does it not allow that?"
    )]
    Silent {
        /// What it was asked for.
        what: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The runtime for the connection could not be had.
    #[error("could not set up what drives the connection")]
    Runtime {
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The workers could not be started.
    #[error("could not start the workers")]
    Workers(#[from] StartError),
}
