//! A processor whose requests are processed by a child process.

use std::fmt;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::current;
use crate::jobs::Jobs;
use crate::process::builder::{ChildBuilder, Options};
use crate::process::driver::Driver;
use crate::process::error::ChildError;
use crate::process::frame::Decoder;
use crate::process::link::Link;
use crate::process::message::{
    FromService, FromWorker, MOST_SENT, ServiceHello, VERSION, WorkerHello,
};
use crate::process::session::Session;
use crate::process::spawned::{Ends, Spawned};
use crate::process::window::Window;
use crate::processor::Processor;
use crate::record::WorkerRecord;
use crate::sync::{Arc, now, thread};

/// A [`Processor`] whose requests are processed by a child process, one for each worker: `P` in this program, in another one,
/// or in any language.
///
/// The requests are sent ahead of need, so that the pipe's latency is paid once and not for each: no more than the child does
/// in about two milliseconds. What has been sent counts as [`Running`](crate::State::Running), for it may have begun. Where a
/// request takes longer than that, those behind it are taken back: they are queued again, can be aborted, and go to idle
/// workers. That takes a few milliseconds, and a child that answers while it is busy, as [`serve`](fn@crate::process::serve)
/// does.
///
/// When the process ends in the middle of a request, whatever it was that ended it, that request's promise settles with
/// [`Failure::WorkerLost`](crate::Failure::WorkerLost), which says how the process ended
/// ([`Loss::Ended`](crate::Loss::Ended)), all others that it had been sent go to other workers, and another process is
/// started: at once, or, where one after the other ends without having answered anything, with backoff.
///
/// **Each request begins once.** Where that is not needed, [`ChildBuilder::retry_lost`] has those begin again whose
/// process was lost.
///
/// ```no_run
/// use parallel_workers::process::{self, Child};
/// use parallel_workers::{Context, Processor, ProcessorService};
///
/// struct Squares;
///
/// impl Processor for Squares {
///     type Request = u64;
///     type Output = u64;
///
///     fn process(&mut self, n: &u64, _: &Context) -> u64 {
///         n * n
///     }
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     // In a child this serves, and never returns; otherwise it does nothing.
///     process::serve(|| Squares);
///     let service = ProcessorService::builder()
///         .workers(2)
///         .try_start(|| Child::<Squares>::this_program().start())?;
///     assert_eq!(*service.queue_request(12).wait()?, 144);
///     Ok(())
/// }
/// ```
///
/// A child ends when its worker does, and when this program ends, however that does: the end of its input tells it, and on
/// Linux a signal too, if it is one that [`serve`](fn@crate::process::serve)s. [`Worker::kill`](crate::Worker::kill) kills it.
/// It leads a process group of its own: an interrupt from the keyboard is for this program alone, which can stop its service in
/// good order, and whatever the child has started in that group ends with it, on Linux however it ends, elsewhere where it is
/// killed.
///
/// The processor's own [`run`](Processor::run) is not called in the child: it processes one request after another.
/// [`Context::deadline`] tells nothing there. `Hash` and `Eq` of requests are asked in this process only.
pub struct Child<P: Processor> {
    pub(crate) session: Arc<Session<P::Request, P::Output>>,
    pub(crate) link: Link,
    pub(crate) options: Options,
    /// What it can do.
    pub(crate) hello: WorkerHello,
    pub(crate) next_id: u64,
    /// How many requests it has answered.
    pub(crate) answered: u64,
    /// Its worker, which shows its process.
    worker: Option<Arc<WorkerRecord>>,
}

