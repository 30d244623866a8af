//! Worker processes: this program again, told to be one, or others that say and end as it does.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::load::Error;

/// What a worker says when it takes requests.
const READY: &str = "ready";

/// Those of a run. They end with this.
pub struct Workers(Vec<Child>);

impl Workers {
    /// Starts them, and waits until all are ready.
    pub fn start(commands: Vec<Command>) -> Result<Self, Error> {
        let mut workers = Self(Vec::new());
        for mut command in commands {
            let worker = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            workers.0.push(worker.spawn()?);
        }
        for worker in &mut workers.0 {
            let mut line = String::new();
            if let Some(stdout) = worker.stdout.take() {
                BufReader::new(stdout).read_line(&mut line)?;
            }
            if line.trim_end() != READY {
                return Err("a worker process does not start".into());
            }
        }
        Ok(workers)
    }

    /// So many times this program, with these arguments.
    pub fn start_own(count: usize, arguments: &[String]) -> Result<Self, Error> {
        let own = std::env::current_exe()?;
        let command = || {
            let mut command = Command::new(&own);
            command.args(arguments);
            command
        };
        Self::start((0..count).map(|_| command()).collect())
    }

    pub fn ids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // They end when nobody can write to them any more.
        let inputs: Vec<_> = self
            .0
            .iter_mut()
            .map(|worker| worker.stdin.take())
            .collect();
        drop(inputs);
        for worker in &mut self.0 {
            let _ = worker.wait();
        }
    }
}

/// In a worker: has it end with who started it, however that ends.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
}

/// In a worker: it takes requests from now on.
pub fn say_ready() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{READY}")?;
    stdout.flush()
}
