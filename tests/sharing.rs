//! Equal requests in flight are processed once.

mod support;

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use parallel_workers::{
    Abort, Context, Failure, Processor, ProcessorService, PromiseSet, Share, processor_fn,
};
use support::{Alive, Gate, Gated, Living, echo, gated, runs};

#[test]
fn ten_callers_of_one_request_share_one_run_and_its_outcome() {
    let (service, gated) = gated(2);
    let service = Arc::new(service);
    let first = service.queue_request(7);
    gated.gate.wait_for(1);
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let service = Arc::clone(&service);
            std::thread::spawn(move || service.queue_request(7))
        })
        .collect();
    let promises: Vec<_> = callers
        .into_iter()
        .map(|caller| caller.join().unwrap())
        .collect();
    gated.gate.open();
    for promise in &promises {
        assert_eq!(promise.wait(), Ok(&7));
        assert!(*promise == first);
    }
    assert_eq!(runs(&gated.runs), 1);
    assert_eq!(service.status().coalesced, 10);
}

#[test]
fn a_request_joins_one_that_is_queued_as_well_as_one_that_runs() {
    let (service, gated) = gated(1);
    let running = service.queue_request(1);
    gated.gate.wait_for(1);
    let queued = service.queue_request(2);
    assert!(service.queue_request(1) == running);
    assert!(service.queue_request(2) == queued);
    assert!(running != queued);
    gated.gate.open();
    service.wait_idle();
    assert_eq!(runs(&gated.runs), 2);
}

#[test]
fn after_it_settled_an_equal_request_is_a_new_run() {
    let (service, gated) = echo(1);
    let first = service.queue_request(1);
    first.wait().unwrap();
    let second = service.queue_request(1);
    assert!(first != second);
    second.wait().unwrap();
    assert_eq!(runs(&gated.runs), 2);
}

#[test]
fn a_callback_that_queues_the_same_request_gets_a_new_run() {
    let (service, gated) = gated(1);
    let handle = service.handle();
    let first = service.queue_request(1);
    let (sender, receiver) = std::sync::mpsc::channel();
    first.on_settled(move |first| {
        let again = handle.queue_request(1);
        sender.send(again != *first).unwrap();
    });
    gated.gate.open();
    assert!(receiver.recv().unwrap());
    service.stop();
    assert_eq!(runs(&gated.runs), 2);
}

#[test]
fn an_unshared_request_is_never_joined() {
    let (service, gated) = gated(1);
    let promises = [
        service.queue_unshared(1),
        service.queue_unshared(1),
        service.queue_request(1),
    ];
    let joined = service.queue_request(1);
    assert!(promises[0] != promises[1] && promises[1] != promises[2]);
    assert!(joined == promises[2]);
    gated.gate.open();
    for promise in &promises {
        assert_eq!(promise.wait(), Ok(&1));
    }
    assert_eq!(runs(&gated.runs), 3);
}

#[test]
fn while_held_a_request_is_processed_once_however_often_it_is_queued() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(
        ProcessorService::builder()
            .workers(2)
            .share(Share::WhileHeld),
    );
    let first = service.queue_request(1);
    first.wait().unwrap();
    for _ in 0..100 {
        let again = service.queue_request(1);
        assert!(again == first);
        assert_eq!(again.try_result(), Some(Ok(&1)));
    }
    assert_eq!(runs(&gated.runs), 1);
    let clone = first.clone();
    drop(first);
    assert!(service.queue_request(1) == clone);
    drop(clone);
    service.queue_request(1).wait().unwrap();
    assert_eq!(runs(&gated.runs), 2, "nobody held it any more");
}

#[test]
fn while_held_keeps_nothing_that_nobody_can_see() {
    let alive = Alive::default();
    let counter = alive.share();
    let service: ProcessorService<_> = ProcessorService::builder()
        .workers(2)
        .share(Share::WhileHeld)
        .start(move || {
            let alive = counter.share();
            processor_fn(move |_: &u32, _: &Context<'_>| alive.make())
        })
        .unwrap();
    let promises: Vec<_> = (0..100).map(|n| service.queue_request(n)).collect();
    service.wait_idle();
    assert_eq!(alive.count(), 100);
    drop(promises);
    assert_eq!(alive.count(), 0);
    (0..100).for_each(|n| drop(service.queue_request(n)));
    service.wait_idle();
    assert_eq!(alive.count(), 0);
}

#[test]
fn while_held_the_last_holder_can_take_the_output() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(
        ProcessorService::builder()
            .workers(1)
            .share(Share::WhileHeld),
    );
    let first = service.queue_request(1);
    first.wait().unwrap();
    let second = service.queue_request(1);
    let first = first.into_output().expect_err("it is not the last");
    drop(second);
    assert_eq!(first.into_output().unwrap(), 1);
    service.queue_request(1).wait().unwrap();
    assert_eq!(runs(&gated.runs), 2);
}

struct Failing;

impl Processor for Failing {
    type Request = u32;
    type Output = Result<u32, ()>;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> Result<u32, ()> {
        match n {
            0 => Err(()),
            1 => panic!("as it was asked to"),
            n => Ok(*n),
        }
    }

