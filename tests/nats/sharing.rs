//! Equal requests of several callers, and those that only seem to be equal.

use crate::door::Door;
use crate::job::{Job, at, number};
use crate::nats::Setup;
use crate::raw::Raw;
use crate::roles::Place;

pub(crate) fn equal_requests_of_several_callers_are_processed_once() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "shared");
    let callers: Vec<_> = (0..4).map(|_| place.caller()).collect();
    let (door, _serving, raw) = (Door::new(), place.serve(4), Raw::connect(&place));
    let mut joins = raw.hear("join.*");
    let first = callers[0].queue_request(at(door.port, 1));
    door.wait_for(1, 1);
    let others: Vec<_> = callers[1..]
        .iter()
        .map(|caller| caller.queue_request(at(door.port, 1)))
        .collect();
    for _ in &others {
        assert!(joins.next().starts_with('+'));
    }
    door.open();
    for promise in others.iter().chain([&first]) {
        assert_eq!(promise.wait(), Ok(&number(1)));
    }
    assert_eq!(door.times(1), 1);
    // It has ended: the next one is a new run.
    assert_eq!(
        callers[1].queue_request(at(door.port, 1)).wait(),
        Ok(&number(1))
    );
    assert_eq!(door.times(1), 2);
}

/// Keys are hashes: what has another request's key and is not equal to it gets one of its own.
pub(crate) fn requests_with_one_key_that_are_not_equal_are_not_mixed_up() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "colliding");
    let service = place.caller();
    let raw = Raw::connect(&place);
    let bytes = postcard::to_stdvec(&Job::Echo(1)).unwrap();
    let key = &blake3::hash(&bytes).to_hex()[..32];
    let other = postcard::to_stdvec(&Job::Echo(2)).unwrap();
    raw.block_on(async {
        let jetstream = async_nats::jetstream::new(raw.client.clone());
        let subject = format!("pw.{}.q.{key}", place.name);
        let payload = [b"somebody.1\n", &other[..]].concat();
        let stored = jetstream.publish(subject, payload.into());
        stored.await.unwrap().await.unwrap();
    });
    let mut results = raw.hear("r.somebody.1");
    let promise = service.queue_request(Job::Echo(1));
    let _serving = place.serve(1);
    assert_eq!(promise.wait(), Ok(&number(1)));
    assert_eq!(results.next().as_bytes(), crate::raw::output(&number(2)));
}

/// Between a result and its acknowledgement: who has not seen it gets it, who has gets a new run.
pub(crate) fn a_result_is_for_whoever_has_not_seen_it() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "seen").patient();
    let (owner, raw, door) = (place.caller(), Raw::connect(&place), Door::new());
    let first = owner.queue_request(at(door.port, 1));
    let message = raw.block_on(async {
        let message = raw.pull().await;
        assert!(
            raw.publish_result(&message, crate::raw::output(&number(7)))
                .await
        );
        message
    });
    assert_eq!(first.wait(), Ok(&number(7)));
    let mut other = place.caller_process(&at(door.port, 1));
    other.wait();
    assert_eq!(door.times(1), 0, "it has the output that is stored");
    let again = owner.queue_request(at(door.port, 1));
    assert!(again != first);
    let _serving = place.serve(1);
    raw.block_on(async { message.ack().await.unwrap() });
    door.wait_for(1, 1);
    door.open();
    assert_eq!(again.wait(), Ok(&number(1)));
}

/// Requests come through one caller's window, shared in the process, and across processes; every output is right.
pub(crate) fn a_storm_of_equal_requests_gives_everybody_the_right_output() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "storm");
    let _serving = [place.serve(2), place.serve(2)];
    let callers: Vec<_> = (0..3).map(|_| place.caller()).collect();
    std::thread::scope(|scope| {
        for (index, caller) in callers.iter().enumerate() {
            scope.spawn(move || {
                let numbers = (0..2000).map(|n| (n * 7 + index as u64) % 40);
                let promises = caller.queue_requests(numbers.map(Job::Echo));
                for promise in promises.select() {
                    let Job::Echo(expected) = promise.request() else {
                        unreachable!()
                    };
                    assert_eq!(promise.wait(), Ok(&number(*expected)));
                }
            });
        }
    });
    callers.iter().for_each(|caller| caller.stop());
    drop(_serving);
    assert_eq!(place.status().requests, 0);
}
