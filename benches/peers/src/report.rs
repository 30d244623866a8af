//! What was measured, as Markdown, JSON and a picture.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::case::Outcome;
use crate::picture::{Group, picture};

const OURS: &str = "ours";

pub fn markdown(outcome: &Outcome) -> String {
    let mut text = String::new();
    let (name, work, n) = (outcome.name, outcome.work, outcome.requests);
    let unit = outcome.unit;
    let _ = writeln!(text, "### {name}: {work} ({n} requests)\n");
    let _ = writeln!(
        text,
        "| contender | {unit} a request | of the floor | of ours |\n|---|---:|---:|---:|"
    );
    let of = |median: f64, name: &str| match outcome.median(name) {
        Some(other) => format!("{:.2}", median / other),
        None => String::new(),
    };
    for (name, median) in &outcome.medians {
        let (floor, ours) = (of(*median, "floor"), of(*median, OURS));
        let _ = writeln!(text, "| {name} | {median:.0} | {floor} | {ours} |");
    }
    for (goal, ratio) in &outcome.goals {
        let met = if *ratio <= goal.at_most {
            "met"
        } else {
            "not met"
        };
        let (ours, at_most) = (goal.ours, goal.at_most);
        let _ = match goal.of {
            Some(of) => writeln!(
                text,
                "\n{ours}: {ratio:.2} of {of}; goal at most {at_most:.2}: {met}"
            ),
            None => writeln!(
                text,
                "\n{ours}: {ratio:.0} {unit}; goal at most {at_most:.0}: {met}"
            ),
        };
    }
    text
}

fn as_json(outcomes: &[Outcome]) -> serde_json::Value {
    let case = |outcome: &Outcome| {
        let medians: serde_json::Map<_, _> = outcome
            .medians
            .iter()
            .map(|(name, median)| ((*name).to_owned(), json!(median)))
            .collect();
        let goals = outcome.goals.iter().map(|(goal, ratio)| {
            json!({"ours": goal.ours, "of": goal.of, "at_most": goal.at_most, "ratio": ratio})
        });
        json!({
            "name": outcome.name, "work": outcome.work, "requests": outcome.requests,
            "unit": outcome.unit, "medians": medians, "goals": goals.collect::<Vec<_>>(),
        })
    };
    json!(outcomes.iter().map(case).collect::<Vec<_>>())
}

/// Bars for each case, each as long as its time, on a logarithmic scale.
fn groups(outcomes: &[Outcome]) -> Vec<Group> {
    let group = |outcome: &Outcome| Group {
        title: format!("{}: {}", outcome.name, outcome.work),
        unit: outcome.unit,
        bars: outcome.medians.clone(),
    };
    outcomes.iter().map(group).collect()
}

pub fn write(folder: &Path, outcomes: &[Outcome]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let tables: Vec<_> = outcomes.iter().map(markdown).collect();
    fs::write(folder.join("peers.md"), tables.join("\n"))?;
    fs::write(
        folder.join("peers.json"),
        format!("{:#}\n", as_json(outcomes)),
    )?;
    fs::write(folder.join("peers.svg"), picture(&groups(outcomes), OURS))
}
