//! The service's ends of the pipes to one child process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::panic::catch;
use crate::process::wake::Sleeper;
use crate::sync::Arc;

/// What is done with a line of a child's standard error: the worker's name, and the line.
pub(crate) type OnStderr = dyn Fn(&str, &str) + Send + Sync;

/// So much may wait for the pipe before more requests are taken.
const HIGH_WATER: usize = 256 * 1024;
/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 4 * 1024 * 1024;
/// A longer line of standard error is passed on in parts.
const LONGEST_LINE: usize = 16 * 1024;

/// What one worker's thread writes and reads.
pub(crate) struct Link {
    /// `None`: it has been closed, or nobody reads it any more.
    stdin: Option<OwnedFd>,
    /// `None`: it has ended.
    stderr: Option<OwnedFd>,
    /// Ready to be read when the process has ended.
    ended: Option<OwnedFd>,
    pub(crate) sleeper: Sleeper,
    /// What has been written, in part, up to here.
    pub(crate) out: Vec<u8>,
    written: usize,
    /// How much has been written before.
    total: u64,
    line: Vec<u8>,
    on_stderr: Arc<OnStderr>,
    /// The worker's.
    pub(crate) name: String,
}

/// What there is to do after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) stdout: bool,
    pub(crate) ended: bool,
}

impl Link {
    pub(crate) fn new(
        stdin: OwnedFd,
        stderr: OwnedFd,
        ended: Option<OwnedFd>,
        on_stderr: Arc<OnStderr>,
        name: String,
    ) -> io::Result<Self> {
        Ok(Self {
            stdin: Some(stdin),
            stderr: Some(stderr),
            ended,
            sleeper: Sleeper::new()?,
            out: Vec::new(),
            written: 0,
            total: 0,
            line: Vec::new(),
            on_stderr,
            name,
        })
    }

    /// Whether so much waits for the pipe that no more requests are to be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() - self.written >= HIGH_WATER
    }

    /// Where `out` ends in all that is sent.
    pub(crate) fn end(&self) -> u64 {
        self.total + self.out.len() as u64
    }

    /// How much has been sent.
    pub(crate) fn sent(&self) -> u64 {
        self.total + self.written as u64
    }

    /// Writes what the pipe takes. Whether that was all.
    pub(crate) fn flush(&mut self) -> bool {
        while let Some(stdin) = &self.stdin
            && self.written < self.out.len()
        {
            match rustix::io::write(stdin, &self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // It reads no more. What it has, it may still answer; its end tells.
                Err(_) => self.close(),
            }
        }
        let is_all = self.written == self.out.len();
        if is_all {
            self.total = self.end();
            self.out.clear();
            self.written = 0;
            if self.out.capacity() > KEPT {
                self.out = Vec::new();
            }
        }
        is_all
    }

    /// Another descriptor of the pipe, which has to be closed too before the process sees its end.
    pub(crate) fn duplicate_stdin(&self) -> Option<OwnedFd> {
        self.stdin.as_ref()?.try_clone().ok()
    }

    /// Lets the process know that there will be no more.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    /// Waits for the pipes, for being woken, or for the time to pass. Passes on what comes from standard error.
    pub(crate) fn wait(
        &mut self,
        stdout: &OwnedFd,
        timeout: Option<Duration>,
    ) -> io::Result<Ready> {
        let is_writing = self.written < self.out.len();
        let mut fds = vec![PollFd::new(stdout, PollFlags::IN)];
        let mut ended = None;
        if let Some(process) = &self.ended {
            ended = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN));
        }
        let mut stderr = None;
        if let Some(pipe) = &self.stderr {
            stderr = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN));
        }
        if let Some(stdin) = self.stdin.as_ref().filter(|_| is_writing) {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        self.sleeper.wait(&mut fds, timeout)?;
        let is_ready =
            |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
        let ready = Ready {
            stdout: is_ready(Some(0)),
            ended: is_ready(ended),
        };
        if is_ready(stderr) {
            drop(fds);
            self.read_stderr();
        }
        Ok(ready)
    }

    /// Waits until the process may have ended, and passes on what comes from standard error meanwhile.
    pub(crate) fn wait_for_end(&mut self, timeout: Duration) -> io::Result<()> {
        let mut fds = Vec::new();
        if let Some(stderr) = &self.stderr {
            fds.push(PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN));
        }
        if let Some(ended) = &self.ended {
            fds.push(PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN));
        }
        self.sleeper.wait(&mut fds, Some(timeout))?;
        drop(fds);
        self.read_stderr();
        Ok(())
    }

    /// Passes on what there is on standard error.
    pub(crate) fn read_stderr(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(stderr) = &self.stderr {
            match rustix::io::read(stderr, &mut buffer) {
                Ok(0) => self.stderr = None,
                Ok(count) => self.take_lines(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.stderr = None,
            }
        }
        self.pass_on();
    }

    fn take_lines(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_line) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.line.extend_from_slice(text);
            if is_line || self.line.len() >= LONGEST_LINE {
                self.pass_on();
            }
        }
    }

    fn pass_on(&mut self) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            // Foreign: a panic in it costs that line.
            let _ = catch(|| (self.on_stderr)(&self.name, line.trim_end_matches('\r')));
        }
    }
}
