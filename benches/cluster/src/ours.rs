//! This crate, with its feature `nats`.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use parallel_workers::nats::{self, Connection, Queue, Remote, ServeOptions};
use parallel_workers::{Context, Processor, ProcessorService, PromiseSet};

use crate::case::Contender;
use crate::cpu::Meter;
use crate::load::{Error, Figures, Load, Stopwatch, process};
use crate::nats_server::NatsServer;
use crate::workers::{self, Workers};

/// Told to a worker, as the first argument.
pub const WORKER: &str = "ours-worker";

/// What is done with a request.
struct Triple(Duration);

impl Processor for Triple {
    type Request = u64;
    type Output = u64;

    fn process(&mut self, number: &u64, _: &Context<'_>) -> u64 {
        process(*number, self.0)
    }
}

pub fn contender(server: &Path) -> Contender {
    let server = server.to_owned();
    Contender {
        name: "ours",
        run: Box::new(move |load| run(&server, load)),
        fewer: 1,
        jobs: true,
    }
}

fn queue() -> Queue {
    Queue::named("triple")
}

fn run(server: &Path, load: &Load) -> Result<Figures, Error> {
    let server = NatsServer::start(server)?;
    let micros = load.job.as_micros().to_string();
    let arguments = [WORKER.to_owned(), server.address.clone(), micros];
    let workers = Workers::start_own(load.workers, &arguments)?;
    let meter = Meter {
        server: server.id(),
        caller: std::process::id(),
        workers: workers.ids(),
    };
    let (connection, window) = (Connection::to(&server.address), load.window);
    let service = ProcessorService::builder().workers(1).try_start(move || {
        let remote = Remote::<Triple>::to(connection.clone(), queue());
        remote.window(window).connect()
    })?;
    let [warm_up, measured] = load.parts();
    call(&service, warm_up, window)?;
    let before = meter.read()?;
    let mut figures = call(&service, measured, window)?;
    figures.cpu = meter.read()? - before;
    Ok(figures)
}

/// Makes the requests, so many at a time.
fn call(
    service: &ProcessorService<Remote<Triple>>,
    requests: Range<u64>,
    window: usize,
) -> Result<Figures, Error> {
    let mut stopwatch = Stopwatch::new(requests.clone());
    let (promises, mut requests) = (PromiseSet::new(), requests);
    loop {
        while promises.len() < window
            && let Some(number) = requests.next()
        {
            stopwatch.sent(number);
            promises.insert(service.queue_request(number));
        }
        let Some(promise) = promises.select_next() else {
            return Ok(stopwatch.stop());
        };
        stopwatch.done(*promise.request(), *promise.wait()?);
    }
}

/// Serves until the process ends.
pub fn work(address: &str, job: Duration) -> Result<(), Error> {
    workers::end_with_parent();
    let options = ServeOptions::of(queue()).workers(1);
    let _serving = nats::serve(&Connection::to(address), options, move || Triple(job))?;
    workers::say_ready()?;
    loop {
        std::thread::park();
    }
}
