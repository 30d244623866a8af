//! What the workers of these tests are asked for, and what they give.

use parallel_workers::{Context, Processor};
use serde::{Deserialize, Serialize};

use crate::door::knock;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Job {
    Echo(u64),
    /// Knocks at a door, and gives its number when it is let in.
    Knock {
        door: u16,
        number: u64,
    },
    /// The same, and gives how often it has begun.
    Attempt {
        door: u16,
        number: u64,
    },
    /// Knocks, and ends its process when it is let in.
    Die {
        door: u16,
        number: u64,
    },
    /// Knocks, and says when it is let in whether anybody wants its output.
    IsWanted {
        door: u16,
        number: u64,
    },
    /// Knocks, waits until nobody wants its output, and gives 0.
    UntilUnwanted {
        door: u16,
        number: u64,
    },
    Panic,
    /// So many bytes.
    Large(Bytes),
}

/// How many bytes of an output, and bytes of the request's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Bytes {
    pub(crate) wanted: u32,
    pub(crate) ballast: Vec<u8>,
}

/// What comes of it: a number, and bytes.
pub(crate) type Output = (u64, Vec<u8>);

/// A knock with this number.
pub(crate) fn at(door: u16, number: u64) -> Job {
    Job::Knock { door, number }
}

/// What comes of one that gives its number.
pub(crate) fn number(number: u64) -> Output {
    (number, Vec::new())
}

#[derive(Debug, Default)]
pub(crate) struct Worker;

impl Processor for Worker {
    type Request = Job;
    type Output = Output;

    fn process(&mut self, job: &Job, context: &Context<'_>) -> Output {
        match job {
            Job::Echo(given) => number(*given),
            Job::Knock { door, number: own } => {
                knock(*door, *own);
                number(*own)
            }
            Job::Attempt { door, number: own } => {
                knock(*door, *own);
                number(context.attempt().into())
            }
            Job::Die { door, number } => {
                knock(*door, *number);
                std::process::abort()
            }
            Job::IsWanted { door, number: own } => {
                knock(*door, *own);
                number(u64::from(!context.is_cancelled()))
            }
            Job::UntilUnwanted { door, number: own } => {
                knock(*door, *own);
                while !context.is_cancelled() {
                    std::thread::yield_now();
                }
                number(0)
            }
            Job::Panic => panic!("out of paper"),
            Job::Large(bytes) => (0, vec![7; bytes.wanted as usize]),
        }
    }
}
