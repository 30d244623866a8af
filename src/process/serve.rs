//! The worker's side: a program that is started as a child serves its processor.

use std::any::type_name;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::panic::{Panic, catch, discard, record_locations};
use crate::process::frame::Decoder;
use crate::process::intake::{Input, Intake, Next, Waiting};
use crate::process::message::{
    Codec, FromService, FromWorker, LIMIT, Report, ServiceHello, VERSION, WorkerHello,
};
use crate::process::running::Running;
use crate::process::watcher;
use crate::processor::Processor;
use crate::status::WorkerId;
use crate::sync::process::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, thread};

/// What a child is told in: the codec, the process id of its service, and the processor that it is to serve, if it is the same
/// program.
pub(crate) const VARIABLE: &str = "PARALLEL_WORKERS_CHILD";
/// How many requests a child wants to be sent before it has answered them, at most.
const WINDOW: u32 = 512;

/// Whether this process has become a worker.
static SERVES: AtomicBool = AtomicBool::new(false);

/// Serves a processor, if this process was started for that by a service: then it never returns, and the process ends with
/// the service's worker. Otherwise it does nothing.
///
/// Call it at the head of `main`, once for each processor that [`Child::this_program`](crate::process::Child::this_program) is
/// used with; in a program of its own, that is started by [`Child::command`](crate::process::Child::command), once.
///
/// The processor is made by the factory, and again after each panic. It processes one request after another, on the calling
/// thread. What it prints goes to standard error, which the service passes on; its standard input is empty.
///
/// ```no_run
/// use parallel_workers::{Context, process, processor_fn};
///
/// // A worker program, for `Child::command`.
/// fn main() {
///     process::serve(|| processor_fn(|text: &String, _: &Context| text.len()));
///     eprintln!("this is a worker; a service starts it");
/// }
/// ```
///
/// # Panics
///
/// It does not. Where the factory panics, or the service breaks the protocol, the process exits with status 1, and says why on
/// standard error.
pub fn serve<P>(factory: impl Fn() -> P)
where
    P: Processor,
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    let Some(told) = Told::from_environment() else {
        return;
    };
    if !(told.processor.is_empty() || told.processor == type_name::<P>()) {
        return;
    }
    match told.kin() {
        Kin::Child => {}
        Kin::Orphan => fail(&"the service that started this worker has ended"),
        Kin::Other => return,
    }
    // ORDERING: relaxed; it is read by threads that this one starts later.
    SERVES.store(true, Ordering::Relaxed);
    record_locations();
    match begin(&told) {
        Ok(intake) => work(&Arc::new(intake), &factory),
        Err(error) => fail(&error),
    }
    std::process::exit(0);
}

/// Whether this process was started as a child, and has not become a worker.
pub(crate) fn is_unserved_child() -> bool {
    !SERVES.load(Ordering::Relaxed)
        && Told::from_environment().is_some_and(|told| told.kin() == Kin::Child)
}

/// The process cannot go on.
pub(crate) fn fail(error: &dyn std::fmt::Display) -> ! {
    eprintln!("parallel-workers: {error}");
    std::process::exit(1);
}

/// What the variable says.
struct Told {
    codec: Codec,
    service: u32,
    processor: String,
}

/// What the service is to this process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kin {
    Child,
    /// A child whose parent has ended.
    Orphan,
    /// It has inherited the variable.
    Other,
}

impl Told {
    fn from_environment() -> Option<Self> {
        let variable = std::env::var(VARIABLE).ok()?;
        let mut words = variable.splitn(3, ' ');
        let codec = match words.next()? {
            "postcard" => Codec::Postcard,
            "json" => Codec::Json,
            _ => return None,
        };
        Some(Self {
            codec,
            service: words.next()?.parse().ok()?,
            processor: words.next().unwrap_or_default().to_owned(),
        })
    }

    fn kin(&self) -> Kin {
        if std::os::unix::process::parent_id() == self.service {
            return Kin::Child;
        }
        // A child leads a group, and its input is a pipe. One that such a one started has neither, as a rule.
        let leads = rustix::process::getpgrp() == rustix::process::getpid();
        let has_pipe = rustix::fs::fstat(io::stdin())
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo());
        if leads && has_pipe {
            Kin::Orphan
        } else {
            Kin::Other
        }
    }
}

/// Takes the pipes, and says hello.
fn begin(told: &Told) -> io::Result<Intake> {
    end_with_parent(told)?;
    let (stdin, stdout) = take_pipes()?;
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let mut input = Input {
        stdin,
        decoder: Decoder::new(told.codec.framing(), limit),
    };
    let service = hear_hello(told.codec, &mut input)?;
    let limit = service.limit.max(LIMIT);
    input
        .decoder
        .raise_limit(usize::try_from(limit).unwrap_or(usize::MAX));
    let intake = Intake::new(
        told.codec,
        service.limit,
        WorkerId(service.id),
        input,
        stdout,
    );
    intake.say(&FromWorker::Hello(WorkerHello {
        version: VERSION,
        concurrency: 1,
        window: WINDOW,
        limit,
    }))?;
    if service.version != VERSION {
        let theirs = service.version;
        fail(&format!(
            "the service speaks version {theirs} of the protocol, and this worker {VERSION}"
        ));
    }
    Ok(intake)
}

