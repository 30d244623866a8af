//! Other processes that are this program, and play a part in a test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Whoever says nothing for so long has nothing to say.
const PATIENCE: Duration = Duration::from_secs(100);

/// A process that ends with its input, and is killed when this is dropped.
pub(crate) struct Role {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<String>,
}

impl Role {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in lines {
                // A test that has failed listens no more.
                let _ = sender.send(line.unwrap());
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, said }
    }

    /// The next line that it says.
    pub(crate) fn hear(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    /// Closes its input: it is to end.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process, which plays a part, when its input ends before it does.
pub(crate) fn end_with_input() {
    std::thread::spawn(|| {
        let lines = std::io::stdin().lines();
        lines.for_each(drop);
        std::process::exit(1);
    });
}
