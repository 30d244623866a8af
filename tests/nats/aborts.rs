//! What becomes of a request that nobody wants any more, wherever it is.

use parallel_workers::{Abort, Failure};

use crate::door::Door;
use crate::job::{Job, at, number};
use crate::nats::{Setup, wait_until};
use crate::raw::Raw;
use crate::roles::Place;

/// Waits until the queue holds so many requests.
fn wait_for_requests(place: &Place, requests: u64) {
    wait_until("requests", || match place.status().requests {
        found if found == requests => Ok(()),
        found => Err(format!("there are {found}")),
    });
}

pub(crate) fn what_no_worker_has_is_taken_out() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "queued");
    let service = place.caller();
    let unwanted = service.queue_request(Job::Echo(1));
    wait_for_requests(&place, 1);
    assert_eq!(unwanted.abort(), Abort::Running, "it was sent");
    assert_eq!(unwanted.wait(), Err(Failure::Aborted));
    assert_eq!(place.status().requests, 0);
    assert_eq!(service.status().settled.aborted, 1);
    let _serving = place.serve(1);
    assert_eq!(service.queue_request(Job::Echo(1)).wait(), Ok(&number(1)));
}

pub(crate) fn what_a_worker_has_not_begun_is_never_processed() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "prefetched").patient();
    let (service, door, _serving) = (place.caller(), Door::new(), place.serve(1));
    let running = service.queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    let waiting = service.queue_request(at(door.port, 2));
    wait_until("the worker to have it", || match place.status().delivered {
        2 => Ok(()),
        found => Err(format!("it has {found}")),
    });
    assert_eq!(waiting.abort(), Abort::Running);
    assert_eq!(waiting.wait(), Err(Failure::Aborted));
    door.open();
    assert_eq!(running.wait(), Ok(&number(1)));
    assert_eq!(door.times(2), 0);
    wait_for_requests(&place, 0);
}

pub(crate) fn what_runs_is_told_and_gives_its_real_output() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "running").patient();
    let (service, door, _serving) = (place.caller(), Door::new(), place.serve(1));
    let running = service.queue_request(Job::UntilUnwanted {
        door: door.port,
        number: 1,
    });
    door.wait_for(1, 1);
    door.open();
    assert_eq!(running.abort(), Abort::Running);
    assert_eq!(running.wait(), Ok(&number(0)));
}

/// Callers elsewhere are not hurt by an owner who leaves, wherever the request is.
pub(crate) fn an_owner_who_leaves_hurts_nobody_who_has_joined() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "joined").patient();
    let (owner, other) = (place.caller(), place.caller());
    let (door, raw) = (Door::new(), Raw::connect(&place));
    let (mut joins, mut aborts) = (raw.hear("join.*"), raw.hear("abort"));
    // Once while no worker has it, and once while one processes it.
    let _serving: Vec<_> = [1, 2]
        .into_iter()
        .map(|name| {
            let first = owner.queue_request(at(door.port, name));
            if name == 1 {
                wait_for_requests(&place, 1);
            } else {
                door.wait_for(name, 1);
            }
            let second = other.queue_request(at(door.port, name));
            assert!(joins.next().starts_with('+'));
            assert_eq!(first.abort(), Abort::Running);
            let serving = (name == 1).then(|| place.serve(1));
            door.wait_for(name, 1);
            door.let_in(name);
            assert_eq!(second.wait(), Ok(&number(name)));
            assert_eq!(first.wait(), Ok(&number(name)), "it ran, for others");
            assert_eq!(door.times(name), 1);
            serving
        })
        .collect();
    raw.block_on(async { raw.client.publish("pw.joined.abort", "last".into()).await })
        .unwrap();
    assert_eq!(aborts.next(), "last", "no worker was told");
}

/// One who has joined leaves alone, and at once.
pub(crate) fn who_has_joined_leaves_alone() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "leaving").patient();
    let (owner, other) = (place.caller(), place.caller());
    let (door, _serving, raw) = (Door::new(), place.serve(1), Raw::connect(&place));
    let mut joins = raw.hear("join.*");
    let first = owner.queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    let second = other.queue_request(at(door.port, 1));
    assert!(joins.next().starts_with('+'));
    assert_eq!(second.abort(), Abort::Running);
    assert_eq!(second.wait(), Err(Failure::Aborted));
    assert!(joins.next().starts_with('-'));
    door.open();
    assert_eq!(first.wait(), Ok(&number(1)));
}

/// When everybody has left, the processor is told.
pub(crate) fn when_everybody_has_left_the_worker_is_told() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "everybody").patient();
    let (owner, other) = (place.caller(), place.caller());
    let (door, _serving, raw) = (Door::new(), place.serve(1), Raw::connect(&place));
    let mut joins = raw.hear("join.*");
    let job = Job::UntilUnwanted {
        door: door.port,
        number: 1,
    };
    let first = owner.queue_request(job.clone());
    door.wait_for(1, 1);
    let second = other.queue_request(job);
    assert!(joins.next().starts_with('+'));
    assert_eq!(first.abort(), Abort::Running);
    door.open();
    assert_eq!(second.abort(), Abort::Running);
    assert_eq!(first.wait(), Ok(&number(0)));
}

/// A caller that is dropped does not leave what nobody has begun to the workers.
pub(crate) fn what_a_killed_connection_had_queued_is_not_begun() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "dropped").patient();
    let (service, door, _serving) = (place.caller(), Door::new(), place.serve(1));
    let _running = service.queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    let _waiting = service.queue_request(at(door.port, 2));
    wait_until("the worker to have it", || match place.status().delivered {
        2 => Ok(()),
        found => Err(format!("it has {found}")),
    });
    service.worker_named("worker-0").unwrap().kill().unwrap();
    wait_for_requests(&place, 1);
    door.open();
    wait_for_requests(&place, 0);
    assert_eq!(door.times(2), 0);
}
