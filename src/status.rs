//! Plain snapshots of a service and its workers, and how they print.

use std::fmt;
use std::time::Duration;

use crate::request_id::RequestId;

/// Names one worker of a service. Never used again for another.
///
/// A worker keeps it when its processor is rebuilt after a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct WorkerId(pub(crate) u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum WorkerState {
    /// Its processor is being made, at its start, after a panic, or after a factory that failed.
    Starting,
    /// It waits for a request.
    Idle,
    /// It has requests.
    Busy,
    /// It waits for another request of the service to settle.
    Blocked,
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Blocked => "blocked",
        })
    }
}

/// A worker, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Names it, for good.
    pub id: WorkerId,
    /// The name of its thread.
    pub name: String,
    /// What it does.
    pub state: WorkerState,
    /// Time since it was started.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::one"))]
    pub uptime: Duration,
    /// The part of it in which it had requests.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::one"))]
    pub busy: Duration,
    /// The part in which it had none.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::one"))]
    pub idle: Duration,
    /// How many outputs it gave, failures among them.
    pub processed: u64,
    /// How many of these its processor calls a failure.
    pub failed: u64,
    /// How many requests panicked.
    pub panicked: u64,
    /// How many times its processor was made again.
    pub respawns: u64,
    /// How many requests wait for this worker alone, see [`Worker::assign`](crate::Worker::assign).
    pub assigned: usize,
    /// What it has in its hands: one request, as a rule, or none, or several where its processor takes several.
    /// Callbacks that still run count.
    pub requests: Vec<RequestStatus>,
    /// The process that does its work, where that is not this one.
    pub process: Option<ProcessStatus>,
}

/// The process that does a worker's work, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProcessStatus {
    /// What the operating system calls it.
    pub id: u32,
    /// The processor time it has had, its own and the system's on its behalf. `None` where the system does not tell.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::some"))]
    pub cpu: Option<Duration>,
    /// Its resident memory, in bytes. `None` where the system does not tell.
    pub memory: Option<u64>,
}

/// A request that a worker has in its hands, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RequestStatus {
    /// Names it, see [`Promise::id`](crate::Promise::id).
    pub id: RequestId,
    /// For how long. Where requests take a few microseconds or less, that may be about 16 microseconds
    /// too much, or the time of the last few.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::one"))]
    pub running: Duration,
}

impl WorkerStatus {
    /// The share of its time in which it had requests, from 0 to 1. The rest is starvation.
    #[doc(alias = "efficiency")]
    #[doc(alias = "starvation")]
    pub fn utilization(&self) -> f64 {
        let total = (self.busy + self.idle).as_secs_f64();
        if total > 0.0 {
            self.busy.as_secs_f64() / total
        } else {
            0.0
        }
    }

    /// Its busy time for each request that it finished; zero before the first.
    #[doc(alias = "sec_per_job")]
    pub fn mean_process_time(&self) -> Duration {
        mean(self.busy, self.processed + self.panicked)
    }
}

/// How many runs have settled, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Settled {
    /// With an output, failures among them.
    pub outputs: u64,
    /// With an output that the processor calls a failure.
    pub failed: u64,
    /// With a panic.
    pub panicked: u64,
    /// Because everybody left before they began.
    pub aborted: u64,
    /// Because their worker was lost, or none could be made.
    pub worker_lost: u64,
    /// Because the service was stopped before they began.
    pub stopped: u64,
}

impl Settled {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.outputs + self.panicked + self.aborted + self.worker_lost + self.stopped
    }
}

/// A service, at one moment.
///
/// The figures are read one after another while the service works on, so a count may be a moment behind
/// another; none is ever too high. Once nothing is in flight, `settled.total() + coalesced` is the number of
/// requests accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name, see [`ProcessorServiceBuilder::name`](crate::ProcessorServiceBuilder::name).
    pub name: String,
    /// Time since it was started.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::one"))]
    pub uptime: Duration,
    /// Requests that wait for a worker.
    pub queued: usize,
    /// How long the oldest of them has waited; up to two hundredths too much where many wait.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::some"))]
    pub oldest: Option<Duration>,
    /// Requests that workers process. Callbacks that still run do not count.
    pub running: usize,
    /// Runs that have ended.
    pub settled: Settled,
    /// Requests that shared the run of an equal one.
    pub coalesced: u64,
    /// Callbacks that panicked.
    pub callback_panics: u64,
    /// Whether the service is paused.
    pub paused: bool,
    /// Whether it still takes requests.
    pub accepting: bool,
    /// The workers, in the order in which they were added.
    pub workers: Vec<WorkerStatus>,
}

impl ServiceStatus {
    /// The share of their time in which the workers that are there had requests, from 0 to 1.
    pub fn utilization(&self) -> f64 {
        let sum = |time: fn(&WorkerStatus) -> Duration| -> f64 {
            self.workers
                .iter()
                .map(|worker| time(worker).as_secs_f64())
                .sum()
        };
        let uptime = sum(|worker| worker.uptime);
        if uptime > 0.0 {
            sum(|worker| worker.busy) / uptime
        } else {
            0.0
        }
    }

    /// The busy time of the workers that are there for each request that they finished; zero before the first.
    pub fn mean_process_time(&self) -> Duration {
        let busy = self.workers.iter().map(|worker| worker.busy).sum();
        let finished = self.workers.iter();
        let finished = finished.map(|worker| worker.processed + worker.panicked);
        mean(busy, finished.sum())
    }

