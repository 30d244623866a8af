//! What is measured: the same requests for everybody.

use std::time::Duration;

use crate::case::Case;
use crate::load::Load;

pub const WORKERS: [usize; 3] = [1, 2, 4];

/// What each request costs where there is always a next one, and where each comes alone: the model is made of these.
pub const LOADED: &str = "distinct, 1 worker";
pub const ALONE: &str = "one at a time";

pub fn all(requests: u64, window: usize) -> Vec<Case> {
    let load = |workers, window, micros| Load {
        requests,
        workers,
        window,
        job: Duration::from_micros(micros),
    };
    let mut all: Vec<_> = WORKERS
        .map(|workers| distinct(load(workers, window, 0)))
        .into();
    all.push(one_at_a_time(load(1, 1, 0)));
    for (micros, fewer) in [(100, 10), (1_000, 25)] {
        all.extend(WORKERS.map(|workers| jobs(load(workers, window, micros), fewer)));
    }
    all
}

fn workers_of(load: &Load) -> String {
    let end = if load.workers == 1 { "" } else { "s" };
    format!("{} worker{end}", load.workers)
}

fn distinct(load: Load) -> Case {
    Case {
        name: format!("distinct, {}", workers_of(&load)),
        work: format!(
            "distinct u64, empty job, {} under way at a time",
            load.window
        ),
        load,
    }
}

fn one_at_a_time(load: Load) -> Case {
    Case {
        name: ALONE.to_owned(),
        work: "the same, each after the outcome of the one before, 1 worker".to_owned(),
        load: Load {
            requests: load.requests.div_ceil(20),
            ..load
        },
    }
}

/// Jobs that take time of a core, which all share here.
fn jobs(load: Load, fewer: u64) -> Case {
    let micros = load.job.as_micros();
    Case {
        name: format!("jobs of {micros} microseconds, {}", workers_of(&load)),
        work: format!("distinct u64, {} under way at a time", load.window),
        load: Load {
            requests: load.requests.div_ceil(fewer),
            ..load
        },
    }
}
