//! Child processes: the same program, where a crash is one request's and nobody else's.
//!
//! `cargo run --example children --features process`
//!
//! ```text
//! 12 / 4 = 3
//! 12 / 0: processing the request panicked: attempt to divide by zero, at examples/children.rs:29:9
//! 13 / 1: the worker that had the request was lost: its process ended, signal: 6 (SIGABRT)
//! 14 / 7 = 2
//! ```

use std::error::Error;

use parallel_workers::process::{self, Child};
use parallel_workers::{Context, Processor, ProcessorService};

/// Divides, and does what C libraries do.
struct Divider;

impl Processor for Divider {
    type Request = (u32, u32);
    type Output = u32;

    fn process(&mut self, (dividend, divisor): &(u32, u32), _: &Context<'_>) -> u32 {
        if *dividend == 13 {
            // No panic, nothing to catch: the process is gone.
            std::process::abort();
        }
        dividend / divisor
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // In a child this serves, and never returns.
    process::serve(|| Divider);

    let service = ProcessorService::builder()
        .workers(2)
        .name("divider")
        .try_start(|| {
            Child::<Divider>::this_program()
                .on_stderr(|_, _| {})
                .start()
        })?;
    let requests = [(12, 4), (12, 0), (13, 1), (14, 7)];
    for promise in service.map(requests) {
        let (dividend, divisor) = promise.request();
        match promise.wait() {
            Ok(quotient) => println!("{dividend} / {divisor} = {quotient}"),
            Err(failure) => println!("{dividend} / {divisor}: {failure}"),
        }
    }
    // The process ids, processor time and memory of both.
    eprint!("{}", service.status());
    Ok(())
}