    fn is_failure(output: &Result<u32, ()>) -> bool {
        output.is_err()
    }
}

#[test]
fn while_held_failures_and_panics_are_not_shared_after_they_settled() {
    let service = ProcessorService::builder()
        .workers(1)
        .share(Share::WhileHeld)
        .start(|| Failing)
        .unwrap();
    for n in [0, 1] {
        let first = service.queue_request(n);
        let _ = first.wait();
        assert!(service.queue_request(n) != first);
    }
    let first = service.queue_request(2);
    first.wait().unwrap();
    assert!(service.queue_request(2) == first);
    service.wait_idle();
    let settled = service.status().settled;
    assert_eq!(
        (settled.outputs, settled.failed, settled.panicked),
        (3, 2, 2)
    );
}

#[test]
fn callers_who_share_an_error_all_see_it_and_the_next_one_runs_again() {
    let (service, _) = (ProcessorService::start(1, || Failing).unwrap(), ());
    service.pause();
    let promises: Vec<_> = (0..5).map(|_| service.queue_request(0)).collect();
    service.resume();
    assert!(
        promises
            .iter()
            .all(|promise| promise.wait() == Ok(&Err(())))
    );
    service.queue_request(0).wait().unwrap().unwrap_err();
    assert_eq!(service.status().settled.failed, 2);
}

#[test]
fn callers_who_share_a_panic_all_see_it_and_the_key_is_free_at_once() {
    let service = ProcessorService::start(1, || Failing).unwrap();
    service.pause();
    let promises: Vec<_> = (0..5).map(|_| service.queue_request(1)).collect();
    service.resume();
    for promise in &promises {
        assert!(matches!(promise.wait(), Err(Failure::Panicked(_))));
    }
    assert!(matches!(
        service.queue_request(1).wait(),
        Err(Failure::Panicked(_))
    ));
    assert_eq!(service.status().settled.panicked, 2);
}

/// All have the same hash.
#[derive(PartialEq, Eq, Debug)]
struct Collides(u32);

impl Hash for Collides {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

#[test]
fn requests_with_the_same_hash_that_are_not_equal_are_never_mixed_up() {
    let service =
        ProcessorService::start(2, || processor_fn(|n: &Collides, _: &Context<'_>| n.0)).unwrap();
    service.pause();
    let promises: Vec<_> = (0..200)
        .map(|n| service.queue_request(Collides(n % 100)))
        .collect();
    service.resume();
    for (n, promise) in (0..).zip(&promises) {
        assert_eq!(promise.wait(), Ok(&(n % 100)));
    }
    assert_eq!(service.status().settled.outputs, 100);
}

#[test]
fn runs_and_joins_add_up_whatever_the_race() {
    let (service, gated) = echo(2);
    let service = Arc::new(service);
    let barrier = Arc::new(Barrier::new(4));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (service, barrier) = (Arc::clone(&service), Arc::clone(&barrier));
            std::thread::spawn(move || {
                for round in 0..2_000 {
                    barrier.wait();
                    assert_eq!(service.queue_request(round % 3).wait(), Ok(&(round % 3)));
                }
            })
        })
        .collect();
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
    service.wait_idle();
    let status = service.status();
    assert_eq!(status.settled.total() + status.coalesced, 8_000);
    assert_eq!(runs(&gated.runs) as u64, status.settled.outputs);
}

/// Panics in `Hash` or in `Eq` when told to.
struct Evil {
    n: u32,
    in_hash: bool,
    in_eq: Arc<AtomicBool>,
}

impl Hash for Evil {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(!self.in_hash, "hash");
        state.write_u32(0);
    }
}

impl PartialEq for Evil {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.in_eq.load(Ordering::SeqCst), "eq");
        self.n == other.n
    }
}

impl Eq for Evil {}

#[test]
fn a_panic_in_hash_or_eq_reaches_the_caller_and_harms_nobody() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let service = ProcessorService::builder()
        .workers(1)
        .capacity(4)
        .start(move || {
            let gate = waiting.clone();
            processor_fn(move |evil: &Evil, _: &Context<'_>| {
                gate.pass();
                evil.n
            })
        })
        .unwrap();
    let in_eq = Arc::new(AtomicBool::new(false));
    let evil = |n, in_hash| Evil {
        n,
        in_hash,
        in_eq: Arc::clone(&in_eq),
    };
    let first = service.queue_request(evil(1, false));
    gate.wait_for(1);
    for _ in 0..10 {
        assert!(catch_unwind(AssertUnwindSafe(|| service.queue_request(evil(2, true)))).is_err());
        in_eq.store(true, Ordering::SeqCst);
        assert!(catch_unwind(AssertUnwindSafe(|| service.queue_request(evil(2, false)))).is_err());
        in_eq.store(false, Ordering::SeqCst);
    }
    let others: Vec<_> = (2..6)
        .map(|n| {
            service
                .try_queue_request(evil(n, false))
                .expect("the panics left room")
        })
        .collect();
    // At the end of a run `Eq` is not asked.
    in_eq.store(true, Ordering::SeqCst);
    gate.open();
    assert_eq!(first.wait(), Ok(&1));
    others
        .iter()
        .for_each(|promise| assert!(promise.wait().is_ok()));
}