/// Has the system end this process with the thread that started it. It may have ended before: then nothing would tell.
#[cfg(target_os = "linux")]
fn end_with_parent(told: &Told) -> io::Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL))?;
    if told.kin() != Kin::Child {
        fail(&"the service that started this worker has ended");
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &Told) -> io::Result<()> {
    Ok(())
}

/// Keeps the pipes for messages: what else is printed goes to standard error, and nothing else reads them.
fn take_pipes() -> io::Result<(OwnedFd, OwnedFd)> {
    let keep = |fd: std::os::fd::BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let pipes = (keep(io::stdin().as_fd())?, keep(io::stdout().as_fd())?);
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(pipes)
}

fn hear_hello(codec: Codec, input: &mut Input) -> io::Result<ServiceHello> {
    let Input { stdin, decoder } = input;
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    loop {
        if let Some(span) = decoder.next().map_err(|error| invalid(error.to_string()))? {
            return match codec.read_from_service(decoder.bytes(span)) {
                Ok(FromService::Hello(hello)) => Ok(hello),
                Ok(_) => Err(invalid("the service did not say hello first".to_owned())),
                Err(error) => Err(invalid(error.to_string())),
            };
        }
        match decoder.read(|room| Ok(rustix::io::read(&*stdin, room)?)) {
            // It has thought better of it.
            Ok(0) => std::process::exit(0),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

/// Processes what comes, until there is no more.
fn work<P>(intake: &Arc<Intake>, factory: &impl Fn() -> P)
where
    P: Processor,
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    let watched = Arc::clone(intake);
    let watcher = thread::Builder::new().name("watcher".to_owned());
    if let Err(error) = watcher.spawn(move || watcher::watch(&watched)) {
        fail(&error);
    }
    let mut processor = make(factory);
    let mut out = Vec::new();
    let mut done = None;
    loop {
        match intake.next(done.take()) {
            Next::Leave => break,
            Next::Read => intake.read().unwrap_or_else(|error| fail(&error)),
            Next::Process(waiting, running) => {
                let is_spoilt = process(&mut processor, intake, &waiting, &running, &mut out);
                intake.answering();
                intake.write(&out).unwrap_or_else(|error| fail(&error));
                out.clear();
                if is_spoilt {
                    discard(processor);
                    processor = make(factory);
                }
                done = Some(waiting);
            }
        }
    }
    discard(processor);
}

fn make<P>(factory: &impl Fn() -> P) -> P {
    catch(factory).unwrap_or_else(|panic| fail(&format!("the factory panicked: {panic}")))
}

/// Processes one request, and writes the answer into `out`. Whether the processor is to be made anew.
fn process<P>(
    processor: &mut P,
    intake: &Intake,
    waiting: &Waiting,
    running: &Running,
    out: &mut Vec<u8>,
) -> bool
where
    P: Processor,
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    let (codec, id) = (intake.codec(), waiting.id);
    let request: P::Request = match decode(codec, &waiting.request) {
        Ok(request) => request,
        Err(panic) => {
            report(intake, id, panic, out);
            return false;
        }
    };
    let context = running.context(waiting.attempt);
    let written = catch(|| {
        let output = processor.process(&request, &context);
        codec.write_output(out, intake.limit(), id, &output)
    });
    discard(request);
    let is_spoilt = written.is_err();
    let failed = written.map(|written| {
        let error = written.err()?;
        let message = format!("the worker cannot send the output: {error}");
        Some(Panic::new(message, None))
    });
    if let Some(panic) = failed.unwrap_or_else(Some) {
        report(intake, id, panic, out);
    }
    is_spoilt
}

/// What a request is, or why that cannot be said.
fn decode<R: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> Result<R, Panic> {
    // The request's own code.
    let decoded = catch(|| codec.decode(bytes))?;
    decoded.map_err(|error| {
        let message = format!("the worker cannot decode the request: {error}");
        Panic::new(message, None)
    })
}

/// Answers that there is no output.
fn report(intake: &Intake, id: u64, panic: Panic, out: &mut Vec<u8>) {
    out.clear();
    let report = Report {
        message: panic.message().to_owned(),
        location: panic.location().map(str::to_owned),
    };
    let message = FromWorker::Panicked { id, report };
    let codec = intake.codec();
    if codec
        .write_from_worker(out, intake.limit(), &message)
        .is_ok()
    {
        return;
    }
    // It is too long for the service.
    let short = FromWorker::Panicked {
        id,
        report: Report {
            message: "it failed, and the reason is too long to be sent".to_owned(),
            location: None,
        },
    };
    let written = codec.write_from_worker(out, u32::MAX, &short);
    debug_assert!(written.is_ok(), "it can be written: {written:?}");
}
