//! parallel-workers on other machines, beside what one would use or write instead: all in one run, interleaved, medians.
//!
//! `cargo run --release -p cluster`, or `-- --help`. Times mean nothing on their own; the ratios to the floor, of the
//! same run, do. All of it runs on this machine, and a model says what that means for many.

mod case;
mod cases;
mod cpu;
mod floor;
mod install;
mod load;
mod model;
mod nats_server;
mod ours;
#[path = "../../peers/src/picture.rs"]
mod picture;
mod prediction;
#[path = "../../peers/src/program.rs"]
mod program;
mod python;
mod redis_server;
mod report;
mod workers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::case::{Case, Contender};
use crate::load::Error;
use crate::report::Report;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    worker: Option<Worker>,
    /// The cases to run, by how their names begin; all of them without.
    #[arg(long = "case")]
    cases: Vec<String>,
    /// So many requests; fewer where each takes longer.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// So many requests are under way at a time.
    #[arg(long, default_value_t = 512)]
    window: usize,
    /// How often each contender runs; medians count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measures Celery and arq too, with the `python3` and the `redis-server` that are found, and installs both with
    /// `pip` the first time.
    #[arg(long)]
    python: bool,
    /// A folder for `cluster.md`, `cluster.json` and `cluster.svg`.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// What this program tells itself to be.
#[derive(Subcommand)]
enum Worker {
    #[command(name = floor::WORKER, hide = true)]
    Floor { address: String, job_micros: u64 },
    #[command(name = ours::WORKER, hide = true)]
    Ours { address: String, job_micros: u64 },
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    match arguments.worker {
        Some(Worker::Floor {
            address,
            job_micros,
        }) => floor::work(&address, Duration::from_micros(job_micros)),
        Some(Worker::Ours {
            address,
            job_micros,
        }) => ours::work(&address, Duration::from_micros(job_micros)),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> Result<(), Error> {
    let server = nats_server::find()?;
    let contenders = contenders(&server, arguments.python);
    let wanted = |case: &Case| {
        let asked = &arguments.cases;
        asked.is_empty()
            || asked
                .iter()
                .any(|name| case.name.starts_with(name.as_str()))
    };
    let mut report = Report::new(nats_server::version(&server)?);
    println!("{}", report.head());
    for case in cases::all(arguments.requests, arguments.window)
        .into_iter()
        .filter(wanted)
    {
        let outcome = case.run(&contenders, arguments.rounds);
        println!("{}", report::markdown(&outcome));
        report.outcomes.push(outcome);
    }
    for name in ["floor", "ours"] {
        report
            .predictions
            .extend(prediction::of(name, &report.outcomes));
    }
    print!("{}", report.predicted());
    if let Some(folder) = &arguments.output {
        report.write(folder)?;
    }
    Ok(())
}

fn contenders(server: &Path, python: bool) -> Vec<Contender> {
    let mut contenders = vec![floor::contender(server), ours::contender(server)];
    if python {
        contenders.extend(python::contenders());
    }
    contenders
}
