//! One load, and who is measured at it.

use crate::cpu::Cpu;
use crate::load::{Error, Figures, Load};

/// Carries a load, with whatever it takes started before and ended after.
pub type Run = Box<dyn Fn(&Load) -> Result<Figures, Error>>;

pub struct Contender {
    pub name: &'static str,
    pub run: Run,
    /// How many times fewer requests it is given, where it is slow.
    pub fewer: u64,
    /// Whether it is given jobs that take time too.
    pub jobs: bool,
}

pub struct Case {
    pub name: String,
    /// What is done.
    pub work: String,
    pub load: Load,
}

/// What a contender came to: for each request, the medians of all rounds.
pub struct Row {
    pub name: &'static str,
    pub requests: u64,
    /// Microseconds from begin to end, divided by requests.
    pub micros: f64,
    /// Milliseconds from a request to its outcome.
    pub p50: f64,
    pub p99: f64,
    /// Microseconds of cores.
    pub cpu: Cpu,
    /// So many cores were taken by others meanwhile.
    pub others: f64,
}

pub struct Outcome {
    pub case: Case,
    /// The fastest first.
    pub rows: Vec<Row>,
}

impl Outcome {
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Case {
    /// Runs everybody `rounds` times, one after another in each round.
    pub fn run(self, contenders: &[Contender], rounds: usize) -> Outcome {
        let has_job = !self.load.job.is_zero();
        let contenders: Vec<_> = contenders
            .iter()
            .filter(|one| one.jobs || !has_job)
            .collect();
        let mut figures = vec![Vec::new(); contenders.len()];
        for round in 0..rounds {
            for (contender, figures) in contenders.iter().zip(&mut figures) {
                // Who has failed once is not asked again.
                if figures.len() == round {
                    match run(contender, &self.load) {
                        Ok(of_round) => figures.push(of_round),
                        Err(error) => {
                            eprintln!("{}: {} is left out: {error}", self.name, contender.name);
                            figures.clear();
                        }
                    }
                }
            }
        }
        let measured = contenders
            .iter()
            .zip(figures)
            .filter(|(_, figures)| !figures.is_empty());
        let mut rows: Vec<_> = measured
            .map(|(contender, figures)| row(contender, &self.load, &figures))
            .collect();
        rows.sort_by(|a, b| a.micros.total_cmp(&b.micros));
        Outcome { case: self, rows }
    }
}

fn load_of(contender: &Contender, load: &Load) -> Load {
    let requests = (load.requests / contender.fewer).max(1);
    Load { requests, ..*load }
}

fn run(contender: &Contender, load: &Load) -> Result<Figures, Error> {
    let load = load_of(contender, load);
    let figures = (contender.run)(&load)?;
    if figures.sum != load.expected() {
        return Err("the sum is wrong".into());
    }
    Ok(figures)
}

fn row(contender: &Contender, load: &Load, rounds: &[Figures]) -> Row {
    let requests = load_of(contender, load).requests;
    let each = |of: fn(&Figures) -> f64| median(rounds, of) * 1e6 / requests as f64;
    Row {
        name: contender.name,
        requests,
        micros: each(|figures| figures.seconds),
        p50: median(rounds, |figures| figures.p50) * 1e3,
        p99: median(rounds, |figures| figures.p99) * 1e3,
        cpu: Cpu {
            server: each(|figures| figures.cpu.server),
            caller: each(|figures| figures.cpu.caller),
            workers: each(|figures| figures.cpu.workers),
            machine: each(|figures| figures.cpu.machine),
        },
        others: median(rounds, |figures| figures.cpu.others() / figures.seconds),
    }
}

fn median(rounds: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
