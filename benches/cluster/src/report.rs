//! What was measured, as Markdown, JSON and a picture.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use crate::case::{Outcome, Row};
use crate::load::Error;
use crate::picture::{Group, picture};
use crate::prediction::{self, Prediction};

const OURS: &str = "ours";
const FLOOR: &str = "floor";

pub struct Report {
    server: String,
    pub outcomes: Vec<Outcome>,
    pub predictions: Vec<Prediction>,
}

impl Report {
    pub fn new(server: String) -> Self {
        Self {
            server,
            outcomes: Vec::new(),
            predictions: Vec::new(),
        }
    }

    pub fn head(&self) -> String {
        let cores = available_parallelism().map_or(0, usize::from);
        format!("{}, on {cores} cores that all share\n", self.server)
    }

    pub fn predicted(&self) -> String {
        let tables: Vec<_> = self.predictions.iter().map(prediction::markdown).collect();
        tables.join("\n")
    }

    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder)?;
        let mut parts = vec![self.head()];
        parts.extend(self.outcomes.iter().map(markdown));
        parts.push(self.predicted());
        fs::write(folder.join("cluster.md"), parts.join("\n"))?;
        fs::write(
            folder.join("cluster.json"),
            format!("{:#}\n", self.as_json()),
        )?;
        fs::write(
            folder.join("cluster.svg"),
            picture(&groups(&self.outcomes), OURS),
        )?;
        Ok(())
    }

    fn as_json(&self) -> Value {
        let cases: Vec<_> = self.outcomes.iter().map(case_as_json).collect();
        let predictions: Vec<_> = self.predictions.iter().map(prediction_as_json).collect();
        json!({"server": self.server, "cases": cases, "predictions": predictions})
    }
}

pub fn markdown(outcome: &Outcome) -> String {
    let case = &outcome.case;
    let mut text = format!("### {}: {}\n\n", case.name, case.work);
    let _ = writeln!(
        text,
        "| contender | requests | µs a request | requests a second | of the floor | p50 ms | p99 ms | µs of cores: server | caller \
         | workers | cores of others |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    for row in &outcome.rows {
        let of_floor = outcome
            .row(FLOOR)
            .map(|floor| format!("{:.2}", row.micros / floor.micros));
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.0} | {} | {:.3} | {:.3} | {:.1} | {:.1} | {:.1} | {:.2} |",
            row.name,
            row.requests,
            row.micros,
            1e6 / row.micros,
            of_floor.unwrap_or_default(),
            row.p50,
            row.p99,
            row.cpu.server,
            row.cpu.caller,
            row.cpu.workers,
            row.others,
        );
    }
    text
}

fn case_as_json(outcome: &Outcome) -> Value {
    let load = &outcome.case.load;
    let row = |row: &Row| {
        json!({
            "name": row.name, "requests": row.requests, "microseconds": row.micros,
            "p50_milliseconds": row.p50, "p99_milliseconds": row.p99, "cores_of_others": row.others,
            "core_microseconds": {"server": row.cpu.server, "caller": row.cpu.caller, "workers": row.cpu.workers},
        })
    };
    json!({
        "name": outcome.case.name, "work": outcome.case.work, "workers": load.workers, "window": load.window,
        "job_microseconds": load.job.as_micros() as u64, "rows": outcome.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn prediction_as_json(prediction: &Prediction) -> Value {
    let points = prediction.points.iter().map(|point| {
        json!({
            "case": point.case, "measured": point.measured, "bottleneck": point.bottleneck,
            "limited_by": point.limited_by, "simulated": point.simulated, "error_percent": point.error(),
        })
    });
    json!({"name": prediction.name, "points": points.collect::<Vec<_>>()})
}

/// Bars for each case, each as long as its time, on a logarithmic scale.
fn groups(outcomes: &[Outcome]) -> Vec<Group> {
    let group = |outcome: &Outcome| Group {
        title: format!("{}: {}", outcome.case.name, outcome.case.work),
        unit: "µs",
        bars: outcome
            .rows
            .iter()
            .map(|row| (row.name, row.micros))
            .collect(),
    };
    outcomes.iter().map(group).collect()
}
