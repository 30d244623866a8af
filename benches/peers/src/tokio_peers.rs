//! Tasks on tokio, two threads.

use std::collections::HashMap;
use std::hash::Hash;

use ahash::RandomState;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .max_blocking_threads(2)
        .build()
        .expect("the runtime starts")
}

async fn sum(mut set: JoinSet<u64>) -> u64 {
    let mut sum = 0_u64;
    while let Some(output) = set.join_next().await {
        sum = sum.wrapping_add(output.expect("nothing panics"));
    }
    sum
}

/// Shares nothing.
pub fn join_set<R: Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    runtime().block_on(async {
        let mut set = JoinSet::new();
        for request in requests {
            set.spawn(async move { process(&request) });
        }
        sum(set).await
    })
}

/// Shares nothing.
pub fn spawn_blocking<R: Send + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    runtime().block_on(async {
        let mut set = JoinSet::new();
        for request in requests {
            set.spawn_blocking(move || process(&request));
        }
        sum(set).await
    })
}

pub fn moka_future<R: Hash + Eq + Clone + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let cache: moka::future::Cache<R, u64> = moka::future::Cache::new(100_000_000);
    runtime().block_on(async {
        let mut set = JoinSet::new();
        for request in requests {
            let cache = cache.clone();
            set.spawn(async move {
                let key = request.clone();
                cache.get_with(key, async move { process(&request) }).await
            });
        }
        sum(set).await
    })
}

pub fn singleflight<R: Hash + Eq + Clone + Send + Sync + ToString + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let group: std::sync::Arc<async_singleflight::Group<String, u64, ()>> =
        std::sync::Arc::default();
    runtime().block_on(async {
        let mut set = JoinSet::new();
        for request in requests {
            let group = std::sync::Arc::clone(&group);
            set.spawn(async move {
                let key = request.to_string();
                let output = group.work(&key, async { Ok(process(&request)) }).await;
                output.expect("nothing fails here")
            });
        }
        sum(set).await
    })
}

/// Spawned tasks behind `Shared`, kept by key, in a `FuturesUnordered`.
pub fn shared<R: Hash + Eq + Clone + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let runtime = runtime();
    runtime.block_on(async {
        let mut table = HashMap::with_hasher(RandomState::new());
        let mut all = FuturesUnordered::new();
        for request in requests {
            let shared = table.entry(request.clone()).or_insert_with(|| {
                let task = runtime.spawn(async move { process(&request) });
                task.map(|output| output.expect("nothing panics"))
                    .boxed()
                    .shared()
            });
            all.push(shared.clone());
        }
        drop(table);
        let mut sum = 0_u64;
        while let Some(output) = all.next().await {
            sum = sum.wrapping_add(output);
        }
        sum
    })
}
