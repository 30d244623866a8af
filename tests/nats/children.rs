//! A worker whose requests are processed by child processes: it outlives what these do not.

use libtest_mimic::Trial;
use parallel_workers::process::Child;
use parallel_workers::{Failure, ProcessorService, nats};

use crate::door::Door;
use crate::job::{Job, Worker, number};
use crate::nats::Setup;
use crate::roles::Place;

pub(crate) fn what_ends_its_child_is_set_aside_by_a_worker_that_lives() {
    let server = Setup::new().start();
    // A lease that no test outlives: nothing is begun again because one is over.
    let place = Place::new(server.url(), "children").patient();
    let service = ProcessorService::builder()
        .workers(2)
        .try_start(|| Child::<Worker>::this_program().on_stderr(|_, _| {}).start())
        .unwrap();
    let serving = nats::feed(&place.connection(), place.queue(), service).unwrap();
    let (caller, door) = (place.caller(), Door::new());
    door.open();
    let poison = caller.queue_request(Job::Die {
        door: door.port,
        number: 1,
    });
    let others = caller.queue_requests((0..100).map(Job::Echo));
    assert_eq!(poison.wait(), Err(Failure::Poisoned { starts: 3 }));
    assert_eq!(door.times(1), 3);
    assert!(
        others
            .wait_for_all()
            .iter()
            .all(|other| other.wait().is_ok())
    );
    assert_eq!(caller.queue_request(Job::Echo(7)).wait(), Ok(&number(7)));
    assert_eq!(serving.service().status().settled.worker_lost, 3);
}

pub(crate) fn tests() -> Vec<Trial> {
    use crate::children;

    tests! {
        children: what_ends_its_child_is_set_aside_by_a_worker_that_lives;
    }
}
