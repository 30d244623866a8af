//! Bounded queues.

mod support;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parallel_workers::{Abort, Context, Failure, Processor, ProcessorService, QueueError};
use support::{Gate, Gated, Numbers, runs};

/// One worker that is busy, and a full queue of `capacity`.
fn full(capacity: u32) -> (ProcessorService<Numbers>, Gated) {
    let gated = Gated::new();
    let service = gated.start(
        ProcessorService::builder()
            .workers(1)
            .capacity(capacity as usize),
    );
    service.queue_request(0);
    gated.gate.wait_for(1);
    (1..=capacity).for_each(|n| drop(service.queue_request(n)));
    (service, gated)
}

/// Whether `n` is queued by some thread now. Joining it tells, and takes no room.
fn is_queued(service: &ProcessorService<Numbers>, n: u32) -> bool {
    service
        .try_queue_request(n)
        .is_ok_and(|promise| promise.abort() != Abort::Aborted)
}

#[test]
fn a_full_queue_gives_the_request_back_and_counts_nothing() {
    let (service, gated) = full(3);
    match service.try_queue_request(77) {
        Err(QueueError::Full(request)) => assert_eq!(request, 77),
        other => panic!("{other:?}"),
    }
    let refused = service
        .queue_request_timeout(78, Duration::from_millis(5))
        .unwrap_err();
    assert!(refused.is_full() && !refused.is_stopped());
    assert_eq!(
        refused.to_string(),
        "the queue stayed full until the timeout passed"
    );
    assert_eq!(refused.into_request(), 78);
    gated.gate.open();
    service.stop();
    assert_eq!(
        (runs(&gated.runs), service.status().settled.total()),
        (4, 4)
    );
}

#[test]
fn joining_needs_no_room_and_what_runs_takes_none() {
    let (service, gated) = full(1);
    assert!(service.try_queue_request(9).is_err());
    assert!(service.try_queue_request(0).is_ok());
    assert!(service.try_queue_request(1).is_ok());
    assert_eq!(service.status().queued, 1);
    gated.gate.open();
}

#[test]
fn an_abort_makes_room_at_once() {
    let (service, gated) = full(1);
    let other = service.queue_request(1);
    assert_eq!(other.abort(), Abort::StillWanted);
    assert!(service.try_queue_request(2).is_err());
    gated.gate.let_one_pass();
    gated.gate.wait_for(2);
    let promise = service.try_queue_request(3).unwrap();
    assert!(service.try_queue_request(4).is_err());
    assert_eq!(promise.abort(), Abort::Aborted);
    assert!(service.try_queue_request(4).is_ok());
    gated.gate.open();
}

#[test]
fn callers_who_wait_for_room_get_in_when_there_is_some_and_not_before() {
    let (service, gated) = full(1);
    let (sender, queued) = mpsc::channel();
    thread::scope(|scope| {
        for n in 10..14 {
            let (service, sender) = (&service, sender.clone());
            scope.spawn(move || {
                let promise = service.queue_request(n);
                sender.send(n).unwrap();
                assert_eq!(promise.wait(), Ok(&n));
            });
        }
        assert!(queued.try_recv().is_err());
        gated.gate.open();
    });
    assert_eq!(queued.try_iter().count(), 4);
}

#[test]
fn stopping_wakes_callers_who_wait_for_room() {
    let (service, gated) = full(1);
    let service = Arc::new(service);
    let (sender, started) = mpsc::channel();
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let (service, sender) = (Arc::clone(&service), sender.clone());
            thread::spawn(move || {
                sender.send(()).unwrap();
                match n % 2 {
                    0 => service.queue_request(100 + n).wait().copied(),
                    _ => match service.queue_request_timeout(100 + n, Duration::MAX) {
                        Err(QueueError::Stopped(request)) => {
                            assert_eq!(request, 100 + n);
                            Err(Failure::Stopped)
                        }
                        other => panic!("{other:?}"),
                    },
                }
            })
        })
        .collect();
    callers.iter().for_each(|_| started.recv().unwrap());
    let inner = Arc::clone(&service);
    let stopping = thread::spawn(move || inner.stop());
    for caller in callers {
        assert_eq!(caller.join().unwrap(), Err(Failure::Stopped));
    }
    gated.gate.open();
    stopping.join().unwrap();
    assert_eq!(runs(&gated.runs), 2);
}

#[test]
fn a_timed_out_caller_leaves_his_turn_to_the_next() {
    let (service, gated) = full(1);
    for n in 0..100 {
        let begin = Instant::now();
        let refused = service
            .queue_request_timeout(50, Duration::from_micros(n))
            .unwrap_err();
        assert!(matches!(refused, QueueError::TimedOut(50)));
        assert!(begin.elapsed() >= Duration::from_micros(n));
    }
    gated.gate.let_one_pass();
    gated.gate.wait_for(2);
    assert!(service.try_queue_request(60).is_ok());
    assert!(is_queued(&service, 60));
    gated.gate.open();
}

#[test]
fn a_thousand_requests_go_through_a_queue_of_thirty() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(ProcessorService::builder().workers(2).capacity(30));
    thread::scope(|scope| {
        for caller in 0..4 {
            let service = &service;
            scope.spawn(move || {
                for n in 0..250 {
                    let mut request = caller * 1_000 + n;
                    while let Err(refused) = service.try_queue_request(request) {
                        request = refused.into_request();
                        thread::yield_now();
                    }
                }
            });
        }
    });
    service.stop();
    assert_eq!(runs(&gated.runs), 1_000);
}

/// Queues what it is asked to, from inside.
struct Spreading {
    handle: Arc<std::sync::OnceLock<parallel_workers::Handle<Spreading>>>,
    gate: Gate,
}

impl Processor for Spreading {
    type Request = u32;
    type Output = usize;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> usize {
        self.gate.pass();
        let handle = self.handle.get().unwrap();
        let further = handle.queue_requests(0..*n).len();
        for m in 0..*n {
            assert!(handle.queue_request_timeout(m, Duration::ZERO).is_ok());
        }
        further
    }
}

#[test]
fn queueing_from_a_worker_or_a_callback_never_blocks_on_capacity() {
    let handle = Arc::new(std::sync::OnceLock::new());
    let gate = Gate::new();
    let (inner, waiting) = (Arc::clone(&handle), gate.clone());
    let service = ProcessorService::builder()
        .workers(1)
        .capacity(1)
        .start(move || Spreading {
            handle: Arc::clone(&inner),
            gate: waiting.clone(),
        })
        .unwrap();
    assert!(handle.set(service.handle()).is_ok());
    let promise = service.queue_request(8);
    let callback = service.handle();
    promise.on_settled(move |_| (100..110).for_each(|n| drop(callback.queue_request(n))));
    let also = service.handle();
    gate.open();
    assert_eq!(promise.wait(), Ok(&8));
    // A callback on this thread, of this service: it does not block either.
    promise.on_settled(move |_| (200..210).for_each(|n| drop(also.queue_request(n))));
    service.wait_idle();
    assert!(service.status().settled.outputs > 20);
}
