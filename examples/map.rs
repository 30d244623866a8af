//! An endless input is processed no further ahead than a window.
//!
//! `cargo run --example map`
//!
//! ```text
//! first primes after a million: [1000003, 1000033, 1000037, 1000039, 1000081]
//! taken from the input ahead of what was yielded: at most 16
//! in any order: 168 primes below 1000
//! ```

use std::cell::Cell;
use std::error::Error;

use parallel_workers::{Context, ProcessorService, processor_fn};

fn is_prime(n: &u64, _: &Context<'_>) -> bool {
    *n > 1
        && (2..)
            .take_while(|d| d * d <= *n)
            .all(|d| !n.is_multiple_of(d))
}

fn main() -> Result<(), Box<dyn Error>> {
    let service = ProcessorService::start(2, || processor_fn(is_prime))?;

    let (taken, yielded, ahead) = (Cell::new(0_u64), Cell::new(0_u64), Cell::new(0_u64));
    let endless = (1_000_001..).inspect(|_| {
        taken.set(taken.get() + 1);
        ahead.set(ahead.get().max(taken.get() - yielded.get()));
    });
    let primes = service
        .map(endless)
        .inspect(|_| yielded.set(yielded.get() + 1));
    let first: Vec<_> = primes
        .filter(|promise| promise.wait() == Ok(&true))
        .map(|promise| *promise.request())
        .take(5)
        .collect();
    println!("first primes after a million: {first:?}");
    println!(
        "taken from the input ahead of what was yielded: at most {}",
        ahead.get()
    );

    let below = service
        .map_unordered(0..1_000)
        .filter(|promise| promise.wait() == Ok(&true))
        .count();
    println!("in any order: {below} primes below 1000");
    Ok(())
}
