//! What is too large, too many, or cannot be read.

use parallel_workers::nats::{self, Remote, ServeOptions};
use parallel_workers::{Context, Failure, ProcessorService, QueueError, processor_fn};

use crate::door::Door;
use crate::job::{Bytes, Job, Worker, at, number};
use crate::nats::Setup;
use crate::roles::{JobPromise, Place};

fn message(promise: &JobPromise) -> String {
    match promise.wait() {
        Err(Failure::Panicked(panic)) => panic.message().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn large(wanted: u32, ballast: usize) -> Job {
    let ballast = vec![1; ballast];
    Job::Large(Bytes { wanted, ballast })
}

pub(crate) fn what_the_server_does_not_take_fails_alone_and_says_why() {
    let server = Setup::new().max_payload(64 << 10).start();
    let place = Place::new(server.url(), "large");
    let (service, _serving) = (place.caller(), place.serve(1));
    let fits = 50 << 10;
    assert_eq!(
        service
            .queue_request(large(fits, 0))
            .wait()
            .map(|output| output.1.len()),
        Ok(fits as usize)
    );
    let said = message(&service.queue_request(large(1, 100_000)));
    assert!(
        said.contains("the request takes 1000") && said.contains("max_payload"),
        "{said}"
    );
    let said = message(&service.queue_request(large(100_000, 0)));
    assert!(
        said.contains("the processor gave takes 1000") && said.contains("max_payload"),
        "{said}"
    );
    assert_eq!(service.queue_request(Job::Echo(1)).wait(), Ok(&number(1)));
    assert_eq!(place.status().requests, 0, "nothing comes back for ever");
}

pub(crate) fn a_panic_arrives_with_message_and_location() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "panic");
    let (service, _serving) = (place.caller(), place.serve(1));
    let Err(Failure::Panicked(panic)) = service.queue_request(Job::Panic).wait().cloned() else {
        panic!("it panics");
    };
    assert_eq!(panic.message(), "out of paper");
    assert!(
        panic
            .location()
            .is_some_and(|location| location.contains("job.rs"))
    );
}

/// A worker of another program, whose requests and outputs are of other types.
pub(crate) fn what_cannot_be_read_is_said_to_whoever_waits() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "types");
    let service = place.caller();
    let options = || ServeOptions::of(place.queue()).workers(1);
    {
        let strings = || processor_fn(|text: &String, _: &Context<'_>| text.clone());
        let _serving = nats::serve(&place.connection(), options(), strings).unwrap();
        let said = message(&service.queue_request(Job::Panic));
        assert!(said.contains("cannot read the request"), "{said}");
    }
    let units = || processor_fn(|_: &Job, _: &Context<'_>| "a word".to_owned());
    let _serving = nats::serve(&place.connection(), options(), units).unwrap();
    let said = message(&service.queue_request(Job::Echo(1)));
    assert!(said.contains("cannot be read as an output"), "{said}");
}

/// A full queue fills the service's own, and that gives requests back. What is there already can be joined.
pub(crate) fn a_full_queue_gives_requests_back() {
    let server = Setup::new().start();
    let place = Place::new(server.url(), "full");
    let (door, connection) = (Door::new(), place.connection());
    let queue = place.queue().capacity(10);
    let own = (connection.clone(), queue.clone());
    let service = ProcessorService::builder()
        .workers(1)
        .capacity(5)
        .try_start(move || Remote::<Worker>::to(own.0.clone(), own.1.clone()).connect())
        .unwrap();
    let mut promises = Vec::new();
    let refused = loop {
        let next = at(door.port, promises.len() as u64);
        match service.try_queue_request(next) {
            Ok(promise) => promises.push(promise),
            // What is on its way to the cluster makes room for a moment.
            Err(QueueError::Full(_)) if promises.len() < 15 => std::thread::yield_now(),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.into_request(), at(door.port, promises.len() as u64));
    assert!(service.try_queue_request(at(door.port, 3)).unwrap() == promises[3]);
    let _serving = nats::serve(
        &connection,
        ServeOptions::of(queue).workers(4),
        Worker::default,
    )
    .unwrap();
    door.open();
    for (index, promise) in promises.iter().enumerate() {
        assert_eq!(promise.wait(), Ok(&number(index as u64)));
    }
}

pub(crate) fn a_name_and_a_password_in_an_address_are_used() {
    let user = crate::nats::User {
        name: "me",
        password: "secret",
        publish: &[">"],
        subscribe: &[">"],
    };
    let server = Setup::new().users(&[user]).start();
    let url = server.url().replace("//", "//me:secret@");
    let place = Place::new(url, "named");
    let (service, _serving) = (place.caller(), place.serve(1));
    assert_eq!(service.queue_request(Job::Echo(1)).wait(), Ok(&number(1)));
}
