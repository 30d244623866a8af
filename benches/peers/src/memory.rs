//! How much memory a queued request takes, seen from outside: by the resident memory of a process of its own.

use std::env;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parallel_workers::{Context, ProcessorService, Shutdown, processor_fn};

use crate::awaiting;
use crate::case::{Case, Goal, measured};

/// Set for the process that is measured: how many requests it queues.
const REQUESTS: &str = "PEERS_MEMORY_REQUESTS";
/// The same for one that has requests wait for a timer, or tasks of tokio.
const WAITING: &str = "PEERS_MEMORY_WAITING";
const TASKS: &str = "PEERS_MEMORY_TASKS";

/// Queues so many, keeps their promises, processes them, and lets go of everything. Gives what was resident while all
/// were queued.
fn queue_and_process(n: u64) -> u64 {
    let builder = ProcessorService::builder().workers(2).paused(true);
    let service = builder.start(|| processor_fn(|n: &u64, _: &Context<'_>| n.wrapping_mul(3)));
    let service = service.expect("the service starts");
    let mut promises = Vec::with_capacity(n as usize);
    promises.extend((0..n).map(|request| service.queue_request(request)));
    let queued = resident("VmHWM");
    service.resume();
    promises
        .iter()
        .for_each(|promise| _ = promise.wait().expect("nothing fails here"));
    drop(promises);
    drop(service);
    // What a thread has at hand it gives back at its very end.
    while of_this_process("Threads") > 1 {
        thread::yield_now();
    }
    clear_up();
    queued
}

/// The same, measured from outside.
fn measure_here(n: u64) {
    // Once with few, so that the program's own code is resident before.
    queue_and_process(n.min(1_000));
    let before = resident("VmRSS");
    let queued = queue_and_process(n);
    let after = resident("VmRSS");
    println!("{before} {queued} {after}");
}

/// glibc keeps small blocks that were freed until something larger is, and puts them together then. Any program does that
/// sooner or later, so the time for it belongs to whoever freed them, and not to who comes next.
pub fn clear_up() {
    drop(black_box(vec![1_u8; 100_000]));
}

/// Bytes, as the kernel counts them.
fn resident(what: &str) -> u64 {
    of_this_process(what) * 1024
}

fn of_this_process(what: &str) -> u64 {
    // No memory of the allocator's: what it keeps of that would lie behind the requests, and hold on to theirs.
    let mut status = [0; 4096];
    let read = File::open("/proc/self/status").and_then(|mut file| file.read(&mut status));
    let status = str::from_utf8(&status[..read.unwrap_or(0)]).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let figure = line.and_then(|line| {
        line.trim_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok()
    });
    figure.unwrap_or(0)
}

/// What this process is to do, if it was started by the case below.
pub fn serve() -> bool {
    let asked = |name| env::var(name).ok().and_then(|n| n.parse().ok());
    asked(REQUESTS).map(measure_here).is_some()
        || asked(WAITING).map(wait_here).is_some()
        || asked(TASKS).map(spawn_here).is_some()
}

/// None of them comes to its end while this is measured.
const AN_HOUR: Option<Duration> = Some(Duration::from_secs(3_600));

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_time().build();
    runtime.expect("the runtime starts")
}

/// So many requests wait for a timer, each with a promise.
fn wait_here(n: u64) {
    let runtime = runtime();
    let service = awaiting::start(n as usize, AN_HOUR, Some(runtime.handle().clone()));
    // Once with few, so that the program's own code is resident before.
    let few: Vec<_> = (n..n + 100).map(|n| service.queue_request(n)).collect();
    while service.status().queued > 0 {
        thread::yield_now();
    }
    let before = resident("VmRSS");
    let mut promises = Vec::with_capacity(n as usize);
    promises.extend((0..n - 100).map(|n| service.queue_request(n)));
    while service.status().queued > 0 {
        thread::yield_now();
    }
    let waiting = resident("VmRSS");
    println!("{before} {waiting} 0");
    drop(few);
    service.shutdown(Shutdown::Abandon);
}

/// So many tasks wait for a timer, each with its handle.
fn spawn_here(n: u64) {
    let runtime = runtime();
    let begun = Arc::new(AtomicU64::new(0));
    let spawn = |n| {
        let begun = Arc::clone(&begun);
        runtime.spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            drop(begun);
            awaiting::triple(n, AN_HOUR).await
        })
    };
    let few: Vec<_> = (0..100).map(spawn).collect();
    let wait_for = |n| {
        while begun.load(Ordering::Relaxed) < n {
            thread::yield_now();
        }
    };
    wait_for(100);
    let before = resident("VmRSS");
    let mut handles = Vec::with_capacity(n as usize);
    handles.extend((0..n - 100).map(spawn));
    wait_for(n);
    let waiting = resident("VmRSS");
    println!("{before} {waiting} 0");
    drop(few);
    runtime.shutdown_background();
}

/// Resident bytes before, at most while all are queued, and after all.
fn measure(what: &str, n: u64) -> [f64; 3] {
    let program = env::current_exe().expect("the program knows itself");
    let mut command = Command::new(program);
    command.env(what, n.to_string());
    // The default of glibc, which otherwise raises it by itself, and keeps up to 64 MB for each thread that it has seen.
    command.env("MALLOC_TRIM_THRESHOLD_", "131072");
    let output = command.output();
    let printed = output.expect("the program starts again").stdout;
    let printed = String::from_utf8_lossy(&printed);
    let mut bytes = printed
        .split_whitespace()
        .map(|one| one.parse().expect("bytes"));
    [(); 3].map(|()| bytes.next().expect("three figures"))
}

/// What waits for a timer, and is awaited by somebody.
pub fn waiting() -> Case {
    let each = |what, n: u64| {
        let [before, waiting, _] = measure(what, n.max(200));
        (n, (waiting - before) / (n.max(200) - 100) as f64)
    };
    Case {
        name: "waiting",
        work: "requests that wait for a timer, promises kept: resident memory",
        unit: "bytes",
        rounds: 3,
        requests: 1_000_000,
        expected: |n| n,
        contenders: vec![
            measured("ours", move |n| each(WAITING, n)),
            measured("a task of tokio, handle kept", move |n| each(TASKS, n)),
        ],
        goals: vec![Goal::ratio("ours", 1.5, "a task of tokio, handle kept")],
    }
}

pub fn case() -> Case {
    let each = |bytes: f64, n: u64| (n, bytes / n as f64);
    Case {
        name: "memory",
        work: "queued, promises kept: resident memory at its peak, and what stays when all is done",
        unit: "bytes",
        rounds: 3,
        requests: 10_000_000,
        expected: |n| n,
        contenders: vec![
            measured("ours, before", move |n| {
                let [before, ..] = measure(REQUESTS, n);
                each(before, n)
            }),
            measured("ours, queued", move |n| {
                let [before, queued, _] = measure(REQUESTS, n);
                each(queued - before, n)
            }),
            measured("ours, when done", move |n| {
                let [.., after] = measure(REQUESTS, n);
                each(after, n)
            }),
        ],
        goals: vec![
            Goal::units("ours, queued", 128.0),
            Goal::ratio("ours, when done", 1.1, "ours, before"),
        ],
    }
}
