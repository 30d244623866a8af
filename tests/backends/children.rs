//! Child processes: this program again.

use libtest_mimic::Trial;
use parallel_workers::process::Child;
use parallel_workers::{ProcessorService, ProcessorServiceBuilder};

use crate::Backend;
use crate::suite;
use crate::work::Worker;

pub(crate) struct Children;

impl Backend for Children {
    type Processor = Child<Worker>;
    const AT_A_TIME: usize = 1;

    fn start(builder: ProcessorServiceBuilder<Child<Worker>>) -> ProcessorService<Child<Worker>> {
        // What they say of their panics is expected.
        let child = || Child::<Worker>::this_program().on_stderr(|_, _| {}).start();
        builder.try_start(child).unwrap()
    }

    fn done(child: &mut Child<Worker>) -> u64 {
        child.answered()
    }
}

/// The suite over them.
pub(crate) fn tests() -> Vec<Trial> {
    suite::over!("children", crate::children::Children).into()
}
