//! How much memory a queued request takes, seen from outside: by the resident memory of a process of its own.

use std::env;
use std::fs;
use std::hint::black_box;
use std::process::Command;

use parallel_workers::{Context, ProcessorService, processor_fn};

use crate::case::{Case, Goal, measured};
use crate::ours::start;

/// Set for the process that is measured: how many requests it queues.
const REQUESTS: &str = "PEERS_MEMORY_REQUESTS";

/// Queues so many, keeps their promises, processes them, and lets go of everything.
fn queue_and_process(n: u64) {
    // What a thread keeps from its first wait on is not to lie behind all the rest.
    let first = start(1, |n: &u64| *n);
    first.queue_request(1).wait().expect("nothing fails here");
    drop(first);
    let before = resident("VmRSS");
    let builder = ProcessorService::builder().workers(2).paused(true);
    let service = builder.start(|| processor_fn(|n: &u64, _: &Context<'_>| n.wrapping_mul(3)));
    let service = service.expect("the service starts");
    let mut promises = Vec::with_capacity(n as usize);
    promises.extend((0..n).map(|request| service.queue_request(request)));
    let queued = resident("VmHWM");
    service.resume();
    service.wait_idle();
    drop(promises);
    drop(service);
    clear_up();
    let after = resident("VmRSS");
    println!("{before} {queued} {after}");
}

/// glibc keeps small blocks that were freed until something larger is, and puts them together then. Any program does that
/// sooner or later, so the time for it belongs to whoever freed them.
pub fn clear_up() {
    drop(black_box(vec![1_u8; 100_000]));
}

/// Bytes, as the kernel counts them.
fn resident(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kilobytes = line.and_then(|line| {
        line.trim_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok()
    });
    kilobytes.unwrap_or(0) * 1024
}

/// What this process is to do, if it was started by the case below.
pub fn serve() -> bool {
    let requests = env::var(REQUESTS).ok().and_then(|n| n.parse().ok());
    requests.map(queue_and_process).is_some()
}

/// Resident bytes before, at most while all are queued, and after all.
fn measure(n: u64) -> [f64; 3] {
    let program = env::current_exe().expect("the program knows itself");
    let output = Command::new(program).env(REQUESTS, n.to_string()).output();
    let printed = output.expect("the program starts again").stdout;
    let printed = String::from_utf8_lossy(&printed);
    let mut bytes = printed
        .split_whitespace()
        .map(|one| one.parse().expect("bytes"));
    [(); 3].map(|()| bytes.next().expect("three figures"))
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
            measured("ours, queued", move |n| {
                let [before, queued, _] = measure(n);
                each(queued - before, n)
            }),
            measured("ours, when done", move |n| {
                let [before, _, after] = measure(n);
                each((after - before).max(0.0), n)
            }),
        ],
        goals: vec![Goal::units("ours, queued", 128.0)],
    }
}
