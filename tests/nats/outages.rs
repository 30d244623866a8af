//! Servers that stop, die and come back with requests in flight.

use crate::door::Door;
use crate::job::{Job, at, number};
use crate::nats::{Server, Setup, old_server, wait_until};
use crate::roles::Place;

const REQUESTS: u64 = 10_000;

/// How a server goes away.
type End = fn(&mut Server);

/// Every server that there is to be tried, the old one where it is there.
fn servers() -> Vec<Setup> {
    let mut servers = vec![Setup::new()];
    servers.extend(old_server().map(Setup::of));
    servers
}

/// Ten thousand requests are in flight when the server goes away and comes back, and again when workers have begun.
fn survive(setup: Setup, end: End) {
    let mut server = setup.start();
    let place = Place::new(server.url(), "outage");
    let service = place.caller_with(REQUESTS as usize);
    let promises = service.queue_requests((0..REQUESTS).map(Job::Echo));
    wait_until("all to be queued", || match place.status().requests {
        REQUESTS => Ok(()),
        found => Err(format!("{found} are")),
    });
    end(&mut server);
    server.restart();
    let _workers = [place.worker_process(2), place.worker_process(2)];
    let mut done = 0;
    while let Some(promise) = promises.select_next() {
        let Job::Echo(expected) = promise.request() else {
            unreachable!()
        };
        assert_eq!(promise.wait(), Ok(&number(*expected)));
        done += 1;
        if done == REQUESTS / 3 {
            end(&mut server);
            server.restart();
        }
    }
    assert_eq!(done, REQUESTS);
    wait_until("nothing to be left", || match place.status().requests {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    });
}

pub(crate) fn ten_thousand_requests_outlive_a_stop_of_the_server() {
    servers()
        .into_iter()
        .for_each(|setup| survive(setup, Server::stop));
}

pub(crate) fn ten_thousand_requests_outlive_a_kill_of_the_server() {
    servers()
        .into_iter()
        .for_each(|setup| survive(setup, Server::kill));
}

/// Requests that are queued while there is no server wait for it, and what runs goes on.
pub(crate) fn requests_wait_for_a_server_that_is_away() {
    let mut server = Setup::new().start();
    let place = Place::new(server.url(), "away").patient();
    let (service, door, _serving) = (place.caller(), Door::new(), place.serve(1));
    let running = service.queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    server.stop();
    let waiting = service.queue_request(Job::Echo(2));
    door.open();
    assert!(!waiting.is_settled());
    server.restart();
    assert_eq!(waiting.wait(), Ok(&number(2)));
    assert_eq!(running.wait(), Ok(&number(1)));
    assert_eq!(door.times(1), 1, "it was begun once");
}

/// What waits for a server that is away can be given up: a stop of the service is not, an abandonment is.
pub(crate) fn a_service_without_a_server_can_be_abandoned() {
    let mut server = Setup::new().start();
    let place = Place::new(server.url(), "abandoned");
    let service = place.caller();
    let promise = service.queue_request(Job::Echo(1));
    server.kill();
    service.shutdown(parallel_workers::Shutdown::Abandon);
    assert!(promise.try_result().is_some_and(|result| result.is_err()));
}
