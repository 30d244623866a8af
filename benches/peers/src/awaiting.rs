//! Requests that are futures: ready at once, or after a timer.

use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt};
use parallel_workers::{Async, AsyncProcessor, Context, ProcessorService, PromiseSet};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

use crate::case::{Case, Contender, Goal, timed};
use crate::cases::triples;
use crate::ours::sum;
use crate::tokio_peers;

/// Triples a number, at once or after a while.
pub struct Triple {
    pub after: Option<Duration>,
}

pub async fn triple(n: u64, after: Option<Duration>) -> u64 {
    if let Some(after) = after {
        tokio::time::sleep(after).await;
    }
    n.wrapping_mul(3)
}

impl AsyncProcessor for Triple {
    type Request = u64;
    type Output = u64;

    async fn process(&self, n: &u64, _: &Context<'_>) -> u64 {
        triple(*n, self.after).await
    }
}

/// One worker, on its own thread or on a runtime.
pub fn start(
    concurrency: usize,
    after: Option<Duration>,
    runtime: Option<Handle>,
) -> ProcessorService<Async<Triple>> {
    let service = ProcessorService::start(1, move || {
        let worker = Async::new(Triple { after }).concurrency(concurrency);
        match runtime.clone() {
            Some(runtime) => worker.on(runtime),
            None => worker,
        }
    });
    service.expect("the service starts")
}

fn ours(n: u64) -> u64 {
    let service = start(1_000, None, None);
    let set = PromiseSet::new();
    (0..n).for_each(|n| set.insert(service.queue_request(n)));
    sum(&set)
}

fn ours_in_bulk(n: u64) -> u64 {
    sum(&start(1_000, None, None).queue_requests(0..n))
}

/// The same in one task, which awaits as the peers do.
fn ours_mapped(n: u64) -> u64 {
    let service = start(1_000, None, None);
    let all = service.map_unordered_async(0..n);
    let outputs = all.map(|promise| promise.wait().copied().expect("nothing fails here"));
    futures::executor::block_on(outputs.fold(0, async |sum: u64, n| sum.wrapping_add(n)))
}

fn unordered(n: u64) -> u64 {
    let all: FuturesUnordered<_> = (0..n).map(|n| triple(n, None)).collect();
    futures::executor::block_on(all.fold(0, async |sum: u64, n| sum.wrapping_add(n)))
}

fn buffered(n: u64) -> u64 {
    let all = stream::iter(0..n)
        .map(|n| triple(n, None))
        .buffer_unordered(1_000);
    futures::executor::block_on(all.fold(0, async |sum: u64, n| sum.wrapping_add(n)))
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().build();
    runtime.expect("the runtime starts")
}

fn join_set(runtime: &Runtime, n: u64, after: Option<Duration>) -> u64 {
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for n in 0..n {
            set.spawn(triple(n, after));
        }
        let mut sum = 0_u64;
        while let Some(output) = set.join_next().await {
            sum = sum.wrapping_add(output.expect("nothing panics"));
        }
        sum
    })
}

fn times_three(n: &u64) -> u64 {
    n.wrapping_mul(3)
}

pub fn ready() -> Case {
    Case {
        name: "async",
        work: "distinct u64, futures that are ready at once, up to 1,000 at a time",
        unit: "ns",
        rounds: usize::MAX,
        requests: 1_000_000,
        expected: triples,
        contenders: vec![
            timed("ours", ours),
            timed("ours, bulk", ours_in_bulk),
            timed("ours, map_unordered_async", ours_mapped),
            timed("FuturesUnordered (one task, no sharing)", unordered),
            timed("buffer_unordered (one task, no sharing)", buffered),
            timed("tokio JoinSet (no sharing)", |n| {
                join_set(&runtime(), n, None)
            }),
            timed("futures Shared", |n| tokio_peers::shared(0..n, times_three)),
            Contender {
                fewer: 5,
                ..timed("moka future on tokio", |n| {
                    tokio_peers::moka_future(0..n, times_three)
                })
            },
            Contender {
                fewer: 5,
                ..timed("async_singleflight on tokio", |n| {
                    tokio_peers::singleflight(0..n, times_three)
                })
            },
        ],
        goals: vec![
            Goal::ratio("ours", 1.0, "FuturesUnordered (one task, no sharing)"),
            Goal::ratio("ours", 1.0, "buffer_unordered (one task, no sharing)"),
            Goal::ratio("ours", 1.0, "tokio JoinSet (no sharing)"),
            Goal::ratio("ours", 1.0, "futures Shared"),
            Goal::ratio("ours", 1.0, "moka future on tokio"),
            Goal::ratio("ours", 1.0, "async_singleflight on tokio"),
        ],
    }
}

const TEN_MILLISECONDS: Option<Duration> = Some(Duration::from_millis(10));

/// The runtime is made before, for both: what is measured is from the first request to the last output.
pub fn timers() -> Case {
    let theirs = runtime();
    let handle = theirs.handle().clone();
    let service = start(10_000, TEN_MILLISECONDS, Some(handle));
    let ours = move |n| sum(&service.queue_requests(0..n));
    let bare = move |n| join_set(&theirs, n, TEN_MILLISECONDS);
    Case {
        name: "timers",
        work: "timers of 10 ms on tokio, all at a time",
        unit: "ns",
        rounds: usize::MAX,
        requests: 10_000,
        expected: triples,
        contenders: vec![
            timed("ours", ours),
            timed("tokio JoinSet (no sharing)", bare),
        ],
        goals: vec![Goal::ratio("ours", 1.2, "tokio JoinSet (no sharing)")],
    }
}
