//! Children that break the protocol, and those that read too little.

use std::time::Duration;

use parallel_workers::process::Child;
use parallel_workers::{Failure, Loss, ProcessorService};

use crate::raw::{self, Lengths, Triples, UNLUCKY};
use crate::worker::How;

type Service = ProcessorService<Child<Triples>>;

/// Asks for a number, for the unlucky one and for another one, and gives why the second was lost.
fn loss_of(service: &Service) -> Loss {
    let lucky = service.queue_request(1);
    let unlucky = service.queue_request(UNLUCKY);
    let last = service.queue_request(2);
    assert_eq!((lucky.wait(), last.wait()), (Ok(&3), Ok(&6)));
    match unlucky.wait() {
        Err(Failure::WorkerLost(loss)) => loss,
        other => panic!("{other:?}"),
    }
}

/// A service whose child answers so many bytes of the unlucky number's answer, and ends.
fn cut(codec: &str, bytes: usize, how: How) -> Service {
    let is_json = codec == "cut";
    let codec = codec.to_owned();
    let child = move || {
        let command = raw::command_that_ends(&[&codec, &bytes.to_string()], how);
        let child = Child::<Triples>::command(command);
        if is_json { child.json() } else { child }.start()
    };
    ProcessorService::builder()
        .workers(1)
        .try_start(child)
        .unwrap()
}

pub(crate) fn an_answer_cut_at_each_byte_is_lost_once() {
    let json = r#"{"id":2,"output":39}"#.len() + 1;
    for (codec, whole) in [("cut", json), ("cut postcard", 7)] {
        for bytes in 0..whole {
            let service = cut(codec, bytes, How::Exit(99));
            let loss = loss_of(&service);
            assert!(
                loss.to_string().ends_with("exit status: 99"),
                "{bytes}: {loss}"
            );
            assert_eq!(service.status().settled.worker_lost, 1);
        }
        for how in How::ALL {
            let loss = loss_of(&cut(codec, whole / 2, how));
            assert!(loss.to_string().contains(how.status()), "{how:?}: {loss}");
        }
        // What is whole counts, whatever comes after it.
        let service = cut(codec, whole, How::Kill);
        assert_eq!(service.queue_request(UNLUCKY).wait(), Ok(&39));
        assert_eq!(service.queue_request(1).wait(), Ok(&3));
    }
}

pub(crate) fn who_breaks_the_protocol_is_killed_and_replaced() {
    let ways = [
        ("junk", "expected value"),
        ("bytes", "expected value"),
        ("empty", "none of the messages"),
        ("hello", "hello twice"),
        ("other", "answered request 1000, which it was not sent"),
        ("recalled", "was not asked to"),
        ("long", "longer than the limit of 1000 bytes"),
        ("closed", "closed its standard output, and did not end"),
    ];
    for (way, reason) in ways {
        let service = raw::start(way, |child| child.frame_limit(1_000));
        let loss = loss_of(&service);
        let Loss::BrokeProtocol(said) = &loss else {
            panic!("{way}: {loss:?}");
        };
        assert!(said.as_str().contains(reason), "{way}: {said}");
        assert_eq!(service.status().workers[0].respawns, 1, "{way}");
    }
    // The first answer is good, and what comes behind it costs the child.
    let service = raw::start("twice", |child| child);
    assert_eq!(service.queue_request(UNLUCKY).wait(), Ok(&39));
    while service.status().respawns() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(service.queue_request(UNLUCKY).wait(), Ok(&39));
}

pub(crate) fn who_ends_before_reading_costs_nothing() {
    // Before it reads what it was sent, and before it was sent anything.
    for stage in ["unread", "idle"] {
        for how in How::ALL {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("file");
            let child = move || {
                let mut command = raw::command_that_ends(&[stage], how);
                command.arg(&file);
                Child::<Triples>::command(command).json().start()
            };
            let builder = ProcessorService::builder().workers(1);
            let service = builder.try_start(child).unwrap();
            let first = service.queue_request(1);
            let second = service.queue_request(2);
            assert_eq!((first.wait(), second.wait()), (Ok(&3), Ok(&6)), "{how:?}");
            assert_eq!(service.status().workers[0].respawns, 1, "{stage} {how:?}");
        }
    }
}

pub(crate) fn who_stops_reading_is_killed_when_the_time_is_up() {
    let service = raw::start("deaf", |child| child.timeout(Duration::from_millis(300)));
    assert_eq!(loss_of(&service), Loss::TimedOut);
    assert_eq!(service.status().workers[0].respawns, 1);
}

pub(crate) fn who_does_not_give_back_what_waits_is_killed() {
    let service = raw::start("ahead", |child| child.start_timeout(Duration::from_secs(1)));
    service.queue_requests(100..1_000).wait_for_all();
    let stuck = service.queue_request(UNLUCKY);
    let behind = service.queue_requests(0..10);
    let Err(Failure::WorkerLost(loss @ Loss::BrokeProtocol(_))) = stuck.wait() else {
        panic!("{stuck:?}");
    };
    assert!(
        loss.to_string().contains("did not answer a recall"),
        "{loss}"
    );
    // What it had read it may have begun.
    behind.wait_for_all_with(|promise| {
        let triple = promise.request() * 3;
        let lost = Failure::WorkerLost(loss.clone());
        assert!(
            promise.wait() == Ok(&triple) || promise.wait() == Err(lost),
            "{promise:?}"
        );
    });
    assert_eq!(service.queue_request(1).wait(), Ok(&3));
}

pub(crate) fn who_cannot_be_sent_a_whole_request_gets_it_three_times_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let own = file.clone();
    let child = move || {
        let mut command = raw::command("halfway");
        command.arg(&own);
        Child::<Lengths>::command(command).json().start()
    };
    let service = ProcessorService::builder()
        .workers(1)
        .try_start(child)
        .unwrap();
    let large = service.queue_request("x".repeat(8 << 20));
    assert!(matches!(
        large.wait(),
        Err(Failure::WorkerLost(Loss::Ended(_)))
    ));
    assert_eq!(std::fs::read(file).unwrap(), b"xxx");
}

pub(crate) fn who_answers_out_of_order_is_understood_where_it_may() {
    let service = raw::start("together", |child| child);
    let all = service.queue_requests(0..300);
    all.wait_for_all_with(|promise| {
        let triple = promise.request() * 3;
        assert_eq!(promise.wait(), Ok(&triple));
    });
}
