//! Threads: by hand, and through the pools one would take.

use std::hash::Hash;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use ahash::RandomState;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

type Table<R> = Arc<DashMap<R, Arc<OnceLock<u64>>, RandomState>>;

fn table<R: Hash + Eq>() -> Table<R> {
    Arc::new(DashMap::with_hasher(RandomState::new()))
}

/// The promise of a request, and whether it is the first.
fn join<R: Hash + Eq>(table: &Table<R>, request: R) -> (Arc<OnceLock<u64>>, bool) {
    match table.entry(request) {
        Entry::Occupied(found) => (Arc::clone(found.get()), false),
        Entry::Vacant(vacant) => (Arc::clone(&vacant.insert(Arc::default())), true),
    }
}

fn sum(promises: Vec<Arc<OnceLock<u64>>>) -> u64 {
    let outputs = promises.into_iter().map(|promise| *promise.wait());
    outputs.fold(0, u64::wrapping_add)
}

/// The thirty lines that people write: flume, dashmap, `Arc<OnceLock>`.
pub fn by_hand<R: Hash + Eq + Clone + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let (table, (sender, receiver)) = (table(), flume::unbounded::<(R, Arc<OnceLock<u64>>)>());
    let work = |table: Table<R>, receiver: flume::Receiver<(R, Arc<OnceLock<u64>>)>| {
        move || {
            for (request, promise) in receiver {
                let output = process(&request);
                table.remove(&request);
                let _ = promise.set(output);
            }
        }
    };
    let workers = [(); 2].map(|()| thread::spawn(work(Arc::clone(&table), receiver.clone())));
    let promises = requests.map(|request| {
        let (promise, is_first) = join(&table, request.clone());
        if is_first {
            sender
                .send((request, Arc::clone(&promise)))
                .expect("there are workers");
        }
        promise
    });
    let promises = promises.collect();
    drop(sender);
    let sum = sum(promises);
    workers
        .into_iter()
        .for_each(|worker| worker.join().expect("nothing panics"));
    sum
}

fn rayon_pool() -> rayon::ThreadPool {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(2);
    builder.build().expect("the pool starts")
}

pub fn rayon_dashmap<R: Hash + Eq + Clone + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let pool = rayon_pool();
    let table = table();
    let promises = requests.map(|request| {
        let (promise, is_first) = join(&table, request.clone());
        if is_first {
            let (table, promise) = (Arc::clone(&table), Arc::clone(&promise));
            pool.spawn(move || {
                let output = process(&request);
                table.remove(&request);
                let _ = promise.set(output);
            });
        }
        promise
    });
    let promises = promises.collect();
    sum(promises)
}

/// Shares nothing.
pub fn crossbeam<R: Send + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let (sender, receiver) = crossbeam_channel::unbounded::<R>();
    let (done, outputs) = crossbeam_channel::unbounded();
    let workers = [(); 2].map(|()| {
        let (receiver, done) = (receiver.clone(), done.clone());
        thread::spawn(move || {
            receiver
                .iter()
                .for_each(|request| done.send(process(&request)).expect("somebody listens"))
        })
    });
    drop(done);
    requests.for_each(|request| sender.send(request).expect("there are workers"));
    drop(sender);
    let sum = outputs.iter().fold(0, u64::wrapping_add);
    workers
        .into_iter()
        .for_each(|worker| worker.join().expect("nothing panics"));
    sum
}

/// Shares nothing.
pub fn threadpool<R: Send + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let pool = threadpool::ThreadPool::new(2);
    let (sender, outputs) = mpsc::channel();
    for request in requests {
        let sender = sender.clone();
        pool.execute(move || sender.send(process(&request)).expect("somebody listens"));
    }
    drop(sender);
    outputs.iter().fold(0, u64::wrapping_add)
}

/// Shares nothing.
pub fn rusty_pool<R: Send + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let pool = rusty_pool::Builder::new().core_size(2).max_size(2).build();
    let handles: Vec<_> = requests
        .map(|request| pool.evaluate(move || process(&request)))
        .collect();
    let outputs = handles
        .into_iter()
        .map(rusty_pool::JoinHandle::await_complete);
    let sum = outputs.fold(0, u64::wrapping_add);
    pool.shutdown_join();
    sum
}

/// The cache's own sharing, on rayon's threads.
pub fn moka_rayon<R: Hash + Eq + Clone + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let pool = rayon_pool();
    let cache: moka::sync::Cache<R, u64> = moka::sync::Cache::new(100_000_000);
    let (sender, outputs) = mpsc::channel();
    for request in requests {
        let (cache, sender) = (cache.clone(), sender.clone());
        pool.spawn(move || {
            let output = cache.get_with(request.clone(), || process(&request));
            sender.send(output).expect("somebody listens");
        });
    }
    drop(sender);
    outputs.iter().fold(0, u64::wrapping_add)
}
