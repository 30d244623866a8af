//! This crate.

use std::hash::Hash;

use parallel_workers::{Context, Processor, ProcessorService, PromiseSet, processor_fn};

pub fn start<R: Hash + Eq + Send + Sync + 'static>(
    workers: usize,
    process: fn(&R) -> u64,
) -> ProcessorService<impl Processor<Request = R, Output = u64>> {
    let service = ProcessorService::start(workers, move || {
        processor_fn(move |request: &R, _: &Context<'_>| process(request))
    });
    service.expect("the service starts")
}

/// The sum of the outputs, as they finish.
pub fn sum<R: Hash + Eq + Send + Sync + 'static>(set: &PromiseSet<R, u64>) -> u64 {
    let outputs = set.select().map(|promise| match promise.into_output() {
        Ok(output) => output,
        Err(shared) => shared.wait().copied().expect("nothing fails here"),
    });
    outputs.fold(0, u64::wrapping_add)
}

/// Queued one by one, selected as they finish.
pub fn one_by_one<R: Hash + Eq + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let service = start(2, process);
    let set = PromiseSet::new();
    requests.for_each(|request| set.insert(service.queue_request(request)));
    sum(&set)
}

/// Queued one by one, waited for in that order, as the peers are.
pub fn waited_for<R: Hash + Eq + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let service = start(2, process);
    let promises: Vec<_> = requests
        .map(|request| service.queue_request(request))
        .collect();
    let outputs = promises.iter().map(|promise| promise.wait().copied());
    outputs.fold(0, |sum, output| {
        sum.wrapping_add(output.expect("nothing fails here"))
    })
}

/// Queued all at once.
pub fn bulk<R: Hash + Eq + Send + Sync + 'static>(
    requests: impl Iterator<Item = R>,
    process: fn(&R) -> u64,
) -> u64 {
    let service = start(2, process);
    sum(&service.queue_requests(requests))
}
