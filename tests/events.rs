//! What subscribers are told.

mod support;

use std::time::{Duration, Instant};

use futures::StreamExt;
use parallel_workers::{
    Context, Event, Events, Outcome, ProcessorService, RequestId, WorkerId, processor_fn,
};
use support::{Gated, echo, gated};

/// Of a settled event: which, how, by whom, whether it waited and ran.
type Told = (RequestId, Outcome, Option<WorkerId>);

fn settled(events: &Events) -> Vec<Told> {
    let all = std::iter::from_fn(|| events.try_recv());
    let settled = all.filter_map(|event| match event {
        Event::Settled {
            request,
            outcome,
            worker,
            name,
            waited,
            ran,
            ..
        } => {
            assert_eq!(worker.is_some(), name.is_some());
            assert_eq!(worker.is_some(), ran.is_some());
            assert!(waited.is_some() || outcome == Outcome::Stopped);
            Some((request, outcome, worker))
        }
        _ => None,
    });
    settled.collect()
}

#[test]
fn each_request_is_told_of_when_it_starts_and_when_it_settles() {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(1).name("clerk"));
    let events = service.subscribe();
    let begin = Instant::now();
    let first = service.queue_request(1);
    let second = service.queue_request(2);
    gated.gate.wait_for(1);
    let Some(Event::Started {
        request,
        worker,
        name,
        waited,
        ..
    }) = events.recv()
    else {
        panic!("{events:?}")
    };
    assert_eq!((request, Some(worker)), (first.id(), first.worker()));
    assert_eq!(&*name, "clerk-0");
    assert!(waited <= begin.elapsed());
    assert!(events.try_recv().is_none(), "the second one waits");
    let held = Instant::now();
    while held.elapsed() < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    let (held, opened) = (held.elapsed(), Instant::now());
    gated.gate.open();
    second.wait().unwrap();
    let Some(Event::Settled {
        request,
        outcome,
        ran: Some(ran),
        ..
    }) = events.recv()
    else {
        panic!("{events:?}")
    };
    assert_eq!((request, outcome), (first.id(), Outcome::Output));
    assert!(held <= ran && ran <= begin.elapsed());
    let Some(Event::Started { waited, .. }) = events.recv() else {
        panic!("{events:?}")
    };
    assert!(held <= waited && waited <= begin.elapsed());
    let Some(Event::Settled { request, ran, .. }) = events.recv() else {
        panic!("{events:?}")
    };
    assert_eq!(request, second.id());
    assert!(ran.unwrap() <= opened.elapsed());
}

#[test]
fn every_outcome_is_told_of_with_who_had_it() {
    let (service, gated) = gated(1);
    let events = service.subscribe();
    let worker = service.worker_named("worker-0").unwrap();
    let lost = service.queue_request(1);
    gated.gate.wait_for(1);
    let aborted = service.queue_request(2);
    aborted.abort();
    worker.kill().unwrap();
    let output = service.queue_request(3);
    gated.gate.wait_for(2);
    let stopped = service.queue_request(4);
    gated.gate.open();
    output.wait().unwrap();
    let pending = service.shutdown(parallel_workers::Shutdown::Discard);
    let told = settled(&events);
    assert!(told.contains(&(lost.id(), Outcome::WorkerLost, Some(worker.id()))));
    assert!(told.contains(&(aborted.id(), Outcome::Aborted, None)));
    assert!(told.contains(&(output.id(), Outcome::Output, output.worker())));
    assert_eq!((told.len(), pending.discarded <= 1), (4, true));
    assert!(told.iter().any(|(id, ..)| *id == stopped.id()));

    let service = ProcessorService::start(1, || {
        processor_fn(|n: &u32, _: &Context<'_>| assert!(*n > 0, "as asked"))
    });
    let service = service.unwrap();
    let events = service.subscribe();
    let panicked = service.queue_request(0);
    assert!(panicked.wait().is_err());
    assert_eq!(
        settled(&events),
        [(panicked.id(), Outcome::Panicked, panicked.worker())]
    );
}

#[test]
fn an_event_is_there_before_anybody_sees_the_outcome() {
    let (service, _) = echo(2);
    let events = service.subscribe();
    for n in 0..500 {
        let promise = service.queue_request(n);
        promise.wait().unwrap();
        assert_eq!(settled(&events).len(), 1);
    }
}

#[test]
fn workers_are_told_of_when_they_come_go_and_die() {
    let (service, _) = echo(1);
    let events = service.subscribe();
    let worker = service.worker_named("worker-0").unwrap();
    let heir = worker.kill().unwrap().unwrap();
    service.add_worker("another").unwrap();
    service.worker_named("another").unwrap().remove();
    let lines: Vec<String> = events
        .iter()
        .take(4)
        .map(|event| event.to_string())
        .collect();
    for line in [
        format!("worker {} worker-0 lost", worker.id()),
        format!("worker {heir} worker-0 has a new processor"),
        "worker 2 another started".to_string(),
        "worker 2 another left".to_string(),
    ] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
}

#[test]
fn a_slow_subscriber_loses_the_oldest_counts_them_and_holds_nobody_up() {
    let (service, _) = echo(2);
    let slow = service.subscribe_with(10);
    let set = service.queue_requests(0..1000);
    set.wait_for_all();
    service.wait_idle();
    assert_eq!((slow.len(), slow.missed()), (10, 1990));
    let last = slow.iter().take(10).last().unwrap();
    assert!(matches!(last, Event::Settled { .. }), "{last}");
    assert!(slow.is_empty() && slow.recv_timeout(Duration::ZERO).is_none());
}

#[test]
fn a_dropped_subscriber_is_forgotten_and_others_go_on() {
    let (service, _) = echo(1);
    let (first, second) = (service.subscribe(), service.subscribe());
    drop(first);
    service.queue_request(1).wait().unwrap();
    assert_eq!(settled(&second).len(), 1);
    drop(second);
    service.queue_request(2).wait().unwrap();
    let late = service.subscribe();
    assert!(late.try_recv().is_none(), "what was before is not told");
}

#[test]
fn a_request_queued_before_anybody_subscribed_is_told_of_too() {
    let (service, gated) = gated(1);
    let before = service.queue_request(1);
    let waits = service.queue_request(2);
    gated.gate.wait_for(1);
    let events = service.subscribe();
    gated.gate.open();
    waits.wait().unwrap();
    let told = settled(&events);
    assert_eq!(
        told.iter().map(|(id, ..)| *id).collect::<Vec<_>>(),
        [before.id(), waits.id()]
    );
}

#[test]
fn events_end_when_the_service_is_gone_as_iterator_and_as_stream() {
    let (service, _) = echo(1);
    let (events, mut stream) = (service.subscribe(), service.subscribe());
    let reader = std::thread::spawn(move || events.iter().count());
    service.queue_request(1).wait().unwrap();
    drop(service);
    assert_eq!(reader.join().unwrap(), 3);
    let streamed = futures::executor::block_on(async move {
        let mut n = 0;
        while stream.next().await.is_some() {
            n += 1;
        }
        n
    });
    assert_eq!(streamed, 3);
}
