//! One thing to measure, and who is measured at it.

use std::hint::black_box;
use std::time::Instant;

use crate::memory::clear_up;

/// What a contender gives: the sum of the outputs, and nanoseconds for each request where it measures by itself.
pub struct Done {
    pub sum: u64,
    pub nanos: Option<f64>,
}

impl From<u64> for Done {
    fn from(sum: u64) -> Self {
        Self { sum, nanos: None }
    }
}

pub struct Contender {
    pub name: &'static str,
    /// Runs so many requests.
    pub run: Box<dyn Fn(u64) -> Done>,
    /// How many times fewer requests it is given, where it is very slow.
    pub fewer: u64,
}

/// A contender that is timed from outside, until the allocator is as it was before.
pub fn timed(name: &'static str, run: impl Fn(u64) -> u64 + 'static) -> Contender {
    let run = move |n| {
        let sum = run(n);
        clear_up();
        sum.into()
    };
    Contender {
        name,
        run: Box::new(run),
        fewer: 1,
    }
}

/// A contender that gives nanoseconds itself, and its sum.
pub fn measured(name: &'static str, run: impl Fn(u64) -> (u64, f64) + 'static) -> Contender {
    let run = move |n| {
        let (sum, nanos) = run(n);
        Done {
            sum,
            nanos: Some(nanos),
        }
    };
    Contender {
        name,
        run: Box::new(run),
        fewer: 1,
    }
}

/// Nanoseconds for each of so many, since then.
pub fn each(begin: Instant, n: u64) -> f64 {
    begin.elapsed().as_nanos() as f64 / n as f64
}

pub struct Case {
    pub name: &'static str,
    /// What is done.
    pub work: &'static str,
    /// What is measured for each request.
    pub unit: &'static str,
    /// At most so many rounds.
    pub rounds: usize,
    pub requests: u64,
    /// The sum of the outputs of so many requests.
    pub expected: fn(u64) -> u64,
    pub contenders: Vec<Contender>,
    pub goals: Vec<Goal>,
}

/// What one of ours is to come to.
pub struct Goal {
    pub ours: &'static str,
    pub at_most: f64,
    /// Times the contender of this name; `None`: units.
    pub of: Option<&'static str>,
}

impl Goal {
    pub fn ratio(ours: &'static str, at_most: f64, of: &'static str) -> Self {
        let of = Some(of);
        Self { ours, at_most, of }
    }

    pub fn units(ours: &'static str, at_most: f64) -> Self {
        let of = None;
        Self { ours, at_most, of }
    }
}

pub struct Outcome {
    pub name: &'static str,
    pub work: &'static str,
    pub unit: &'static str,
    pub requests: u64,
    /// Name and median, the fastest first.
    pub medians: Vec<(&'static str, f64)>,
    pub goals: Vec<(Goal, f64)>,
}

impl Outcome {
    pub fn median(&self, name: &str) -> Option<f64> {
        let mut medians = self.medians.iter();
        medians
            .find(|(one, _)| *one == name)
            .map(|(_, median)| *median)
    }
}

impl Case {
    /// One that is measured in nanoseconds, in every round, and whose sum counts the requests.
    pub fn new(
        name: &'static str,
        work: &'static str,
        requests: u64,
        contenders: Vec<Contender>,
    ) -> Self {
        Self {
            name,
            work,
            unit: "ns",
            rounds: usize::MAX,
            requests,
            expected: |n| n,
            contenders,
            goals: Vec::new(),
        }
    }

    /// Runs everybody `rounds` times, one after another in each round.
    pub fn run(self, rounds: usize, divide: u64) -> Outcome {
        let requests = (self.requests / divide).max(1);
        let mut nanos = vec![Vec::new(); self.contenders.len()];
        for round in 0..rounds.min(self.rounds) {
            for (contender, nanos) in self.contenders.iter().zip(&mut nanos) {
                if contender.fewer > 100 && round >= 3 {
                    continue;
                }
                let n = (requests / contender.fewer).max(1);
                let begin = Instant::now();
                let done = black_box((contender.run)(black_box(n)));
                let elapsed = each(begin, n);
                assert_eq!(
                    done.sum,
                    (self.expected)(n),
                    "{}: {}",
                    self.name,
                    contender.name
                );
                nanos.push(done.nanos.unwrap_or(elapsed));
            }
        }
        let names = self.contenders.iter().map(|contender| contender.name);
        let mut medians: Vec<_> = names.zip(nanos.into_iter().map(median)).collect();
        medians.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut outcome = Outcome {
            name: self.name,
            work: self.work,
            unit: self.unit,
            requests,
            medians,
            goals: Vec::new(),
        };
        for goal in self.goals {
            let of = goal.of.map_or(Some(1.0), |of| outcome.median(of));
            if let (Some(ours), Some(of)) = (outcome.median(goal.ours), of) {
                outcome.goals.push((goal, ours / of));
            }
        }
        outcome
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
