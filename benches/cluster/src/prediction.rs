//! The model against what was measured, and what it says of clusters that are not here.

use std::fmt::Write;
use std::thread::available_parallelism;

use crate::case::{Outcome, Row};
use crate::cases::{ALONE, LOADED};
use crate::model::{Cluster, Cost, Costs, bottleneck, simulate};

/// A case as it was measured, and as the model has it: requests a second.
pub struct Point {
    pub case: String,
    pub measured: f64,
    pub bottleneck: f64,
    pub limited_by: &'static str,
    pub simulated: f64,
}

impl Point {
    /// By how much the simulation is off, in percent of what was measured.
    pub fn error(&self) -> f64 {
        (self.simulated / self.measured - 1.0) * 100.0
    }
}

pub struct Prediction {
    pub name: &'static str,
    pub costs: Costs,
    pub points: Vec<Point>,
}

/// Of this contender, if it was measured where its costs are taken from.
pub fn of(name: &'static str, outcomes: &[Outcome]) -> Option<Prediction> {
    let row = |case: &str| {
        let mut outcomes = outcomes.iter();
        outcomes
            .find(|outcome| outcome.case.name == case)?
            .row(name)
    };
    let costs = costs(row(LOADED)?, row(ALONE)?);
    // The system counts in hundredths of a second: of few requests it may say that they cost nothing.
    let parts = [&costs.server, &costs.caller, &costs.worker];
    if parts
        .iter()
        .any(|cost| cost.loaded <= 0.0 || cost.alone <= 0.0)
    {
        return None;
    }
    let points = outcomes
        .iter()
        .filter_map(|outcome| point(&costs, outcome, outcome.row(name)?));
    Some(Prediction {
        name,
        costs,
        points: points.collect(),
    })
}

fn costs(loaded: &Row, alone: &Row) -> Costs {
    let cost = |of: fn(&Row) -> f64| Cost {
        loaded: of(loaded),
        alone: of(alone),
    };
    Costs {
        server: cost(|row| row.cpu.server),
        caller: cost(|row| row.cpu.caller),
        worker: cost(|row| row.cpu.workers),
    }
}

fn point(costs: &Costs, outcome: &Outcome, row: &Row) -> Option<Point> {
    let load = &outcome.case.load;
    let cluster = Cluster {
        callers: 1,
        servers: 1,
        workers: load.workers,
        window: load.window,
        job: load.job.as_secs_f64() * 1e6,
        shared_cores: Some(available_parallelism().ok()?.get()),
        others: row.others,
    };
    let (bottleneck, limited_by) = bottleneck(costs, &cluster);
    Some(Point {
        case: outcome.case.name.clone(),
        measured: 1e6 / row.micros,
        bottleneck,
        limited_by,
        simulated: simulate(costs, &cluster),
    })
}

pub fn markdown(prediction: &Prediction) -> String {
    let mut text = String::new();
    let (name, costs) = (prediction.name, &prediction.costs);
    let _ = writeln!(text, "### The model, for {name}\n");
    let _ = writeln!(
        text,
        "| microseconds of a core a request | server | caller | worker |\n|---|---:|---:|---:|"
    );
    for (when, of) in [
        (
            "always a next one",
            (|cost| cost.loaded) as fn(&Cost) -> f64,
        ),
        ("each alone", |cost| cost.alone),
    ] {
        let [server, caller, worker] = [&costs.server, &costs.caller, &costs.worker].map(of);
        let _ = writeln!(text, "| {when} | {server:.1} | {caller:.1} | {worker:.1} |");
    }
    let _ = writeln!(
        text,
        "\n| on this machine, requests a second | measured | bottleneck | simulated | error |\n|---|---:|---:|---:|---:|"
    );
    for point in &prediction.points {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} ({}) | {:.0} | {:+.0} % |",
            point.case,
            point.measured,
            point.bottleneck,
            point.limited_by,
            point.simulated,
            point.error()
        );
    }
    text + "\n" + &elsewhere(costs)
}

const HOSTS: [usize; 5] = [1, 4, 16, 64, 256];
const CORES: usize = 8;

/// Hosts that are not here.
fn elsewhere(costs: &Costs) -> String {
    let mut text = format!(
        "Requests a second of worker hosts with {CORES} cores each, by the simulation; what limits them, by the bottleneck \
         alone. A server and a caller for each partition, with cores of their own, and a network that costs nothing:\n\n"
    );
    let _ = writeln!(
        text,
        "| servers | hosts | empty jobs | 100 microseconds | 1 ms | 10 ms |\n|---:|---:|---:|---:|---:|---:|"
    );
    for servers in [1, 4] {
        for hosts in HOSTS {
            let cells = [0.0, 100.0, 1_000.0, 10_000.0].map(|job| {
                let cluster = Cluster {
                    callers: servers,
                    servers,
                    workers: hosts * CORES,
                    // Each worker has one that waits for it.
                    window: (512 * servers).max(2 * hosts * CORES),
                    job,
                    shared_cores: None,
                    others: 0.0,
                };
                let (_, limited_by) = bottleneck(costs, &cluster);
                format!("{:.0} ({limited_by})", simulate(costs, &cluster))
            });
            let _ = writeln!(text, "| {servers} | {hosts} | {} |", cells.join(" | "));
        }
    }
    text
}
