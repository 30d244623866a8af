//! Queues a million distinct requests (or as many as the first argument says), each with a callback, and selects
//! all of them behind a progress bar. Ctrl-C aborts what has not begun: every promise settles all the same, and
//! the program ends by itself.
//!
//! `cargo run --release --example million -- 10000000`
//!
//! ```text
//! queued 1000000, selected 1000000, called back 1000000
//! settled 1000000: outputs 1000000, aborted 0
//! in 1.05 s: 952381 requests/s
//! peak memory 192 MB, 192 bytes per request
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressIterator, ProgressStyle};
use parallel_workers::{Context, ProcessorService, PromiseSet, processor_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let n: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |n| n.parse())?;
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let interrupted = Arc::clone(&is_interrupted);
    ctrlc::set_handler(move || interrupted.store(true, Ordering::Relaxed))?;

    let service = ProcessorService::start(2, || processor_fn(|n: &u64, _: &Context<'_>| n * 2))?;
    let called_back = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let promises = PromiseSet::new();
    for request in (0..n).take_while(|_| !is_interrupted.load(Ordering::Relaxed)) {
        let promise = service.queue_request(request);
        let count = Arc::clone(&called_back);
        promise.on_settled(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        promises.insert(promise);
    }
    let queued = promises.len() as u64;

    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {eta}")?;
    let bar = ProgressBar::new(queued).with_style(style);
    let mut selected = 0_u64;
    for promise in promises.select().progress_with(bar) {
        selected += u64::from(promise.is_settled());
        if is_interrupted.load(Ordering::Relaxed) {
            promises.abort_all();
            break;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    service.stop();
    // The program ends: freeing millions of promises one by one would only hold it up.
    std::mem::forget(promises);

    let settled = service.status().settled;
    let (outputs, aborted) = (settled.outputs, settled.aborted);
    let called_back = called_back.load(Ordering::Relaxed);
    println!("queued {queued}, selected {selected}, called back {called_back}");
    println!(
        "settled {}: outputs {outputs}, aborted {aborted}",
        settled.total()
    );
    println!(
        "in {seconds:.2} s: {:.0} requests/s",
        queued as f64 / seconds
    );
    if let Some(peak) = peak_memory() {
        let each = peak.checked_div(queued).unwrap_or(0);
        println!(
            "peak memory {} MB, {each} bytes per request",
            peak / 1_000_000
        );
    }
    Ok(())
}

/// The most memory that the process had, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
