//! Callers and workers who may be anywhere: requests knock at a door of the test's, and the output says who ran them.

use std::ops::Deref;
use std::time::Duration;

use parallel_workers::nats::{self, Connection, Queue, Remote, ServeOptions, Serving};
use parallel_workers::{Context, Failure, Processor, ProcessorService, Promise};
use serde::{Deserialize, Serialize};

use crate::door::{Door, knock};

/// A run of a request. No two are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) number: u64,
    /// The worker that ran it.
    pub(crate) who: u64,
    /// How many it had run then, this one included.
    pub(crate) count: u64,
}

/// Runs requests, which are numbers, as soon as they are let in.
pub(crate) struct Hand {
    who: u64,
    door: u16,
    count: u64,
}

impl Processor for Hand {
    type Request = u64;
    type Output = Run;

    fn process(&mut self, number: &u64, _: &Context<'_>) -> Run {
        self.count += 1;
        knock(self.door, at(self.who, *number));
        Run {
            number: *number,
            who: self.who,
            count: self.count,
        }
    }
}

/// What a worker says at the door for a request.
pub(crate) fn at(who: u64, number: u64) -> u64 {
    who * 1_000_000 + number
}

/// What has not settled by then is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// How a request ended, which has to end.
#[track_caller]
pub(crate) fn outcome(promise: &Promise<u64, Run>) -> Result<Run, Failure> {
    let settled = promise.wait_timeout(STUCK);
    settled.expect("it is stuck").cloned()
}

/// Its output, which it has to have.
#[track_caller]
pub(crate) fn output(promise: &Promise<u64, Run>) -> Run {
    outcome(promise).unwrap()
}

pub(crate) type Caller = ProcessorService<Remote<Hand>>;

pub(crate) fn caller(connection: &Connection, queue: &Queue) -> Caller {
    let (connection, queue) = (connection.clone(), queue.clone());
    let connect = move || Remote::<Hand>::to(connection.clone(), queue.clone()).connect();
    ProcessorService::builder()
        .workers(1)
        .try_start(connect)
        .unwrap()
}

/// A machine with one worker.
pub(crate) struct Machine<'a> {
    serving: Serving<Hand>,
    door: &'a Door,
}

impl Deref for Machine<'_> {
    type Target = Serving<Hand>;

    fn deref(&self) -> &Self::Target {
        &self.serving
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        // A test that has failed lets nobody in any more, and the machine would wait for that.
        if std::thread::panicking() {
            self.door.open();
        }
    }
}

pub(crate) fn worker<'a>(
    connection: &Connection,
    queue: &Queue,
    who: u64,
    door: &'a Door,
) -> Machine<'a> {
    let options = ServeOptions::of(queue.clone()).workers(1);
    let serving = nats::serve(connection, options, hand(who, door.port)).unwrap();
    Machine { serving, door }
}

/// What makes the worker of such a machine.
pub(crate) fn hand(who: u64, door: u16) -> impl Fn() -> Hand + Send + Sync + 'static {
    move || Hand {
        who,
        door,
        count: 0,
    }
}
