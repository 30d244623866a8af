//! What is left when all is done: nothing. Counted by an allocator, and by the kernel.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::time::Duration;

use dhat::HeapStats;
use parallel_workers::{Context, Processor, ProcessorService, processor_fn};
use support::limit_time;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn start(workers: usize) -> ProcessorService<impl Processor<Request = u32, Output = String>> {
    let service = ProcessorService::start(workers, || {
        processor_fn(|n: &u32, _: &Context<'_>| {
            assert!(!n.is_multiple_of(100), "one in a hundred");
            n.to_string()
        })
    });
    service.unwrap()
}

/// One request in a hundred panics, one in twenty is aborted, and one in twenty waited for with no patience.
fn mixed(service: &ProcessorService<impl Processor<Request = u32, Output = String>>, n: u32) {
    for first in (0..n).step_by(1000) {
        let requests = first..first + 1000;
        let promises: Vec<_> = requests.map(|n| service.queue_request(n)).collect();
        for (index, promise) in promises.iter().enumerate() {
            match index % 20 {
                3 => _ = promise.abort(),
                7 => _ = promise.wait_timeout(Duration::ZERO),
                _ => {}
            }
        }
        for promise in &promises {
            let _settled = promise.wait();
        }
    }
    service.wait_idle();
}

fn heap_is_flat_over_many_requests(n: u32) {
    let service = start(2);
    mixed(&service, n);
    let before = HeapStats::get();
    mixed(&service, n);
    mixed(&service, n);
    let after = HeapStats::get();
    let more = after.curr_blocks.saturating_sub(before.curr_blocks);
    // What two workers keep of runs that have just ended differs from one time to the next.
    assert!(more < 200, "{more} blocks more than after the first {n}");
}

fn a_hundred_services_leave_nothing_behind() {
    let one = |n: u32| {
        let service = start(4);
        let promises = service.queue_requests(1..50);
        let events = service.subscribe();
        service.add_workers(1).unwrap();
        let worker = service.worker_named("worker-0").unwrap();
        drop(worker.assign(n));
        worker.kill().unwrap();
        match n % 3 {
            0 => service.stop(),
            1 => drop(service),
            _ => _ = promises.wait_for_all(),
        }
        drop(events);
    };
    // Threads and handles that are made once.
    (0..3).for_each(one);
    let settled = || {
        // A thread that was killed while it was on its way ends by itself.
        while count("/proc/self/task") > 3 {
            std::thread::yield_now();
        }
        (count("/proc/self/fd"), HeapStats::get().curr_blocks)
    };
    let (descriptors, blocks) = settled();
    (0..100).for_each(one);
    let (descriptors_now, blocks_now) = settled();
    assert_eq!(descriptors_now, descriptors);
    assert!(
        blocks_now <= blocks + 8,
        "{blocks_now} blocks instead of {blocks}"
    );
}

/// One test, for the counts are of the whole process. `LEAK_REQUESTS=1000000` for more.
#[test]
fn nothing_is_left_of_requests_and_services() {
    limit_time();
    std::panic::set_hook(Box::new(|_| {}));
    let _profiler = dhat::Profiler::builder().testing().build();
    let n = std::env::var("LEAK_REQUESTS")
        .ok()
        .and_then(|n| n.parse().ok());
    heap_is_flat_over_many_requests(n.unwrap_or(20_000) / 1000 * 1000);
    a_hundred_services_leave_nothing_behind();
}
