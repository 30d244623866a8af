//! Callbacks run on the worker that settles a promise, at once on the caller's thread if it is settled, or on the
//! calling thread by way of a set.
//!
//! `cargo run --example callbacks`
//!
//! ```text
//! on worker-0: 12 squared is 144
//! on main: 12 squared is 144
//! on main: 1 squared is 1
//! on main: 2 squared is 4
//! on main: 3 squared is 9
//! ```

use std::error::Error;
use std::thread;

use parallel_workers::{Context, ProcessorService, Promise, processor_fn};

fn report(promise: &Promise<u64, u64>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("a thread without a name");
    match promise.wait() {
        Ok(square) => println!("on {name}: {} squared is {square}", promise.request()),
        Err(failure) => println!("on {name}: {failure}"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let service = ProcessorService::builder()
        .workers(1)
        .paused(true)
        .start(|| processor_fn(|n: &u64, _: &Context<'_>| n * n))?;

    // Registered while the request is queued: the worker calls back.
    let promise = service.queue_request(12);
    promise.on_settled(report);
    service.resume();
    service.wait_idle();

    // Registered when it is settled: called at once, here.
    promise.on_settled(report);

    // Not the workers but this thread, as the promises settle.
    service.queue_requests(1..=3).wait_for_all_with(report);
    Ok(())
}
