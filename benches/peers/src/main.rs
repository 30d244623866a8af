//! parallel-workers beside what one would use or write instead: all in one run, interleaved, medians.
//!
//! `cargo run --release -p peers`, or `-- --help`. Times mean nothing on their own; the ratios to the floor and to ours,
//! of the same run, do.

mod awaiting;
mod case;
mod cases;
mod elsewhere;
mod floor;
mod memory;
mod node;
mod ours;
mod picture;
mod processes;
mod program;
mod python;
mod report;
mod special;
mod threads;
mod tokio_peers;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

use crate::case::Case;

#[derive(Parser)]
struct Arguments {
    /// The cases to run, by name; all of them without.
    cases: Vec<String>,
    /// How often each contender runs; medians count.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Divides the number of requests of each case.
    #[arg(long, default_value_t = 1)]
    divide: u64,
    /// Measures Python's executors and its pool too, with the `python3` that is found.
    #[arg(long)]
    python: bool,
    /// Measures Node's piscina too, with the `node` that is found, and installs it with `npm` the first time.
    #[arg(long)]
    node: bool,
    /// A folder for `peers.md`, `peers.json` and `peers.svg`.
    #[arg(long)]
    output: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    if memory::serve() || processes::serve() {
        return Ok(());
    }
    let arguments = Arguments::parse();
    let wanted = |case: &Case| {
        let asked = &arguments.cases;
        asked.is_empty()
            || asked
                .iter()
                .any(|name| case.name.starts_with(name.as_str()))
    };
    let has_python = arguments.python && program::is_there("python3");
    let mut results = Vec::new();
    for mut case in cases::all().into_iter().filter(wanted) {
        if has_python {
            case.contenders.extend(python::contenders(case.name));
        }
        if arguments.node && case.name == "processes" {
            case.contenders.extend(node::piscina());
        }
        let result = case.run(arguments.rounds, arguments.divide);
        println!("{}", report::markdown(&result));
        results.push(result);
    }
    if let Some(folder) = arguments.output {
        report::write(&folder, &results)?;
    }
    Ok(())
}