impl<P: Processor> Child<P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    /// This program again, in which [`process::serve::<P>`](fn@crate::process::serve) is called at the head of `main`.
    pub fn this_program() -> ChildBuilder<P> {
        ChildBuilder::this_program()
    }

    /// A program of yours: one that calls [`process::serve`](fn@crate::process::serve), or one in another language, see
    /// [`ChildBuilder::json`] and [`Foreign`](crate::process::Foreign). Its standard input, output and error are set.
    ///
    /// One in another language that is busy when this program is killed hears of it when it reads again. On Linux,
    /// `setpriv --pdeathsig KILL python3 lengths.py` has the system end it.
    ///
    /// ```no_run
    /// # use parallel_workers::{ProcessorService, process::{Child, Foreign}};
    /// use std::process::Command;
    ///
    /// type Lengths = Foreign<String, usize>;
    ///
    /// let service = ProcessorService::builder().workers(2).try_start(|| {
    ///     let mut command = Command::new("python3");
    ///     command.arg("lengths.py");
    ///     Child::<Lengths>::command(command).json().start()
    /// })?;
    /// # Ok::<(), parallel_workers::StartError>(())
    /// ```
    pub fn command(command: Command) -> ChildBuilder<P> {
        ChildBuilder::made_by(|| command)
    }

    /// The same, made by a function when the process is started.
    pub fn made_by(command: impl FnOnce() -> Command + 'static) -> ChildBuilder<P> {
        ChildBuilder::made_by(command)
    }

    /// What the operating system calls the process.
    pub fn id(&self) -> u32 {
        self.session.id()
    }

    /// How many requests the process has answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    pub(crate) fn start(mut command: Command, options: Options) -> Result<Self, ChildError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let spawned = Spawned::new(&mut command, options.memory_limit);
        let (process, ends) = spawned.map_err(|source| ChildError::Spawn {
            program: program.clone(),
            source,
        })?;
        let deadline = now() + options.start_timeout;
        let mut starting = Starting::new(process, ends, options, program)?;
        starting.say_hello();
        let hello = starting.hear_hello(deadline)?;
        Ok(starting.into_child(hello))
    }
}

/// A process that has not said hello.
struct Starting {
    program: String,
    process: Spawned,
    stdout: std::os::fd::OwnedFd,
    link: Link,
    decoder: Decoder,
    options: Options,
    worker: Option<Arc<WorkerRecord>>,
}

impl Starting {
    fn new(
        process: Spawned,
        ends: Ends,
        options: Options,
        program: String,
    ) -> Result<Self, ChildError> {
        let worker = current::worker().map(|(waiter, _)| waiter.record);
        let name = match &worker {
            Some(record) => record.name.to_string(),
            None => thread::current().name().unwrap_or("child").to_owned(),
        };
        let on_stderr = Arc::clone(&options.on_stderr);
        let link = process
            .ended()
            .transpose()
            .and_then(|ended| Link::new(ends.stdin, ends.stderr, ended, on_stderr, name));
        let link = match link {
            Ok(link) => link,
            Err(source) => return Err(ChildError::Pipes { program, source }),
        };
        let limit = usize::try_from(options.frame_limit).unwrap_or(usize::MAX);
        let decoder = Decoder::new(options.codec.framing(), limit);
        Ok(Self {
            program,
            process,
            stdout: ends.stdout,
            link,
            decoder,
            options,
            worker,
        })
    }

    fn say_hello(&mut self) {
        let hello = FromService::Hello(ServiceHello {
            version: VERSION,
            worker: self.link.name.clone(),
            id: self.worker.as_ref().map_or(0, |record| record.id.0),
            limit: self.options.frame_limit,
        });
        let written = self
            .options
            .codec
            .write_from_service(&mut self.link.out, u32::MAX, &hello);
        debug_assert!(written.is_ok(), "a hello can be written: {written:?}");
        self.link.flush();
    }

    fn hear_hello(&mut self, deadline: Instant) -> Result<WorkerHello, ChildError> {
        loop {
            let timeout = deadline.saturating_duration_since(now());
            if timeout.is_zero() {
                return Err(ChildError::Silent {
                    program: self.program.clone(),
                    timeout: self.options.start_timeout,
                });
            }
            self.link.sleeper.look();
            let waited = self.link.wait(&self.stdout, Some(timeout));
            waited.map_err(|source| ChildError::Pipes {
                program: self.program.clone(),
                source,
            })?;
            self.link.flush();
            let read = self
                .decoder
                .read(|room| Ok(rustix::io::read(&self.stdout, room)?));
            match read {
                Ok(0) => return Err(self.ended(deadline)),
                Ok(_) => {
                    if let Some(hello) = self.understand()? {
                        return Ok(hello);
                    }
                }
                // Nothing, or an interrupt.
                Err(_) => {}
            }
        }
    }

