//! How a child process is to be started, and what it may do.

use std::fmt;
use std::marker::PhantomData;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::child::Child;
use crate::process::error::ChildError;
use crate::process::link::OnStderr;
use crate::process::message::{Codec, LIMIT};
use crate::process::serve;
use crate::processor::Processor;
use crate::sync::Arc;

/// How the processes of [`Child`] are started; see [`Child::this_program`] and [`Child::command`].
#[must_use = "it starts nothing before `start`"]
pub struct ChildBuilder<P> {
    command: Box<dyn FnOnce() -> Command>,
    configure: Vec<Configure>,
    /// The processor that this program is to serve, if it is this program.
    served: Option<&'static str>,
    pub(crate) options: Options,
    processor: PhantomData<fn() -> P>,
}

type Configure = Box<dyn FnOnce(&mut Command)>;

/// What a child may do.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) codec: Codec,
    pub(crate) window: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) kills_on_abort: bool,
    pub(crate) attempts: u32,
    pub(crate) recycle_after: Option<u64>,
    pub(crate) recycle_above: Option<u64>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) frame_limit: u32,
    pub(crate) start_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) on_stderr: Arc<OnStderr>,
}

impl<P: Processor> ChildBuilder<P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    pub(crate) fn this_program() -> Self {
        let program = || {
            // Under this name the program is there even where its file has been replaced or removed.
            let linux = std::path::Path::new("/proc/self/exe");
            let own = std::env::current_exe().unwrap_or_else(|_| linux.to_owned());
            let mut command = Command::new(if linux.exists() { linux } else { &own });
            command.arg0(own);
            command
        };
        Self {
            served: Some(std::any::type_name::<P>()),
            ..Self::made_by(program)
        }
    }

    pub(crate) fn made_by(command: impl FnOnce() -> Command + 'static) -> Self {
        let on_stderr = |worker: &str, line: &str| eprintln!("{worker}: {line}");
        Self {
            command: Box::new(command),
            configure: Vec::new(),
            served: None,
            options: Options {
                codec: Codec::Postcard,
                window: None,
                timeout: None,
                kills_on_abort: false,
                attempts: 1,
                recycle_after: None,
                recycle_above: None,
                memory_limit: None,
                frame_limit: LIMIT,
                start_timeout: Duration::from_secs(10),
                stop_timeout: Duration::from_secs(5),
                on_stderr: Arc::new(on_stderr),
            },
            processor: PhantomData,
        }
    }

    /// Changes the command before it is started: its arguments, its environment, its folder.
    ///
    /// Its standard input, output and error, and its process group, are set after that.
    pub fn configure(mut self, configure: impl FnOnce(&mut Command) + 'static) -> Self {
        self.configure.push(Box::new(configure));
        self
    }

    /// Speaks JSON lines with it, which any language can: requests and outputs as `serde_json` writes them. Default:
    /// [postcard](https://docs.rs/postcard), which is faster and for Rust.
    pub fn json(mut self) -> Self {
        self.options.codec = Codec::Json;
        self
    }

    /// Sends it no more than so many requests that it has not answered. Default: what the child asks for. It is never
    /// sent more ahead than it does in about two milliseconds, nor fewer than it processes at a time.
    pub fn window(mut self, most: usize) -> Self {
        self.options.window = Some(most);
        self
    }

    /// A request may take so long; then its child is killed and another one started, and its promise settles with
    /// [`Loss::TimedOut`](crate::Loss::TimedOut). Default: as long as it takes.
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.options.timeout = Some(longest);
        self
    }

    /// Whether a child is killed, and another one started, when everybody has aborted the request that it runs. Default:
    /// no, [`Context::is_cancelled`](crate::Context::is_cancelled) tells the processor in the child. It is not done where the
    /// child runs other requests at the same time.
    pub fn kill_on_abort(mut self, kills: bool) -> Self {
        self.options.kills_on_abort = kills;
        self
    }

    /// A request may begin so many times in all, if each time its child ends in the middle of it: for requests that may be
    /// processed twice. [`Context::attempt`](crate::Context::attempt) tells which time it is. Default: 1.
    pub fn retry_lost(mut self, attempts: u32) -> Self {
        self.options.attempts = attempts.max(1);
        self
    }

    /// Another child takes the place of one that has answered so many requests. Default: never.
    pub fn recycle_after(mut self, requests: u64) -> Self {
        self.options.recycle_after = Some(requests.max(1));
        self
    }

    /// Another child takes the place of one whose resident memory is above so many bytes, between two requests. Default:
    /// never. Linux only; elsewhere it is never known to be.
    pub fn recycle_above(mut self, bytes: u64) -> Self {
        self.options.recycle_above = Some(bytes);
        self
    }

    /// The system refuses a child more than so many bytes of memory of its own (`RLIMIT_DATA`). What a program does then is
    /// its own matter: one in Rust aborts, and its request is lost; one in Python gets a `MemoryError`. Default: no limit.
    /// Linux only; elsewhere the child cannot be started.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.options.memory_limit = Some(bytes);
        self
    }

    /// The longest message that a child may send, in bytes: one that sends a longer one is killed. Default: 64 MiB. A request
    /// that is longer than what the child says that it reads is not sent, and settles with
    /// [`Failure::Panicked`](crate::Failure::Panicked), which says so.
    pub fn frame_limit(mut self, bytes: u32) -> Self {
        self.options.frame_limit = bytes.max(1);
        self
    }

    /// A child has so long to say hello, and to answer when it is asked for what waits behind a slow request. Default: 10
    /// seconds.
    pub fn start_timeout(mut self, longest: Duration) -> Self {
        self.options.start_timeout = longest;
        self
    }

    /// A child that has been told that there is no more to do has so long to end, and is killed then. Default: 5 seconds.
    pub fn stop_timeout(mut self, longest: Duration) -> Self {
        self.options.stop_timeout = longest;
        self
    }

    /// What is done with each line that a child writes to its standard error; it is given the worker's name and the line.
    /// Default: they are written to this program's standard error.
    pub fn on_stderr(mut self, on_line: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        self.options.on_stderr = Arc::new(on_line);
        self
    }

    /// Starts the process, and waits until it says hello.
    ///
    /// # Errors
    ///
    /// [`ChildError`]: the program cannot be run, or it is no worker.
    ///
    /// # Blocking
    ///
    /// For as long as the process takes to start.
    pub fn start(self) -> Result<Child<P>, ChildError> {
        if let Some(processor) = self.served
            && serve::is_unserved_child()
        {
            let processor = processor.to_owned();
            return Err(ChildError::NotServed { processor });
        }
        let mut command = (self.command)();
        self.configure
            .into_iter()
            .for_each(|configure| configure(&mut command));
        let codec = self.options.codec.name();
        let served = self.served.unwrap_or_default();
        let told = format!("{codec} {} {served}", std::process::id());
        command.env(serve::VARIABLE, told.trim_end());
        Child::start(command, self.options)
    }
}

impl<P> fmt::Debug for ChildBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildBuilder")
            .field("served", &self.served)
            .field("codec", &self.options.codec)
            .finish_non_exhaustive()
    }
}
