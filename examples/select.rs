//! Promises come in the order in which they settle, not in that in which they were queued.
//!
//! `cargo run --example select`
//!
//! ```text
//! queued: 30 ms, 10 ms, 20 ms
//! 10 ms is done, 2 to come
//! 20 ms is done, 1 to come
//! 30 ms is done, 0 to come
//! all at once: [1, 2, 3]
//! ```

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use parallel_workers::{Context, ProcessorService, processor_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let service = ProcessorService::start(3, || {
        processor_fn(|millis: &u64, _: &Context<'_>| {
            sleep(Duration::from_millis(*millis));
            *millis
        })
    })?;

    println!("queued: 30 ms, 10 ms, 20 ms");
    let promises = service.queue_requests([30, 10, 20]);
    for promise in promises.select() {
        println!("{} ms is done, {} to come", promise.wait()?, promises.len());
    }

    let promises = service.queue_requests([3, 1, 2]);
    let mut all = Vec::new();
    promises.wait_for_all_with(|promise| all.push(*promise.request()));
    all.sort_unstable();
    println!("all at once: {all:?}");
    Ok(())
}
