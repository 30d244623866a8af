//! The work of the suite: requests that any backend can carry, and what each does.

use parallel_workers::{Context, Processor};
use serde::{Deserialize, Serialize};

use crate::door::knock;

/// What is asked for. It says everything by value, so that it means the same in another process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Work {
    Echo(u64),
    /// An output that is a failure.
    Fail(u64),
    Panic(u64),
    /// Knocks at a door, and gives its number when it is let in.
    Knock {
        door: u16,
        number: u64,
    },
    /// Knocks, is let in, and says whether anybody wants its output.
    IsWanted {
        door: u16,
        number: u64,
    },
    /// Knocks, is let in, and waits until nobody wants its output.
    UntilUnwanted {
        door: u16,
        number: u64,
    },
}

pub(crate) type Answer = Result<u64, String>;

/// What comes of work that does not wait.
pub(crate) fn answer(work: &Work, context: &Context<'_>) -> Answer {
    match work {
        Work::Echo(number) | Work::Knock { number, .. } => Ok(*number),
        Work::Fail(number) => Err(format!("{number} is not to be had")),
        Work::Panic(number) => panic!("number {number}"),
        Work::IsWanted { .. } | Work::UntilUnwanted { .. } => {
            Ok(u64::from(!context.is_cancelled()))
        }
    }
}

/// The door at which work stands first, and its number there.
pub(crate) fn door_of(work: &Work) -> Option<(u16, u64)> {
    match work {
        Work::Knock { door, number }
        | Work::IsWanted { door, number }
        | Work::UntilUnwanted { door, number } => Some((*door, *number)),
        _ => None,
    }
}

/// Does the work on a thread. It counts what it has done, for broadcasts to ask.
#[derive(Default)]
pub(crate) struct Worker {
    pub(crate) done: u64,
}

impl Processor for Worker {
    type Request = Work;
    type Output = Answer;

    fn process(&mut self, work: &Work, context: &Context<'_>) -> Answer {
        if let Some((door, number)) = door_of(work) {
            knock(door, number);
        }
        if let Work::UntilUnwanted { .. } = work {
            futures::executor::block_on(context.cancelled());
        }
        self.done += 1;
        answer(work, context)
    }

    fn is_failure(answer: &Answer) -> bool {
        answer.is_err()
    }
}
