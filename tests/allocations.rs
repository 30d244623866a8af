//! What is allocated for a request, counted. Times depend on the machine; this does not.
//!
//! Without the feature `tracing`, which keeps a span for each run: `cargo test --test allocations`.
#![cfg(not(feature = "tracing"))]

use dhat::HeapStats;
use parallel_workers::{Context, Processor, ProcessorService, processor_fn};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const REQUESTS: u64 = 20_000;

fn start() -> ProcessorService<impl Processor<Request = u64, Output = u64>> {
    let builder = ProcessorService::builder().workers(1).paused(true);
    let service = builder.start(|| processor_fn(|n: &u64, _: &Context<'_>| n.wrapping_mul(3)));
    service.unwrap()
}

/// How many blocks were allocated meanwhile, for each of the requests.
fn blocks(f: impl FnOnce()) -> f64 {
    let before = HeapStats::get().total_blocks;
    f();
    (HeapStats::get().total_blocks - before) as f64 / REQUESTS as f64
}

/// One test, for the counts are of the whole process.
#[test]
fn a_request_is_one_allocation_and_leaves_nothing_behind() {
    let _profiler = dhat::Profiler::builder().testing().build();
    // What threads keep from the first time on.
    let first = start();
    first.resume();
    first.queue_requests(0..REQUESTS).wait_for_all();
    drop(first);
    let at_rest = HeapStats::get().curr_bytes;

    // The run itself; tables and lanes grow by doubling, and members of a set share what tells it in dozens.
    let service = start();
    let mut promises = Vec::with_capacity(REQUESTS as usize);
    let queued = blocks(|| promises.extend((0..REQUESTS).map(|n| service.queue_request(n))));
    assert!((1.0..1.03).contains(&queued), "queued: {queued}");
    let inserted = blocks(|| drop(service.queue_requests(REQUESTS..2 * REQUESTS)));
    assert!((1.0..1.05).contains(&inserted), "in bulk: {inserted}");
    let joined = blocks(|| promises.extend((0..REQUESTS).map(|_| service.queue_request(7))));
    assert!(joined < 0.001, "joined: {joined}");
    let aborted = blocks(|| promises.iter().for_each(|promise| _ = promise.abort()));
    assert!(aborted < 0.2, "aborted: {aborted}");
    drop(promises);

    let promises: Vec<_> = (0..REQUESTS).map(|n| service.queue_request(n)).collect();
    let processed = blocks(|| {
        service.resume();
        service.wait_idle();
    });
    assert!(processed < 0.01, "processed: {processed}");
    let waited = blocks(|| {
        promises
            .iter()
            .for_each(|promise| assert!(promise.wait().is_ok()))
    });
    assert!(waited < 0.001, "waited for: {waited}");
    drop(promises);
    drop(service);

    let left = HeapStats::get().curr_bytes.saturating_sub(at_rest);
    assert!(left < 1024, "{left} bytes left");
}