    /// It has closed its output.
    fn ended(&mut self, deadline: Instant) -> ChildError {
        let status = self.process.wait_until(deadline);
        self.link.read_stderr();
        match status {
            Some(status) => ChildError::Ended {
                program: self.program.clone(),
                status,
            },
            None => self.no_hello(&"closed its standard output"),
        }
    }

    fn understand(&mut self) -> Result<Option<WorkerHello>, ChildError> {
        let span = match self.decoder.next() {
            Ok(None) => return Ok(None),
            Ok(Some(span)) => span,
            Err(error) => return Err(self.no_hello(&error)),
        };
        let message = self.decoder.bytes(span);
        match self.options.codec.read_from_worker(message) {
            Ok(FromWorker::Hello(hello)) if hello.version != VERSION => Err(ChildError::Version {
                program: self.program.clone(),
                theirs: hello.version,
                ours: VERSION,
            }),
            Ok(FromWorker::Hello(hello)) if hello.concurrency == 0 => {
                Err(self.no_hello(&"said that it processes nothing at a time"))
            }
            Ok(FromWorker::Hello(hello)) => Ok(Some(hello)),
            Ok(_) => Err(self.no_hello(&"sent another message")),
            Err(error) => Err(self.no_hello(&format!("sent what is no message: {error}"))),
        }
    }

    fn no_hello(&self, reason: &impl ToString) -> ChildError {
        ChildError::NoHello {
            program: self.program.clone(),
            reason: reason.to_string(),
        }
    }

    fn into_child<P: Processor>(self, hello: WorkerHello) -> Child<P>
    where
        P::Output: DeserializeOwned,
    {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let most = self.options.window.unwrap_or(MOST_SENT).clamp(1, MOST_SENT);
        let window = Window::new(
            count(hello.concurrency).min(most),
            count(hello.window).min(most),
        );
        let session = Session::new(
            self.process,
            self.link.duplicate_stdin(),
            self.stdout,
            self.decoder,
            window,
            self.options.codec,
            self.options.attempts,
        );
        session.with(|state| state.sent = self.link.sent());
        if let Some(record) = &self.worker {
            record.set_process(session.id());
        }
        Child {
            session: Arc::new(session),
            link: self.link,
            options: self.options,
            hello,
            next_id: 1,
            answered: 0,
            worker: self.worker,
        }
    }
}

impl<P: Processor> Processor for Child<P>
where
    P::Request: Serialize,
    P::Output: DeserializeOwned,
{
    type Request = P::Request;
    type Output = P::Output;

    /// Has the child process it, and waits for that: for processors that wrap this one. [`run`](Self::run) does not use it.
    ///
    /// One request at a time goes through the pipe, aborts do not reach it, and of the options, `timeout` and what has to do with
    /// several children are not for it.
    ///
    /// # Panics
    ///
    /// Where the process panics or ends.
    fn process(&mut self, request: &P::Request, context: &Context<'_>) -> P::Output {
        match self.exchange(request, context.attempt()) {
            Ok(output) => output,
            Err(failure) => panic!("{failure}"),
        }
    }

    fn run(&mut self, jobs: &mut Jobs<P::Request, P::Output>) {
        Driver::new(self, jobs).run();
    }

    fn is_failure(output: &P::Output) -> bool {
        P::is_failure(output)
    }
}

impl<P: Processor> Child<P> {
    /// It has ended, or is about to: its number will be another's.
    pub(crate) fn forget_process(&self) {
        if let Some(record) = &self.worker {
            record.set_process(0);
        }
    }
}

/// Tells the process that there is no more, waits until it has ended, and kills it if that takes too long.
impl<P: Processor> Drop for Child<P> {
    fn drop(&mut self) {
        self.forget_process();
        self.link.close();
        let deadline = now() + self.options.stop_timeout;
        self.session.finish(&mut self.link, deadline);
    }
}

impl<P: Processor> fmt::Debug for Child<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("worker", &self.link.name)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}
