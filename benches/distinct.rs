//! What a request costs: a million distinct numbers through two workers that do nothing with them, from the first
//! `queue_request` to the last `select()`, beside the least that anybody could do for it.
//!
//! `cargo bench --bench distinct`, or `-- 10000000` for more. Rounds alternate between the three, and medians count;
//! on a machine that does something else as well, only the ratios mean anything.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ahash::RandomState;
use parallel_workers::{Context, ProcessorService, PromiseSet, processor_fn};

const ROUNDS: usize = 5;

/// Computes the sum of the outputs for so many requests.
type Case = fn(u64) -> u64;

fn start() -> ProcessorService<impl parallel_workers::Processor<Request = u64, Output = u64>> {
    let service = ProcessorService::start(2, || {
        processor_fn(|n: &u64, _: &Context<'_>| n.wrapping_mul(3))
    });
    service.expect("the service starts")
}

/// One thread, no locks: hash, share, store, queue, compute, collect.
fn floor(n: u64) -> u64 {
    let mut table: HashMap<u64, Arc<OnceLock<u64>>, RandomState> = HashMap::default();
    let mut queue = VecDeque::new();
    let mut promises = Vec::new();
    for request in 0..n {
        let cell = table.entry(request).or_default();
        queue.push_back((request, Arc::clone(cell)));
        promises.push(Arc::clone(cell));
    }
    while let Some((request, cell)) = queue.pop_front() {
        table.remove(&request);
        let _ = cell.set(request.wrapping_mul(3));
    }
    promises
        .into_iter()
        .filter_map(|cell| cell.get().copied())
        .sum()
}

fn one_by_one(n: u64) -> u64 {
    let service = start();
    let promises = PromiseSet::new();
    (0..n).for_each(|request| promises.insert(service.queue_request(request)));
    promises
        .select()
        .filter_map(|promise| promise.into_output().ok())
        .sum()
}

fn in_bulk(n: u64) -> u64 {
    let promises = start().queue_requests(0..n);
    promises
        .select()
        .filter_map(|promise| promise.into_output().ok())
        .sum()
}

fn main() {
    let n = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000_000_u64);
    let cases: [(&str, Case); 3] = [
        ("floor, one thread", floor),
        ("queue_request", one_by_one),
        ("queue_requests", in_bulk),
    ];
    let expected: u64 = (0..n).map(|request| request.wrapping_mul(3)).sum();
    let mut nanos = cases.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, case), nanos) in cases.iter().zip(&mut nanos) {
            let begin = Instant::now();
            assert_eq!(black_box(case(n)), expected);
            nanos.push(begin.elapsed().as_nanos() as f64 / n as f64);
        }
    }
    let medians = nanos.map(|mut nanos| {
        nanos.sort_by(f64::total_cmp);
        nanos[ROUNDS / 2]
    });
    println!("{n} distinct requests, 2 workers, median of {ROUNDS}");
    for ((name, _), median) in cases.iter().zip(medians) {
        println!(
            "{name:>18}: {median:4.0} ns a request, {:.2} of the floor",
            median / medians[0]
        );
    }
}
