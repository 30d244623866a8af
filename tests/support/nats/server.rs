use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::folder::folder;
use super::monitor;
use super::patience::wait_until;
use super::place::Place;
use super::port::Port;
use super::process::Process;
use super::{Setup, Version};

/// So much of a server's log is printed with a test that fails.
const LINES: usize = 100;

/// A server on this machine, with a folder and ports of its own.
pub struct Server {
    /// The first field, so that it has ended before its folder goes.
    process: Option<Process>,
    setup: Setup,
    folder: TempDir,
    place: Place,
    port: Port,
    monitor: Port,
    stands_still: AtomicBool,
}

impl Server {
    /// Starts it, and waits until it takes connections and JetStream answers.
    pub fn start(setup: Setup) -> Self {
        let mut server = Self::prepare(setup);
        server.restart();
        server
    }

    /// All that a server needs before it starts.
    pub(super) fn prepare(setup: Setup) -> Self {
        Self::prepare_at(setup, Place::here())
    }

    /// The same, elsewhere.
    pub(super) fn prepare_at(setup: Setup, place: Place) -> Self {
        Self {
            process: None,
            setup,
            folder: folder(),
            place,
            port: Port::reserve(),
            monitor: Port::reserve(),
            stands_still: AtomicBool::new(false),
        }
    }

    pub fn url(&self) -> String {
        self.url_at(self.place.clients)
    }

    pub(super) fn steady_url(&self) -> String {
        self.url_at(self.place.steady)
    }

    fn url_at(&self, address: IpAddr) -> String {
        format!("nats://{address}:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.port.number
    }

    pub fn version(&self) -> Version {
        Version::of(&self.setup.program).expect("a server that says which version it is")
    }

    /// Where it keeps its configuration, its log and its streams.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What its monitoring port says: `/varz`, `/connz`, `/jsz` and so on.
    pub fn ask(&self, path: &str) -> Result<Value, String> {
        monitor::ask(
            SocketAddr::new(self.place.steady, self.monitor.number),
            path,
        )
    }

    /// Whether it was started, and does not stand still.
    pub fn is_running(&self) -> bool {
        self.process.is_some() && !self.stands_still.load(Ordering::SeqCst)
    }

    /// Ends it as a crash would: nothing more is said, nothing more is written.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("TERM");
            // Who stands still does not hear it.
            process.signal("CONT");
            process.wait();
        }
    }

    /// Starts it with the port and the streams that it had, after a stop where it still runs; and waits until it is
    /// ready.
    pub fn restart(&mut self) {
        self.begin();
        self.wait_until_ready();
    }

    /// Has it stand still, with all its connections open.
    pub fn pause(&self) {
        self.running().pause();
        self.stands_still.store(true, Ordering::SeqCst);
    }

    pub fn resume(&self) {
        self.running().signal("CONT");
        self.stands_still.store(false, Ordering::SeqCst);
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a server that runs")
    }

    /// Starts it, and waits for nothing.
    pub(super) fn begin(&mut self) {
        self.stop();
        let configuration = self.folder.path().join("server.conf");
        fs::write(&configuration, self.configuration()).unwrap();
        let mut parts: Vec<_> = self.place.prefix.iter().map(AsRef::as_ref).collect();
        parts.push(self.setup.program.as_os_str());
        parts.extend(["-c".as_ref(), configuration.as_os_str()]);
        let mut command = Process::command(&parts);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(Process::start(command));
        self.stands_still = AtomicBool::new(false);
    }

    fn configuration(&self) -> String {
        let address = self.place.listens;
        let mut lines = vec![
            format!("listen: \"{address}:{}\"", self.port.number),
            format!("http: \"{address}:{}\"", self.monitor.number),
        ];
        if let Some(limits) = &self.setup.jetstream {
            let store = self.folder.path().join("store");
            lines.push(format!(
                "jetstream {{ store_dir: {store:?}, max_mem: {}, max_file: {} }}",
                limits.memory, limits.file
            ));
        }
        lines.extend(self.setup.lines.iter().cloned());
        lines.join("\n") + "\n"
    }

    /// Waits until clients can connect, and what they ask of JetStream is answered.
    pub(super) fn wait_until_ready(&mut self) {
        wait_until("a server that is ready", || {
            let process = self.process.as_mut().expect("a server that runs");
            assert!(!process.has_ended(), "the server has ended");
            let address = SocketAddr::new(self.place.steady, self.port.number);
            TcpStream::connect_timeout(&address, Duration::from_secs(2))
                .map_err(|error| error.to_string())?;
            self.ask("/healthz").map(drop)
        });
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has said, in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES)..];
            eprintln!("the server at {} said:\n{}", self.url(), last.join("\n"));
        }
    }
}
