//! A cluster: requests go through a NATS server to workers that might be anywhere, and are in this process.

use std::any::Any;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use libtest_mimic::Trial;
use parallel_workers::nats::{self, Connection, Queue, Remote, ServeOptions};
use parallel_workers::{ProcessorService, ProcessorServiceBuilder};

use crate::Backend;
use crate::servers::{Server, Setup};
use crate::suite;
use crate::work::Worker;

/// How many requests the cluster processes at a time: more than any test has.
const PLACES: usize = 24;

/// The server of all tests, each of which has a queue of its own.
static SERVER: Mutex<Option<Server>> = Mutex::new(None);
/// Workers, which work until the end.
static SERVING: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());

fn server() -> Connection {
    let mut server = SERVER.lock().unwrap();
    let server = server.get_or_insert_with(|| Setup::new().start());
    Connection::to(server.url())
}

/// At the end of all tests. What is static is never dropped, and the server has a folder.
pub(crate) fn close() {
    SERVING.lock().unwrap().clear();
    *SERVER.lock().unwrap() = None;
}

/// A queue, and workers for it.
fn queue() -> Queue {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("queue-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let queue = Queue::named(name).storage(4 << 20);
    let options = ServeOptions::of(queue.clone()).workers(PLACES);
    let serving = nats::serve(&server(), options, Worker::default).unwrap();
    SERVING.lock().unwrap().push(Box::new(serving));
    queue
}

macro_rules! backend {
    ($name:ident, $at_a_time:literal) => {
        pub(crate) struct $name;

        impl Backend for $name {
            type Processor = Remote<Worker>;
            const AT_A_TIME: usize = $at_a_time;

            fn start(
                builder: ProcessorServiceBuilder<Remote<Worker>>,
            ) -> ProcessorService<Remote<Worker>> {
                let queue = queue();
                let connect = move || {
                    let remote = Remote::to(server(), queue.clone());
                    remote.window($at_a_time).connect()
                };
                builder.try_start(connect).unwrap()
            }

            fn done(processor: &mut Remote<Worker>) -> u64 {
                processor.answered()
            }
        }
    };
}

backend!(OneAtATime, 1);
backend!(Several, 3);

/// The suite over both.
pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    tests.extend(suite::over!(
        "nats::one_at_a_time",
        crate::remote::OneAtATime
    ));
    tests.extend(suite::over!("nats::several", crate::remote::Several));
    tests
}
