use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use super::patience::wait_until;

const DIES_WITH_PARENT: [&str; 3] = ["--pdeathsig", "KILL", "--"];

type Start = (Command, Sender<io::Result<Child>>);

/// A process that is killed when this is dropped, and on Linux when the test program is killed.
pub struct Process(Child);

impl Process {
    pub fn start(command: Command) -> Self {
        let (sender, started) = channel();
        starter().send((command, sender)).unwrap();
        Self(started.recv().unwrap().unwrap())
    }

    /// A command that the system ends with the thread that starts it, where that can be had.
    pub fn command(program: &[&OsStr]) -> Command {
        let mut command = if has_setpriv() {
            let mut command = Command::new("setpriv");
            command.args(DIES_WITH_PARENT).arg(program[0]);
            command
        } else {
            // A test that ends in order still kills it.
            Command::new(program[0])
        };
        command.args(&program[1..]);
        command
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        // Every shell has it; the program of this name is not everywhere.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &id])
            .status()
            .unwrap();
        assert!(status.success(), "kill -s {name} {id}: {status}");
    }

    /// Has it stand still, and waits until all its threads do: the signal is only the beginning of that.
    pub fn pause(&self) {
        self.signal("STOP");
        let threads = format!("/proc/{}/task", self.0.id());
        wait_until("a process that stands still", || {
            // Elsewhere than on Linux there is no such folder, and nobody who could be asked.
            let threads = std::fs::read_dir(&threads).into_iter().flatten();
            let mut states = threads.map(|thread| state(&thread.unwrap().path()));
            match states.find(|state| *state != Some('T')) {
                None => Ok(()),
                Some(state) => Err(format!("a thread is {state:?}")),
            }
        });
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_until("the end of a process", || {
            let ended = self.0.try_wait().unwrap();
            ended.ok_or_else(|| "it still runs".to_owned())
        })
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether there is `setpriv`, and knows what is asked of it: not every Linux has the same.
fn has_setpriv() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let output = Command::new("setpriv")
            .args(DIES_WITH_PARENT)
            .arg("true")
            .output();
        output.is_ok_and(|output| output.status.success())
    })
}

/// What the system says that a thread does: the letter behind its name, which may have any letters itself.
fn state(thread: &Path) -> Option<char> {
    let line = std::fs::read_to_string(thread.join("stat")).ok()?;
    line.rsplit(") ").next()?.chars().next()
}

/// The thread that starts them all, and never ends: a process that is to end with its parent ends with the thread that
/// started it, and a test may hand a server to a thread that goes on without it.
fn starter() -> &'static Sender<Start> {
    static STARTER: OnceLock<Sender<Start>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (sender, starts) = channel::<Start>();
        std::thread::spawn(move || {
            for (mut command, reply) in starts {
                let child = command.spawn();
                // Who asked waits for it.
                let _ = reply.send(child);
            }
        });
        sender
    })
}
