//! Promises come in the order in which they settle, not in that in which they were queued.
//!
//! `cargo run --example select`
//!
//! ```text
//! three runners start: 3, 1, 2
//! 1 is home, 2 still run
//! 2 is home, 1 still run
//! 3 is home, 0 still run
//! all at once: [1, 2, 3]
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::yield_now;

use parallel_workers::{Context, ProcessorService, processor_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let home = Arc::new(AtomicU64::new(0));
    let finish = Arc::clone(&home);
    let service = ProcessorService::start(3, move || {
        let home = Arc::clone(&home);
        processor_fn(move |place: &u64, _: &Context<'_>| {
            // Each runs until those before it are home.
            while home.load(Ordering::SeqCst) + 1 < *place {
                yield_now();
            }
            *place
        })
    })?;

    println!("three runners start: 3, 1, 2");
    let promises = service.queue_requests([3, 1, 2]);
    for promise in promises.select() {
        println!("{} is home, {} still run", promise.wait()?, promises.len());
        finish.fetch_add(1, Ordering::SeqCst);
    }

    let promises = service.queue_requests([3, 1, 2]);
    let mut all = Vec::new();
    promises.wait_for_all_with(|promise| all.push(*promise.request()));
    all.sort_unstable();
    println!("all at once: {all:?}");
    Ok(())
}
