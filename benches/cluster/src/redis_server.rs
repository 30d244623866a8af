//! A Redis server with its log in a folder of its own, for one run.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::load::Error;

pub struct RedisServer {
    process: Child,
    pub url: String,
    _folder: TempDir,
}

impl RedisServer {
    pub fn start() -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        // It cannot say which port it took; this one is free now.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
        ]);
        // What is queued survives its death but for the last second.
        command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--dir"]);
        let process = command.arg(folder.path()).stdout(Stdio::null()).spawn()?;
        let server = Self {
            process,
            url: format!("redis://127.0.0.1:{port}/0"),
            _folder: folder,
        };
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if begin.elapsed() > Duration::from_secs(20) {
                return Err("redis-server does not start".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Nothing that it keeps is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
