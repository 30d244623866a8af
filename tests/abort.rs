//! Withdrawing a request.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use parallel_workers::{Abort, Context, Failure, ProcessorService, processor_fn};
use support::{Alive, Gate, Gated, Living, echo, gated, runs};

#[test]
fn an_aborted_request_is_never_processed() {
    let (service, gated) = gated(1);
    service.queue_request(0);
    gated.gate.wait_for(1);
    let promise = service.queue_request(1);
    assert_eq!(promise.abort(), Abort::Aborted);
    assert_eq!(promise.wait(), Err(Failure::Aborted));
    assert_eq!(promise.abort(), Abort::Settled);
    gated.gate.open();
    service.stop();
    assert_eq!(runs(&gated.runs), 1);
    assert_eq!(service.status().settled.aborted, 1);
}

#[test]
fn a_running_request_is_told_that_nobody_wants_it_and_gives_its_real_output() {
    let (gate, cancelled) = (Gate::new(), Gate::new());
    let (inner, waits) = (gate.clone(), cancelled.clone());
    let service = ProcessorService::start(1, move || {
        let (gate, waits) = (inner.clone(), waits.clone());
        processor_fn(move |_: &u32, context: &Context<'_>| {
            let before = context.is_cancelled();
            gate.pass();
            waits.pass();
            (before, context.is_cancelled())
        })
    })
    .unwrap();
    let one = service.queue_request(1);
    let other = service.queue_request(1);
    gate.wait_for(1);
    assert_eq!(one.abort(), Abort::StillWanted);
    assert_eq!(one.abort(), Abort::Settled);
    gate.open();
    cancelled.wait_for(1);
    assert_eq!(other.abort(), Abort::Running);
    assert_eq!(other.abort(), Abort::Running);
    cancelled.open();
    assert_eq!(other.wait(), Ok(&(false, true)));
    assert_eq!(one.wait(), Err(Failure::Aborted));
    assert_eq!(other.abort(), Abort::Settled);
}

#[test]
fn a_settled_promise_is_not_changed_by_an_abort() {
    let service = ProcessorService::start(1, || {
        processor_fn(|n: &u32, _: &Context<'_>| {
            assert!(*n > 0);
            *n
        })
    })
    .unwrap();
    for n in [0, 1] {
        let promise = service.queue_request(n);
        let before = promise.wait().copied();
        let (sender, receiver) = mpsc::channel();
        promise.on_settled(move |_| sender.send(()).unwrap());
        assert_eq!(promise.abort(), Abort::Settled);
        assert_eq!(promise.wait().copied(), before);
        assert_eq!(receiver.into_iter().count(), 1);
    }
}

#[test]
fn a_caller_who_leaves_while_others_want_the_run_settles_alone_and_at_once() {
    let (service, gated) = gated(1);
    let promises: Vec<_> = (0..20).map(|_| service.queue_request(1)).collect();
    gated.gate.wait_for(1);
    let (sender, receiver) = mpsc::channel();
    for (n, promise) in promises.iter().enumerate() {
        let sender = sender.clone();
        promise.on_settled(move |promise| sender.send((n, promise.wait().copied())).unwrap());
    }
    for n in [3, 17] {
        let waiting = promises[n].clone();
        let waiting = std::thread::spawn(move || waiting.wait().copied());
        assert_eq!(promises[n].abort(), Abort::StillWanted);
        assert_eq!(waiting.join().unwrap(), Err(Failure::Aborted));
        assert_eq!(receiver.try_recv(), Ok((n, Err(Failure::Aborted))));
    }
    assert!(
        receiver.try_recv().is_err(),
        "the others were not told anything"
    );
    gated.gate.open();
    for (n, promise) in promises.iter().enumerate() {
        let expected = if [3, 17].contains(&n) {
            Err(Failure::Aborted)
        } else {
            Ok(&1)
        };
        assert_eq!(promise.wait(), expected);
        assert_eq!(promise.try_result(), Some(expected));
    }
    service.wait_idle();
    drop((service, sender));
    assert_eq!(receiver.into_iter().count(), 18);
}

#[test]
fn clones_share_one_vote() {
    let (service, gated) = gated(1);
    service.queue_request(0);
    gated.gate.wait_for(1);
    let one = service.queue_request(1);
    let (clone, other) = (one.clone(), service.queue_request(1));
    assert_eq!(clone.abort(), Abort::StillWanted);
    assert_eq!(one.abort(), Abort::Settled);
    assert_eq!(one.wait(), Err(Failure::Aborted));
    assert!(!other.is_settled());
    gated.gate.open();
    assert_eq!(other.wait(), Ok(&1));
}

#[test]
fn dropping_a_promise_is_not_aborting() {
    let (service, gated) = gated(1);
    let (sender, receiver) = mpsc::channel();
    let promise = service.queue_request(1);
    promise.on_settled(move |promise| sender.send(promise.wait().copied()).unwrap());
    drop(promise);
    gated.gate.open();
    assert_eq!(receiver.recv(), Ok(Ok(1)));
}

