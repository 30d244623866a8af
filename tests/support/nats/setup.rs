use std::path::PathBuf;

use super::{Server, newest_server};

/// How a server is to be.
#[derive(Clone)]
pub struct Setup {
    pub(super) program: PathBuf,
    /// The memory and the file space that JetStream may take, if it is there at all.
    pub(super) jetstream: Option<Limits>,
    /// What stands in the configuration file besides.
    pub(super) lines: Vec<String>,
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) memory: u64,
    pub(super) file: u64,
}

impl Setup {
    /// The newest server, with JetStream.
    pub fn new() -> Self {
        Self::of(newest_server())
    }

    /// The same, of another program.
    pub fn of(program: PathBuf) -> Self {
        let limits = Limits {
            memory: 256 << 20,
            file: 1 << 30,
        };
        Self {
            program,
            jetstream: Some(limits),
            lines: Vec::new(),
        }
    }

    /// Adds lines to the configuration file.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    pub fn without_jetstream(mut self) -> Self {
        self.jetstream = None;
        self
    }

    /// How many bytes JetStream may keep in memory and in files.
    pub fn limits(mut self, memory: u64, file: u64) -> Self {
        self.jetstream = Some(Limits { memory, file });
        self
    }

    /// How many bytes a message may have, headers included.
    pub fn max_payload(self, bytes: usize) -> Self {
        self.line(format!("max_payload: {bytes}"))
    }

    pub fn start(self) -> Server {
        Server::start(self)
    }
}
