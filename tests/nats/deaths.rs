//! Workers and callers that are killed, at every stage.

use async_nats::jetstream::{self, AckKind};
use parallel_workers::{Abort, Failure};

use crate::door::Door;
use crate::job::{Job, at, number};
use crate::nats::Setup;
use crate::raw::{Raw, output};
use crate::roles::Place;

pub(crate) fn what_a_killed_worker_had_is_begun_by_another() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "killed");
    let (service, door) = (place.caller(), Door::new());
    let mut first = place.worker_process(1);
    let promise = service.queue_request(Job::Attempt {
        door: door.port,
        number: 1,
    });
    door.wait_for(1, 1);
    first.kill();
    let _second = place.worker_process(1);
    door.wait_for(1, 2);
    door.open();
    assert_eq!(promise.wait(), Ok(&number(2)), "its second attempt");
    assert_eq!(door.times(1), 2);
}

/// Its result is stored, and its acknowledgement is not: whoever gets it again does not process it again.
pub(crate) fn a_result_that_is_stored_is_the_result_whoever_is_lost_then() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "stored");
    let (service, door) = (place.caller(), Door::new());
    let promise = service.queue_request(at(door.port, 1));
    let raw = Raw::connect(&place);
    // A worker by hand, which dies between the two.
    raw.block_on(async {
        let message = raw.pull().await;
        raw.publish_result(&message, output(&number(7))).await;
    });
    assert_eq!(promise.wait(), Ok(&number(7)));
    assert_eq!(place.status().requests, 1, "nobody has acknowledged it");
    let _serving = place.serve(1);
    crate::nats::wait_until("the request to be taken out", || {
        match place.status().requests {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    });
    assert_eq!(door.times(1), 0);
}

/// The server stores the first result only, whoever is late with another.
pub(crate) fn a_late_result_does_not_take_the_place_of_the_first() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "late");
    let service = place.caller();
    let promise = service.queue_request(Job::Echo(1));
    let raw = Raw::connect(&place);
    raw.block_on(async {
        let message = raw.pull().await;
        assert!(raw.publish_result(&message, output(&number(1))).await);
        assert!(!raw.publish_result(&message, output(&number(2))).await);
        message.ack_with(AckKind::Ack).await.unwrap();
    });
    assert_eq!(promise.wait(), Ok(&number(1)));
}

/// What others have joined goes on without the caller who came first.
pub(crate) fn a_killed_caller_takes_nothing_with_him() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "caller");
    let (door, _serving) = (Door::new(), place.serve(1));
    let mut owner = place.caller_process(&at(door.port, 1));
    door.wait_for(1, 1);
    let (service, raw) = (place.caller(), Raw::connect(&place));
    let mut joins = raw.hear("join.*");
    let joined = service.queue_request(at(door.port, 1));
    assert!(joins.next().starts_with('+'));
    owner.kill();
    door.open();
    assert_eq!(joined.wait(), Ok(&number(1)));
    assert_eq!(door.times(1), 1);
}

/// A worker that stops gives back at once what it has not begun, and finishes the rest.
pub(crate) fn a_worker_that_stops_gives_back_what_it_has_not_begun() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "stopped").patient();
    let (service, door) = (place.caller(), Door::new());
    let first = place.serve(1);
    let running = service.queue_request(Job::IsWanted {
        door: door.port,
        number: 1,
    });
    door.wait_for(1, 1);
    let waiting = service.queue_requests((2..6).map(|number| at(door.port, number)));
    let stopping = std::thread::spawn(move || first.stop());
    let _second = place.serve(4);
    // With a lease of minutes they come only if they were given back.
    (2..6).for_each(|number| door.wait_for(number, 1));
    door.open();
    stopping.join().unwrap();
    assert_eq!(running.wait(), Ok(&number(1)), "it was told nothing");
    waiting.wait_for_all();
    assert!((1..6).all(|number| door.times(number) == 1));
}

/// What waits behind a long request goes to a worker that is idle elsewhere.
pub(crate) fn no_request_waits_while_a_worker_elsewhere_is_idle() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "idle").patient();
    let (service, door) = (place.caller(), Door::new());
    let _busy = place.serve(1);
    let all = service.queue_requests((1..4).map(|number| at(door.port, number)));
    door.wait_for(1, 1);
    let _idle = place.serve(3);
    (2..4).for_each(|number| door.wait_for(number, 1));
    door.open();
    all.wait_for_all();
    assert!((1..4).all(|number| door.times(number) == 1));
}

/// However long a request takes, its worker keeps it.
pub(crate) fn a_slow_worker_keeps_its_lease() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "slow");
    let (service, door, _serving) = (place.caller(), Door::new(), place.serve(2));
    let slow = service.queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    let begun = std::time::Instant::now();
    let mut echoes = 0;
    while begun.elapsed() < 4 * place.lease {
        echoes += 1;
        assert!(service.queue_request(Job::Echo(echoes)).wait().is_ok());
    }
    door.open();
    assert_eq!(slow.wait(), Ok(&number(1)));
    assert_eq!(door.times(1), 1, "it was begun once");
}

/// A remote worker that is killed lets go of what it had.
pub(crate) fn a_killed_connection_settles_what_it_has_and_the_next_goes_on() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "connection");
    let (service, door, _serving) = (place.caller(), Door::new(), place.serve(2));
    let lost = service.queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    service.worker_named("worker-0").unwrap().kill().unwrap();
    assert!(matches!(lost.wait(), Err(Failure::WorkerLost(_))));
    assert_eq!(lost.abort(), Abort::Settled);
    assert_eq!(service.queue_request(Job::Echo(5)).wait(), Ok(&number(5)));
    door.open();
}

/// What is no request is taken out, and harms nobody.
pub(crate) fn what_is_no_request_is_taken_out() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "junk");
    let (service, _serving) = (place.caller(), place.serve(1));
    let raw = Raw::connect(&place);
    raw.block_on(async {
        let subject = format!("pw.{}.q.junk", place.name);
        let jetstream = jetstream::new(raw.client.clone());
        let stored = jetstream.publish(subject, "junk".into()).await.unwrap();
        stored.await.unwrap();
    });
    assert_eq!(service.queue_request(Job::Echo(5)).wait(), Ok(&number(5)));
    crate::nats::wait_until("the junk to be taken out", || {
        match place.status().requests {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    });
}

/// What comes to a worker in the middle of its stop has not begun there, and is not counted as if it had.
pub(crate) fn what_comes_to_a_worker_that_stops_counts_as_no_start() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "farewell").patient();
    let (service, door) = (place.caller(), Door::new());
    let first = place.serve(1);
    let running = service.queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    crate::nats::wait_until("a question for another one", || match place.status().idle {
        0 => Err("there is none".to_owned()),
        _ => Ok(()),
    });
    let stopping = std::thread::spawn(move || first.stop());
    // Its question stands, and it hears of the stop long before this is answered.
    place.status();
    let late = service.queue_request(Job::Attempt {
        door: door.port,
        number: 2,
    });
    crate::nats::wait_until("the late one", || match place.status().requests {
        2 => Ok(()),
        found => Err(format!("there are {found}")),
    });
    let _second = place.serve(1);
    door.wait_for(2, 1);
    door.open();
    stopping.join().unwrap();
    assert_eq!(running.wait(), Ok(&number(1)));
    assert_eq!(late.wait(), Ok(&number(1)), "its first attempt");
}
