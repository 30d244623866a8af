//! What a run is to carry, and what came of it.

use std::time::{Duration, Instant};

use crate::cpu::Cpu;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Requests that one caller makes, and worker processes that serve them.
#[derive(Clone, Copy)]
pub struct Load {
    pub requests: u64,
    pub workers: usize,
    /// At most so many requests are under way at a time.
    pub window: usize,
    /// So much time of a core each request takes where it is processed.
    pub job: Duration,
}

impl Load {
    /// So many requests go before those that are measured: connections are made and buffers have grown by then.
    pub fn warm_up(&self) -> u64 {
        (self.requests / 10).clamp(1, 2_000)
    }

    /// Numbers of the requests that are not measured, and of those that are.
    pub fn parts(&self) -> [std::ops::Range<u64>; 2] {
        let warm_up = self.warm_up();
        [0..warm_up, warm_up..warm_up + self.requests]
    }

    /// The sum of what is measured.
    pub fn expected(&self) -> u64 {
        let [_, measured] = self.parts();
        measured.fold(0, |sum, n| sum.wrapping_add(process(n, Duration::ZERO)))
    }
}

/// What every worker does with a request.
pub fn process(n: u64, job: Duration) -> u64 {
    if !job.is_zero() {
        spin(job);
    }
    n.wrapping_mul(3)
}

/// Takes so much time of a core. Not of a clock: where cores are shared, jobs would run beside each other for nothing.
fn spin(job: Duration) {
    let end = thread_time() + job;
    while thread_time() < end {
        std::hint::spin_loop();
    }
}

fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What was measured in one run.
#[derive(Clone, Copy, Default)]
pub struct Figures {
    pub sum: u64,
    pub seconds: f64,
    /// Seconds from a request to its outcome.
    pub p50: f64,
    pub p99: f64,
    /// Seconds of cores, for all requests.
    pub cpu: Cpu,
}

/// Takes the time of a run, request by request.
pub struct Stopwatch {
    sent: Vec<Instant>,
    first: u64,
    latencies: Vec<f64>,
    sum: u64,
    begin: Instant,
}

impl Stopwatch {
    /// Begins.
    pub fn new(requests: std::ops::Range<u64>) -> Self {
        let begin = Instant::now();
        let count = (requests.end - requests.start) as usize;
        Self {
            sent: vec![begin; count],
            first: requests.start,
            latencies: Vec::with_capacity(count),
            sum: 0,
            begin,
        }
    }

    pub fn sent(&mut self, request: u64) {
        self.sent[(request - self.first) as usize] = Instant::now();
    }

    pub fn done(&mut self, request: u64, output: u64) {
        let sent = self.sent[(request - self.first) as usize];
        self.latencies.push(sent.elapsed().as_secs_f64());
        self.sum = self.sum.wrapping_add(output);
    }

    /// Ends. What the cores did is for others to say.
    pub fn stop(mut self) -> Figures {
        let seconds = self.begin.elapsed().as_secs_f64();
        self.latencies.sort_by(f64::total_cmp);
        let quantile = |part: f64| {
            let index = (self.latencies.len() as f64 * part) as usize;
            self.latencies.get(index).copied().unwrap_or_default()
        };
        Figures {
            sum: self.sum,
            seconds,
            p50: quantile(0.5),
            p99: quantile(0.99),
            cpu: Cpu::default(),
        }
    }
}