#[test]
fn abort_and_start_have_exactly_one_winner() {
    let (service, gated) = echo(1);
    let mut aborted = 0;
    for n in 0..20_000 {
        let promise = service.queue_request(n);
        match promise.abort() {
            Abort::Aborted => {
                aborted += 1;
                assert_eq!(promise.wait(), Err(Failure::Aborted));
            }
            Abort::Running | Abort::Settled => assert_eq!(promise.wait(), Ok(&n)),
            Abort::StillWanted => panic!("nobody else wants it"),
        }
    }
    service.stop();
    assert_eq!(runs(&gated.runs), 20_000 - aborted);
    assert_eq!(service.status().settled.aborted, aborted as u64);
}

#[test]
fn who_joins_at_the_moment_of_the_last_abort_never_inherits_it() {
    let (service, _) = echo(1);
    let service = Arc::new(service);
    let aborting = {
        let service = Arc::clone(&service);
        std::thread::spawn(move || {
            for _ in 0..50_000 {
                service.queue_request(1).abort();
            }
        })
    };
    for _ in 0..20_000 {
        assert_eq!(service.queue_request(1).wait(), Ok(&1));
    }
    aborting.join().unwrap();
    service.wait_idle();
    assert_eq!(
        service.status().settled.total() + service.status().coalesced,
        70_000
    );
}

#[test]
fn two_who_abort_the_same_promise_withdraw_it_once() {
    let (service, gated) = gated(1);
    service.queue_request(0);
    gated.gate.wait_for(1);
    for n in 1..2_000 {
        let (one, other) = (service.queue_request(n), service.queue_request(n));
        let clone = one.clone();
        let racing = std::thread::scope(|scope| {
            let racing = scope.spawn(|| clone.abort());
            (one.abort(), racing.join().unwrap())
        });
        assert!(matches!(
            racing,
            (Abort::StillWanted, Abort::Settled) | (Abort::Settled, Abort::StillWanted)
        ));
        assert_eq!(other.abort(), Abort::Aborted);
    }
    gated.gate.open();
}

#[test]
fn an_aborted_request_gives_its_place_and_its_memory_back_at_once() {
    let alive = Alive::default();
    let gate = Gate::new();
    let inner = gate.clone();
    struct Request(
        u32,
        #[allow(dead_code, reason = "it counts while it lives")] Living,
    );
    impl PartialEq for Request {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Request {}
    impl std::hash::Hash for Request {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    let service = ProcessorService::builder()
        .workers(1)
        .capacity(1_000)
        .start(move || {
            let gate = inner.clone();
            processor_fn(move |_: &Request, _: &Context<'_>| gate.pass())
        })
        .unwrap();
    let stuck = service.queue_request(Request(0, alive.make()));
    gate.wait_for(1);
    for order in [false, true] {
        let mut promises: Vec<_> = (1..=1_000)
            .map(|n| service.try_queue_request(Request(n, alive.make())).unwrap())
            .collect();
        assert!(
            service
                .try_queue_request(Request(9_999, alive.make()))
                .is_err()
        );
        assert_eq!((service.status().queued, alive.count()), (1_000, 1_001));
        if order {
            promises.reverse();
        }
        for (gone, promise) in promises.into_iter().enumerate() {
            assert_eq!(promise.abort(), Abort::Aborted);
            drop(promise);
            assert_eq!(
                (service.status().queued, alive.count()),
                (999 - gone, 1_000 - gone)
            );
        }
    }
    gate.open();
    stuck.wait().unwrap();
}

#[test]
fn a_request_that_aborts_itself_is_running() {
    let (sender, receiver) = mpsc::channel::<parallel_workers::Promise<u32, Abort>>();
    let receiver = Arc::new(std::sync::Mutex::new(receiver));
    let service = ProcessorService::start(1, move || {
        let receiver = Arc::clone(&receiver);
        processor_fn(move |_: &u32, _: &Context<'_>| {
            receiver.lock().unwrap().recv().unwrap().abort()
        })
    })
    .unwrap();
    let promise = service.queue_request(1);
    sender.send(promise.clone()).unwrap();
    assert_eq!(promise.wait(), Ok(&Abort::Running));
}

#[test]
fn aborting_after_the_service_is_gone_says_that_it_is_settled() {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(1).paused(true));
    let handle = service.handle();
    let promise = service.queue_request(1);
    gated.gate.open();
    drop(service);
    assert_eq!(promise.abort(), Abort::Settled);
    assert_eq!(promise.wait(), Ok(&1));
    let late = handle.queue_request(1);
    assert_eq!(late.abort(), Abort::Settled);
    assert_eq!(late.wait(), Err(Failure::Stopped));
}

#[test]
fn an_aborted_request_whose_drop_panics_harms_nobody() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    #[derive(PartialEq, Eq, Hash)]
    struct Evil(u32);
    impl Drop for Evil {
        fn drop(&mut self) {
            if DROPS.fetch_add(1, Ordering::SeqCst) < 3 {
                panic!("a request that panics when dropped");
            }
        }
    }
    let service =
        ProcessorService::start(1, || processor_fn(|evil: &Evil, _: &Context<'_>| evil.0)).unwrap();
    service.pause();
    let promises: Vec<_> = (0..3).map(|n| service.queue_request(Evil(n))).collect();
    for promise in promises {
        assert_eq!(promise.abort(), Abort::Aborted);
        assert_eq!(promise.wait(), Err(Failure::Aborted));
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(promise)));
        assert!(dropped.is_err(), "who drops the last handle is told");
    }
    service.resume();
    assert_eq!(service.queue_request(Evil(7)).wait(), Ok(&7));
}
