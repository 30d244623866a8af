use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Certificates, Operator, Server, User, newest_server};

/// How a server is to be.
#[derive(Clone)]
pub struct Setup {
    pub(super) program: PathBuf,
    /// The memory and the file space that JetStream may take, if it is there at all.
    pub(super) jetstream: Option<Limits>,
    /// What stands in the configuration file besides.
    pub(super) lines: Vec<String>,
    /// Folders of files that these lines name.
    folders: Vec<Arc<TempDir>>,
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
            folders: Vec::new(),
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

    /// Demands TLS.
    pub fn tls(self, certificates: &Certificates) -> Self {
        self.keep(certificates.folder())
            .line(certificates.line(false))
    }

    /// Demands TLS, and a client's certificate by the same authority.
    pub fn mutual_tls(self, certificates: &Certificates) -> Self {
        self.keep(certificates.folder())
            .line(certificates.line(true))
    }

    /// Lets in these alone.
    pub fn users(self, users: &[User<'_>]) -> Self {
        let users: Vec<String> = users.iter().map(User::line).collect();
        self.line(format!(
            "authorization {{ users: [\n{}\n] }}",
            users.join("\n")
        ))
    }

    /// Lets in those alone who have credentials by this operator's account.
    pub fn operator(self, operator: &Operator) -> Self {
        self.keep(operator.folder()).line(operator.line())
    }

    fn keep(mut self, folder: Arc<TempDir>) -> Self {
        self.folders.push(folder);
        self
    }

    pub fn start(self) -> Server {
        Server::start(self)
    }
}
