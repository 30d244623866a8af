//! One child process: how it is started, and how it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::sync::{now, thread};

/// How long between two looks whether a process has ended, where it cannot be waited for otherwise.
const LOOK: Duration = Duration::from_millis(1);

/// How much the pipe of requests holds, where the system allows it.
#[cfg(target_os = "linux")]
const PIPE: usize = 1 << 20;

/// A process that has not been waited for, in a group of its own.
#[derive(Debug)]
pub(crate) struct Spawned {
    child: Child,
    /// Ready to be read when it has ended. `None` where the system has no such thing.
    ended: Option<OwnedFd>,
    status: Option<ExitStatus>,
}

/// The ends of its pipes that are ours. None of them blocks.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Spawned {
    /// Starts it. It is in a group of its own, so that an interrupt from the keyboard is not for it, and so that whatever
    /// it starts can be ended with it. Pipes are closed in every other program that is started meanwhile: by the
    /// standard library.
    pub(crate) fn new(command: &mut Command, memory: Option<u64>) -> io::Result<(Self, Ends)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let ends = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = pidfd(child.id());
        let mut spawned = Self {
            child,
            ended,
            status: None,
        };
        let limited = memory.map_or(Ok(()), |bytes| limit_memory(spawned.id(), bytes));
        match (ends, limited) {
            ((Some(stdin), Some(stdout), Some(stderr)), Ok(())) => {
                let ends = Ends {
                    stdin: stdin.into(),
                    stdout: stdout.into(),
                    stderr: stderr.into(),
                };
                for end in [&ends.stdin, &ends.stdout, &ends.stderr] {
                    rustix::io::ioctl_fionbio(end, true)?;
                }
                enlarge(&ends.stdin);
                Ok((spawned, ends))
            }
            (_, limited) => {
                spawned.kill();
                Err(limited
                    .err()
                    .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ready to be read when it has ended.
    pub(crate) fn ended(&self) -> Option<io::Result<OwnedFd>> {
        self.ended.as_ref().map(OwnedFd::try_clone)
    }

    /// Whether it has ended; then it is waited for, and what it had started is ended too.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // Its number stays its own until it is waited for, and that of its group as long: so the group is ended first.
            if self.has_ended() {
                self.kill_group();
            }
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits for its end.
    pub(crate) fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            let left = deadline.saturating_duration_since(now());
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if left.is_zero() {
                return None;
            }
            match &self.ended {
                Some(ended) => {
                    let timeout = Timespec::try_from(left).ok();
                    // An interrupted poll is begun again.
                    let _ = poll(&mut [PollFd::new(ended, PollFlags::IN)], timeout.as_ref());
                }
                None => thread::sleep(LOOK.min(left)),
            }
        }
    }

    /// Ends it, and what it had started, by force, and waits for that. Gives how it ended, if that can be known.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.kill_group();
            // The group may not be there yet, in the first moment of the process.
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
        self.status
    }

    fn has_ended(&self) -> bool {
        match &self.ended {
            Some(ended) => {
                let mut fds = [PollFd::new(ended, PollFlags::IN)];
                let zero = Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                };
                poll(&mut fds, Some(&zero)).is_ok_and(|ready| ready > 0)
            }
            None => false,
        }
    }

    fn kill_group(&self) {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // There is nobody left in it, as a rule.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A large request goes through a larger pipe with fewer waits.
#[cfg(target_os = "linux")]
fn enlarge(pipe: &OwnedFd) {
    // Where the system does not allow it, it stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE);
}

#[cfg(not(target_os = "linux"))]
fn enlarge(_: &OwnedFd) {}

#[cfg(target_os = "linux")]
fn pidfd(id: u32) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};

    let id = Pid::from_raw(i32::try_from(id).ok()?)?;
    pidfd_open(id, PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn pidfd(_: u32) -> Option<OwnedFd> {
    None
}

/// Has the system refuse the process more memory of its own than that.
#[cfg(target_os = "linux")]
fn limit_memory(id: u32, bytes: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, prlimit};

    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    // Without an id it would be this process that is limited.
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let id = id.ok_or(io::ErrorKind::InvalidInput)?;
    prlimit(Some(id), Resource::Data, limit)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(_: u32, _: u64) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "`memory_limit` works on Linux only",
    ))
}
