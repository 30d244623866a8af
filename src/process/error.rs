//! Why a child process could not be had.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// Why a child process could not be started. None is left behind.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The program cannot be run.
    #[error("could not start the program {program:?}")]
    Spawn {
        /// What was to be run.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The pipes to the child cannot be used.
    #[error("could not set up the pipes to the program {program:?}")]
    Pipes {
        /// What was run.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is itself a child of a service, and did not become a worker: it would start children of its own, and so on.
    #[error(
        "this process was started as a worker for the processor {processor}, and is about to start workers \
         of its own: call `process::serve::<{processor}>(...)` at the head of `main`"
    )]
    NotServed {
        /// The type of the processor.
        processor: String,
    },
    /// It ended before it had said hello.
    #[error("the program {program:?} ended before it said hello, {status}; is it a worker?")]
    Ended {
        /// What was run.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It said nothing for as long as it may.
    #[error(
        "the program {program:?} did not say hello within {timeout:?}; is it a worker? Give it longer with \
         `start_timeout`"
    )]
    Silent {
        /// What was run.
        program: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// It said something else.
    #[error(
        "the program {program:?} did not say hello, but {reason}; is it a worker, and does it write nothing \
             but messages to its standard output?"
    )]
    NoHello {
        /// What was run.
        program: String,
        /// What is wrong with what it said.
        reason: String,
    },
    /// It speaks another version of the protocol.
    #[error(
        "the program {program:?} speaks version {theirs} of the protocol, and this crate version {ours}"
    )]
    Version {
        /// What was run.
        program: String,
        /// The program's.
        theirs: u32,
        /// This crate's.
        ours: u32,
    },
}
