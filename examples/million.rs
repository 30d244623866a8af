//! A million requests, with callbacks, behind a progress bar; Ctrl-C aborts the rest:
//! `cargo run --release --example million -- 10000000`
//!
//! ```text
//! queued 1000000, called back 1000000: 1000000 outputs (0 failed), 0 panicked, 0 aborted, 0 lost, 0 stopped
//! 952381 requests/s, peak memory 192 MB: 192 bytes each
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressIterator};
use parallel_workers::{Context, ProcessorService, PromiseSet, processor_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let first = std::env::args().nth(1);
    let n: u64 = first.map_or(Ok(1_000_000), |n| n.parse())?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    let is_interrupted = || interrupted.load(Ordering::Relaxed);
    let service = ProcessorService::start(2, || processor_fn(|n: &u64, _: &Context<'_>| n * 2))?;
    let (begin, promises) = (Instant::now(), PromiseSet::new());
    let called_back = Arc::new(AtomicU64::new(0));
    for request in (0..n).take_while(|_| !is_interrupted()) {
        let (promise, count) = (service.queue_request(request), Arc::clone(&called_back));
        promise.on_settled(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
        promises.insert(promise);
    }
    let queued = promises.len() as u64;
    let mut selected = promises.select().progress_with(ProgressBar::new(queued));
    if selected.any(|_| is_interrupted()) {
        promises.abort_all();
    }
    let per_second = queued as f64 / begin.elapsed().as_secs_f64();
    service.stop();
    // The program ends: freeing millions of promises one by one would only hold it up.
    std::mem::forget(promises);
    let settled = service.status().settled;
    let called_back = called_back.load(Ordering::Relaxed);
    println!("queued {queued}, called back {called_back}: {settled}");
    let peak = peak_memory();
    let (megabytes, each) = (peak / 1_000_000, peak / queued.max(1));
    println!("{per_second:.0} requests/s, peak memory {megabytes} MB: {each} bytes each");
    Ok(())
}

/// The most memory that the process had, in bytes; zero where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.unwrap_or(0) * 1024
}
