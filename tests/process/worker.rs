//! The processor that the children of these tests serve, and what it is asked for.

use std::process::Command;

use parallel_workers::process::{Child, ChildBuilder};
use parallel_workers::{Context, Processor, ProcessorService};
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::door::knock;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum How {
    Kill,
    Segmentation,
    Abort,
    Exit(i32),
    Panic,
}

impl How {
    /// All that end a process; a panic does not.
    pub(crate) const ALL: [Self; 5] = [
        Self::Kill,
        Self::Segmentation,
        Self::Abort,
        Self::Exit(0),
        Self::Exit(99),
    ];

    pub(crate) fn end(self) -> ! {
        match self {
            Self::Kill => signal(Signal::KILL),
            Self::Segmentation => signal(Signal::SEGV),
            Self::Abort => std::process::abort(),
            Self::Exit(code) => std::process::exit(code),
            Self::Panic => panic!("in the middle of it"),
        }
    }

    /// As an argument of a program, and back.
    pub(crate) fn word(self) -> String {
        serde_json::to_string(&self).unwrap()
    }

    pub(crate) fn from_word(word: &str) -> Self {
        serde_json::from_str(word).unwrap()
    }

    /// What is said of it.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Segmentation => "SIGSEGV",
            Self::Abort => "SIGABRT",
            Self::Exit(0) => "exit status: 0",
            Self::Exit(_) => "exit status: 99",
            Self::Panic => "panic",
        }
    }
}

fn signal(signal: Signal) -> ! {
    // The first one may be taken by the standard library's handler, which looks for overflows of stacks.
    loop {
        kill_process(getpid(), signal).unwrap();
    }
}

/// A value that ends the process that reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct EndsReader(pub(crate) Option<How>);

impl<'de> Deserialize<'de> for EndsReader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<How>::deserialize(deserializer)? {
            Some(how) => how.end(),
            None => Ok(Self(None)),
        }
    }
}

/// A value that ends the process that writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct EndsWriter(pub(crate) Option<How>);

impl Serialize for EndsWriter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(how) => how.end(),
            None => Option::<How>::None.serialize(serializer),
        }
    }
}

/// A value that can be written, and not read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Unreadable(pub(crate) u8);

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer)?;
        Err(serde::de::Error::custom("it is not to be read"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Task {
    Echo(u64),
    Text(String),
    Long(usize),
    Panic(String),
    /// Ends where the request is decoded.
    EndDecoding(EndsReader),
    EndRunning(How),
    /// Ends where the answer is encoded.
    EndEncoding(How),
    /// Ends, unless it is at least its attempt of this number.
    EndUntil(u32),
    /// Knocks at a door, and is let in.
    Knock {
        door: u16,
        number: u64,
    },
    /// Knocks at a door, is let in, and ends.
    KnockAndEnd {
        door: u16,
        number: u64,
        how: How,
    },
    /// Knocks at a door, and waits until nobody wants its output.
    UntilCancelled {
        door: u16,
        number: u64,
    },
    /// Ends another process.
    EndProcess(u32),
    ProcessId,
    /// Starts a process that does nothing for long.
    Start,
    /// Keeps so many bytes.
    Keep(usize),
    Print(usize),
    /// Cannot be decoded.
    UnreadableRequest(Unreadable),
    /// What comes of it cannot be decoded.
    UnreadableAnswer,
    /// Knocks at this door when the processor is dropped.
    KnockAtTheEnd {
        door: u16,
        number: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Number(u64),
    Text(String),
    Ends(EndsWriter),
    Unreadable(Unreadable),
}

#[derive(Default)]
pub(crate) struct Worker {
    kept: Vec<u8>,
    /// Nobody waits for it: it is to end with this process.
    started: Option<std::process::Child>,
    at_the_end: Option<(u16, u64)>,
}

impl Processor for Worker {
    type Request = Task;
    type Output = Answer;

    fn process(&mut self, task: &Task, context: &Context<'_>) -> Answer {
        match task {
            Task::Echo(number) => return Answer::Number(*number),
            Task::Text(text) => return Answer::Text(text.clone()),
            Task::Long(length) => return Answer::Text("x".repeat(*length)),
            Task::Panic(message) => panic!("{message}"),
            Task::EndDecoding(_) | Task::UnreadableRequest(_) => {}
            Task::EndRunning(how) => how.end(),
            Task::EndEncoding(how) => return Answer::Ends(EndsWriter(Some(*how))),
            Task::EndUntil(attempt) if context.attempt() < *attempt => How::Kill.end(),
            Task::EndUntil(_) => return Answer::Number(u64::from(context.attempt())),
            Task::Knock { door, number } => {
                knock(*door, *number);
                return Answer::Number(*number);
            }
            Task::KnockAndEnd { door, number, how } => {
                knock(*door, *number);
                how.end();
            }
            Task::UntilCancelled { door, number } => {
                knock(*door, *number);
                futures::executor::block_on(context.cancelled());
                assert!(context.is_cancelled());
                knock(*door, *number + 1);
            }
            Task::EndProcess(id) => {
                let id = Pid::from_raw(i32::try_from(*id).unwrap()).unwrap();
                // It may have ended.
                let _ = kill_process(id, Signal::KILL);
            }
            Task::ProcessId => return Answer::Number(u64::from(std::process::id())),
            Task::Start => {
                self.started = Some(Command::new("sleep").arg("1000").spawn().unwrap());
                let id = self.started.as_ref().unwrap().id();
                return Answer::Number(u64::from(id));
            }
            Task::Keep(bytes) => self.kept.resize(*bytes, 7),
            Task::Print(lines) => {
                for line in 0..*lines {
                    println!("line {line}");
                }
            }
            Task::UnreadableAnswer => return Answer::Unreadable(Unreadable(0)),
            Task::KnockAtTheEnd { door, number } => self.at_the_end = Some((*door, *number)),
        }
        Answer::Number(0)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some((door, number)) = self.at_the_end {
            knock(door, number);
        }
    }
}

pub(crate) type Service = ProcessorService<Child<Worker>>;

/// So many workers, each with a child that is this program.
pub(crate) fn start(workers: usize) -> Service {
    start_with(workers, |child| child)
}

pub(crate) fn start_with(
    workers: usize,
    options: impl Fn(ChildBuilder<Worker>) -> ChildBuilder<Worker> + Send + Sync + 'static,
) -> Service {
    let builder = ProcessorService::builder().workers(workers).name("child");
    let child = move || options(quiet(Child::this_program())).start();
    builder.try_start(child).unwrap()
}

/// What children say of their panics is expected.
pub(crate) fn quiet<P: Processor>(child: ChildBuilder<P>) -> ChildBuilder<P>
where
    P::Request: Serialize,
    P::Output: for<'de> Deserialize<'de>,
{
    child.on_stderr(|_, _| {})
}

/// Has the children find out that requests are short, so that many are sent ahead.
pub(crate) fn warm_up(service: &Service) {
    let warm = service.queue_requests((0..2_000).map(|n| Task::Echo(1_000_000 + n)));
    warm.wait_for_all_with(|promise| assert!(promise.wait().is_ok()));
}

/// The process ids of the workers' children.
pub(crate) fn processes(service: &Service) -> Vec<u32> {
    let workers = service.workers().into_iter();
    workers
        .filter_map(|worker| Some(worker.process?.id))
        .collect()
}
