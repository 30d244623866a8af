//! Requests that end their workers.

use parallel_workers::Failure;

use crate::door::Door;
use crate::job::{Job, at, number};
use crate::nats::Setup;
use crate::roles::Place;

/// It is set aside after three starts, and what merely waited beside it is not.
pub(crate) fn what_ends_its_workers_is_set_aside_and_nothing_else_is() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "poison");
    let (service, door, beside) = (place.caller(), Door::new(), Door::new());
    let poison = service.queue_request(Job::Die {
        door: door.port,
        number: 1,
    });
    let innocents = service.queue_requests((1000..1200).map(|number| at(beside.port, number)));
    for start in 1..=3 {
        let mut worker = place.worker_process(4);
        door.wait_for(1, start);
        if start == 1 {
            // Three have begun beside it, and others wait.
            (1000..1003).for_each(|number| beside.wait_for(number, 1));
        }
        door.let_in(1);
        worker.wait();
        beside.open();
    }
    let _worker = place.worker_process(4);
    assert_eq!(poison.wait(), Err(Failure::Poisoned { starts: 3 }));
    assert_eq!(door.times(1), 3);
    for promise in innocents.select() {
        let Job::Knock { number: own, .. } = promise.request() else {
            unreachable!()
        };
        assert_eq!(promise.wait(), Ok(&number(*own)));
    }
    let status = place.status();
    assert_eq!((status.requests, status.dead), (0, 1));
    assert_eq!(service.status().settled.worker_lost, 1);
}
