//! The guarantees, over every backend: one suite, and for each backend how it is started.

#[path = "backends/door.rs"]
mod door;
#[path = "backends/suite.rs"]
mod suite;
#[path = "support/mod.rs"]
mod support;
#[path = "backends/work.rs"]
mod work;

use libtest_mimic::Arguments;
use parallel_workers::{Processor, ProcessorService, ProcessorServiceBuilder};

use work::{Answer, Work, Worker};

/// A way to run requests.
pub(crate) trait Backend: 'static {
    type Processor: Processor<Request = Work, Output = Answer>;

    /// How many requests one worker has at a time.
    const AT_A_TIME: usize;

    fn start(
        builder: ProcessorServiceBuilder<Self::Processor>,
    ) -> ProcessorService<Self::Processor>;

    /// What a processor has done.
    fn done(processor: &mut Self::Processor) -> u64;
}

struct Threads;

impl Backend for Threads {
    type Processor = Worker;
    const AT_A_TIME: usize = 1;

    fn start(builder: ProcessorServiceBuilder<Worker>) -> ProcessorService<Worker> {
        builder.start(Worker::default).unwrap()
    }

    fn done(processor: &mut Worker) -> u64 {
        processor.done
    }
}

#[cfg(feature = "tokio")]
#[path = "backends/asynchronous.rs"]
mod asynchronous;

#[cfg(feature = "process")]
#[path = "backends/children.rs"]
mod children;

#[cfg(feature = "nats")]
#[path = "backends/remote.rs"]
mod remote;
#[cfg(feature = "nats")]
#[path = "support/nats.rs"]
mod servers;

fn main() {
    #[cfg(feature = "process")]
    parallel_workers::process::serve(Worker::default);
    let tests = suite::over!("threads", crate::Threads).into_iter();
    #[cfg(feature = "tokio")]
    let tests = tests.chain(asynchronous::tests());
    #[cfg(feature = "process")]
    let tests = tests.chain(children::tests());
    #[cfg(feature = "nats")]
    let tests = tests.chain(remote::tests());
    let conclusion = libtest_mimic::run(&Arguments::from_args(), tests.collect());
    #[cfg(feature = "nats")]
    remote::close();
    conclusion.exit();
}