#[test]
fn an_output_is_dropped_once_with_its_last_handle() {
    let alive = Alive::default();
    let counter = alive.share();
    let service = ProcessorService::start(1, move || {
        let alive = counter.share();
        processor_fn(move |_: &u32, _: &Context<'_>| -> Living { alive.make() })
    })
    .unwrap();
    service.pause();
    let promises: Vec<_> = (0..5).map(|_| service.queue_request(1)).collect();
    service.resume();
    service.wait_idle();
    for (dropped, promise) in promises.into_iter().enumerate() {
        assert_eq!(alive.count(), 1, "{dropped} of 5 are gone");
        drop(promise);
    }
    assert_eq!(alive.count(), 0);
}

#[test]
fn a_caller_who_drops_his_promise_harms_neither_the_run_nor_the_others() {
    let (service, gated) = gated(1);
    let first = service.queue_request(1);
    let second = service.queue_request(1);
    gated.gate.wait_for(1);
    drop(first);
    gated.gate.open();
    assert_eq!(second.wait(), Ok(&1));
    drop(service.queue_request(2));
    service.wait_idle();
    assert_eq!(runs(&gated.runs), 2);
}

#[test]
fn a_request_queued_after_everybody_left_waits_for_the_old_run_to_end() {
    for share in [Share::InFlight, Share::WhileHeld] {
        let running = Arc::new(AtomicUsize::new(0));
        let gate = Gate::new();
        let (inner_running, inner_gate) = (Arc::clone(&running), gate.clone());
        let service = ProcessorService::builder()
            .workers(2)
            .share(share)
            .start(move || {
                let (running, gate) = (Arc::clone(&inner_running), inner_gate.clone());
                processor_fn(move |_: &u32, context: &Context<'_>| {
                    assert_eq!(
                        running.fetch_add(1, Ordering::SeqCst),
                        0,
                        "one run at a time"
                    );
                    gate.pass();
                    running.fetch_sub(1, Ordering::SeqCst);
                    context.is_cancelled()
                })
            })
            .unwrap();
        let old = service.queue_request(1);
        gate.wait_for(1);
        assert_eq!(old.abort(), Abort::Running);
        let new = service.queue_request(1);
        let joined = service.queue_request(1);
        assert!(new != old && joined == new);
        assert_eq!(service.status().queued, 1);
        gate.let_one_pass();
        assert_eq!(old.wait(), Ok(&true));
        gate.wait_for(2);
        assert_eq!(service.status().queued, 0);
        gate.open();
        assert_eq!(new.wait(), Ok(&false));
        assert_eq!(service.queue_request(1) == new, share == Share::WhileHeld);
    }
}

#[test]
fn a_request_that_waits_for_an_old_run_can_be_aborted_and_asked_again() {
    let (service, gated) = gated(2);
    let old = service.queue_request(1);
    gated.gate.wait_for(1);
    old.abort();
    for _ in 0..3 {
        let new = service.queue_request(1);
        assert!(new != old);
        assert_eq!(new.abort(), Abort::Aborted);
        assert_eq!(new.wait(), Err(Failure::Aborted));
        assert_eq!(service.status().queued, 0);
    }
    let last = service.queue_request(1);
    gated.gate.open();
    assert_eq!(last.wait(), Ok(&1));
    assert_eq!(old.wait(), Ok(&1));
    assert_eq!(runs(&gated.runs), 2);
    service.stop();
    let settled = service.status().settled;
    assert_eq!((settled.outputs, settled.aborted), (2, 3));
}

#[test]
fn a_set_of_equal_requests_yields_one_promise_for_each() {
    let (service, gated) = echo(2);
    service.pause();
    let promises = service.queue_requests([1, 2, 1, 1]);
    assert_eq!(promises.len(), 4);
    service.resume();
    let mut outputs: Vec<_> = promises
        .select()
        .map(|promise| *promise.wait().unwrap())
        .collect();
    outputs.sort_unstable();
    assert_eq!(outputs, [1, 1, 1, 2]);
    assert_eq!(runs(&gated.runs), 2);
    assert!(PromiseSet::<u32, u32>::new().is_empty());
}

#[test]
fn a_duplicate_whose_drop_panics_does_not_cost_its_caller_the_promise() {
    #[derive(PartialEq, Eq, Hash)]
    struct Grumbling(u32);
    impl Drop for Grumbling {
        fn drop(&mut self) {
            assert!(
                std::thread::panicking(),
                "a request that panics when dropped"
            );
        }
    }
    let service = ProcessorService::builder()
        .workers(1)
        .share(Share::WhileHeld)
        .start(|| processor_fn(|request: &Grumbling, _: &Context<'_>| request.0))
        .unwrap();
    let first = service.queue_request(Grumbling(1));
    let second = service.queue_request(Grumbling(1));
    assert!(first == second);
    assert_eq!(second.wait(), Ok(&1));
    drop(second);
    service.wait_idle();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(first))).is_err());
}
