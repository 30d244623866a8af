//! What an idle service costs.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use parallel_workers::ProcessorService;
use support::{Gated, Numbers};

/// Nanoseconds that the threads of this name have run, all together.
fn processor_time(name: &str) -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let named = tasks.filter(|task| {
        let own = fs::read_to_string(task.path().join("comm"));
        own.is_ok_and(|own| own.trim_end().starts_with(name))
    });
    let times = named.map(|task| {
        let times = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        times
            .split(' ')
            .next()
            .and_then(|time| time.parse::<u64>().ok())
            .unwrap_or(0)
    });
    times.sum()
}

/// Lets time pass, which is what is measured here; a park may return early.
fn pass_time(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::thread::park_timeout(time);
    }
}

fn start(name: &str) -> (ProcessorService<Numbers>, Gated) {
    let gated = Gated::new();
    gated.gate.open();
    let builder = ProcessorService::builder().workers(4).name(name);
    (gated.start(builder), gated)
}

#[test]
fn a_service_that_has_been_idle_for_a_moment_uses_no_processor_time() {
    let (service, _gated) = start("sleeper");
    service.queue_requests(0..1000).wait_for_all();
    // They look out for a moment before they sleep; on a busy machine that moment may come late.
    let begin = Instant::now();
    let mut before = processor_time("sleeper");
    loop {
        pass_time(Duration::from_millis(20));
        let now = processor_time("sleeper");
        if now == before {
            break;
        }
        before = now;
        assert!(begin.elapsed() < Duration::from_secs(60), "they never rest");
    }
    pass_time(Duration::from_millis(100));
    assert!(before > 0);
    assert_eq!(processor_time("sleeper"), before);
    assert_eq!(service.queue_request(1).wait(), Ok(&1));
}

#[test]
fn a_waiting_caller_uses_no_processor_time_either() {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(1));
    let promise = service.queue_request(1);
    gated.gate.wait_for(1);
    let waiting = std::thread::Builder::new().name("waiter".into());
    let waiting = waiting.spawn(move || promise.wait().copied()).unwrap();
    let mut before = u64::MAX;
    let begin = Instant::now();
    loop {
        let now = processor_time("waiter");
        if now == before && now > 0 {
            break;
        }
        before = now;
        assert!(begin.elapsed() < Duration::from_secs(60), "it never rests");
        pass_time(Duration::from_millis(20));
    }
    gated.gate.open();
    assert_eq!(waiting.join().unwrap(), Ok(1));
}
