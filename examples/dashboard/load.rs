//! Something to look at: orders of all kinds, often the same ones at the same time.

use std::thread;
use std::time::Duration;

use parallel_workers::{Context, Handle, Processor};

pub(crate) struct Shop {
    made: u32,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self { made: 0 }
    }
}

impl Processor for Shop {
    type Request = u64;
    type Output = Result<u32, &'static str>;

    fn process(&mut self, order: &u64, context: &Context<'_>) -> Self::Output {
        thread::sleep(Duration::from_millis(5 + order % 60));
        match order {
            n if n.is_multiple_of(397) => {
                // It hangs, until nobody wants it any more, or somebody kills the worker.
                while !context.is_cancelled() {
                    thread::sleep(Duration::from_millis(5));
                }
                Err("given up")
            }
            n if n.is_multiple_of(61) => panic!("the shop burns down"),
            n if n.is_multiple_of(11) => Err("sold out"),
            _ => {
                self.made += 1;
                Ok(self.made)
            }
        }
    }

    fn is_failure(output: &Self::Output) -> bool {
        output.is_err()
    }
}

/// Orders for ever: in waves, some twice, some taken back.
pub(crate) fn run(handle: &Handle<Shop>) {
    for n in 1.. {
        let promise = handle.queue_request(n);
        if n.is_multiple_of(3) {
            handle.queue_request(n);
        }
        if n.is_multiple_of(17) {
            promise.abort();
        }
        let wave = if n % 400 < 200 { 6 } else { 14 };
        thread::sleep(Duration::from_millis(wave));
    }
}