    /// How many times processors of the workers that are there were made again.
    pub fn respawns(&self) -> u64 {
        self.workers.iter().map(|worker| worker.respawns).sum()
    }
}

fn mean(total: Duration, count: u64) -> Duration {
    let nanos = total.as_nanos().checked_div(u128::from(count));
    Duration::from_nanos(u64::try_from(nanos.unwrap_or(0)).unwrap_or(u64::MAX))
}

/// What a shutdown did, counted in runs, since it was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Processed to their end, whatever the outcome.
    pub finished: u64,
    /// Settled with `Failure::Stopped`, never having begun.
    pub discarded: u64,
    /// Still with a worker when the call returned.
    pub still_running: u64,
}

/// How much a shutdown finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// All that was queued, until `deadline`; what has not begun by then is discarded, and what still runs is
    /// left to end by itself.
    Drain {
        /// When to stop waiting; `None`: never.
        deadline: Option<std::time::Instant>,
    },
    /// What is running. What is queued settles with `Failure::Stopped`.
    Discard,
    /// Nothing: what is queued settles with `Failure::Stopped`, what is running with `Failure::WorkerLost`, at
    /// once. Threads that are still in a request end after it, and nobody waits for them.
    Abandon,
}

impl fmt::Display for ServiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.accepting, self.paused) {
            (true, false) if self.workers.is_empty() => "no workers: requests wait",
            (true, false) => "working",
            (true, true) => "paused",
            (false, _) => "stopped",
        };
        let (name, queued, running) = (&self.name, self.queued, self.running);
        write!(f, "service {name:?}, {state}: {queued} queued")?;
        if let Some(oldest) = self.oldest {
            write!(f, " for up to {oldest:.1?}")?;
        }
        let busy = self.utilization() * 100.0;
        let coalesced = self.coalesced;
        writeln!(
            f,
            ", {running} running, {coalesced} coalesced, {busy:.1}% busy"
        )?;
        writeln!(f, "settled: {}", self.settled)?;
        if self.callback_panics > 0 {
            writeln!(f, "callbacks that panicked: {}", self.callback_panics)?;
        }
        if self.workers.is_empty() {
            return Ok(());
        }
        let names = self
            .workers
            .iter()
            .map(|worker| worker.name.chars().count());
        let width = names.max().unwrap_or(0).max("name".len());
        let has_processes = self.workers.iter().any(|worker| worker.process.is_some());
        let head = [
            "state",
            "holds",
            "waiting",
            "uptime",
            "busy",
            "processed",
            "failed",
            "panicked",
            "respawns",
            "mean",
        ];
        write_row(f, width, "id", "name", head)?;
        write_process(f, has_processes, ["process", "cpu", "memory"])?;
        for worker in &self.workers {
            write_row(
                f,
                width,
                &worker.id.to_string(),
                &worker.name,
                worker.cells().each_ref(),
            )?;
            write_process(f, has_processes, worker.process_cells())?;
        }
        Ok(())
    }
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            outputs,
            failed,
            panicked,
            aborted,
            worker_lost,
            stopped,
        } = self;
        write!(
            f,
            "{outputs} outputs ({failed} failed), {panicked} panicked, {aborted} aborted, \
             {worker_lost} lost, {stopped} stopped"
        )
    }
}

impl WorkerStatus {
    /// What stands behind its name in the table.
    fn cells(&self) -> [String; 10] {
        [
            self.state.to_string(),
            self.requests.len().to_string(),
            self.assigned.to_string(),
            format!("{:.1}s", self.uptime.as_secs_f64()),
            format!("{:.1}%", self.utilization() * 100.0),
            self.processed.to_string(),
            self.failed.to_string(),
            self.panicked.to_string(),
            self.respawns.to_string(),
            format!("{:.1?}", self.mean_process_time()),
        ]
    }
}

impl WorkerStatus {
    /// What stands behind that in the table; dashes for what is not known.
    fn process_cells(&self) -> [String; 3] {
        let dash = || "-".to_owned();
        let Some(process) = self.process else {
            return [(); 3].map(|()| dash());
        };
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        [
            process.id.to_string(),
            process
                .cpu
                .map_or_else(dash, |cpu| format!("{:.1}s", cpu.as_secs_f64())),
            process.memory.map_or_else(dash, mebibytes),
        ]
    }
}

/// Words to the left, figures to the right.
fn write_row(
    f: &mut fmt::Formatter<'_>,
    width: usize,
    id: &str,
    name: &str,
    cells: [impl AsRef<str>; 10],
) -> fmt::Result {
    let [
        state,
        holds,
        waiting,
        uptime,
        busy,
        processed,
        failed,
        panicked,
        respawns,
        mean,
    ] = cells.each_ref().map(AsRef::as_ref);
    write!(
        f,
        "{id:>4} {name:width$} {state:8} {holds:>5} {waiting:>7} {uptime:>9} {busy:>6} {processed:>10}"
    )?;
    write!(f, " {failed:>8} {panicked:>8} {respawns:>8} {mean:>10}")
}

/// What stands behind that where workers have processes, and the end of the line.
fn write_process(
    f: &mut fmt::Formatter<'_>,
    has_processes: bool,
    [id, cpu, memory]: [impl AsRef<str>; 3],
) -> fmt::Result {
    if has_processes {
        let (id, cpu, memory) = (id.as_ref(), cpu.as_ref(), memory.as_ref());
        write!(f, " {id:>8} {cpu:>8} {memory:>10}")?;
    }
    writeln!(f)
}
