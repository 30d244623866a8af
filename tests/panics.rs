//! Panics as values, and processors that are made again.

mod support;

use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parallel_workers::{
    Context, Failure, Jobs, Loss, Processor, ProcessorService, Share, processor_fn,
};
use support::Gate;

/// What a request asks of its processor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Ask {
    Nothing,
    PanicStr,
    PanicString,
    PanicOther,
    PanicEvil,
}

/// Panics when dropped, and its payload does so too, a few times.
struct Evil(u32);

impl Drop for Evil {
    fn drop(&mut self) {
        if self.0 > 0 && !std::thread::panicking() {
            panic_any(Evil(self.0 - 1));
        }
    }
}

fn obey(ask: &Ask, _: &Context<'_>) -> Ask {
    match ask {
        Ask::Nothing => Ask::Nothing,
        Ask::PanicStr => panic!("plain"),
        Ask::PanicString => panic!("number {}", 7),
        Ask::PanicOther => panic_any(7_u8),
        Ask::PanicEvil => panic_any(Evil(3)),
    }
}

#[test]
fn a_panic_is_a_value_with_its_message_and_location() {
    let service = ProcessorService::start(2, || processor_fn(obey)).unwrap();
    for (ask, message) in [
        (Ask::PanicStr, "plain"),
        (Ask::PanicString, "number 7"),
        (Ask::PanicOther, "(the panic's payload was no string)"),
        (Ask::PanicEvil, "(the panic's payload was no string)"),
    ] {
        let promise = service.queue_request(ask);
        let Err(Failure::Panicked(panic)) = promise.wait() else {
            panic!("{promise:?}")
        };
        assert_eq!(panic.message(), message);
        let location = panic.location().expect("the hook was told");
        assert!(location.starts_with("tests/panics.rs:"), "{location}");
        assert!(panic.to_string().contains(location));
    }
    for _ in 0..100 {
        assert_eq!(
            service.queue_request(Ask::Nothing).wait(),
            Ok(&Ask::Nothing)
        );
    }
    let status = service.status();
    assert_eq!((status.settled.panicked, status.workers.len()), (4, 2));
    assert_eq!(
        status
            .workers
            .iter()
            .map(|worker| worker.respawns)
            .sum::<u64>(),
        4
    );
}

#[test]
fn after_a_panic_the_processor_is_made_again_and_the_worker_keeps_its_id_and_name() {
    struct Counting(u32);
    impl Processor for Counting {
        type Request = bool;
        type Output = u32;
        fn process(&mut self, panics: &bool, _: &Context<'_>) -> u32 {
            self.0 += 1;
            assert!(!panics);
            self.0
        }
    }
    let service = ProcessorService::start(1, || Counting(0)).unwrap();
    let before = service.status().workers[0].clone();
    assert_eq!(service.queue_request(false).wait(), Ok(&1));
    assert_eq!(service.queue_request(false).wait(), Ok(&2));
    assert!(service.queue_request(true).wait().is_err());
    assert_eq!(service.queue_request(false).wait(), Ok(&1));
    let after = service.status().workers[0].clone();
    assert_eq!((after.id, &after.name), (before.id, &before.name));
    assert_eq!((after.respawns, after.panicked, after.processed), (1, 1, 3));
}

#[test]
fn when_all_workers_panic_at_once_the_queue_is_still_served() {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(4, move || {
        let gate = inner.clone();
        processor_fn(move |n: &u32, _: &Context<'_>| {
            if *n < 4 {
                gate.pass();
                panic!("all at once");
            }
            *n
        })
    })
    .unwrap();
    let promises: Vec<_> = (0..44).map(|n| service.queue_request(n)).collect();
    gate.wait_for(4);
    gate.open();
    let panicked = promises
        .iter()
        .filter(|promise| promise.wait().is_err())
        .count();
    assert_eq!((panicked, service.status().workers.len()), (4, 4));
}

#[test]
fn a_factory_that_fails_now_and_then_is_tried_again() {
    let makes = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&makes);
    let service = ProcessorService::builder()
        .workers(1)
        .try_start(move || match inner.fetch_add(1, Ordering::SeqCst) {
            1 => Err("not this time"),
            2 => panic!("nor this"),
            _ => Ok(processor_fn(obey)),
        })
        .unwrap();
    assert!(service.queue_request(Ask::PanicStr).wait().is_err());
    assert_eq!(
        service.queue_request(Ask::Nothing).wait(),
        Ok(&Ask::Nothing)
    );
    assert_eq!(makes.load(Ordering::SeqCst), 4);
    assert_eq!(service.status().workers[0].respawns, 1);
}

#[test]
fn while_one_worker_cannot_be_made_the_others_do_the_work() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let (inner, gate) = (Arc::clone(&is_broken), Gate::new());
    let waiting = gate.clone();
    let service = ProcessorService::start(2, move || {
        assert!(!inner.load(Ordering::SeqCst), "no more processors");
        let gate = waiting.clone();
        processor_fn(move |ask: &Ask, context: &Context<'_>| {
            if *ask != Ask::Nothing {
                gate.pass();
            }
            obey(ask, context)
        })
    })
    .unwrap();
    is_broken.store(true, Ordering::SeqCst);
    let promise = service.queue_request(Ask::PanicStr);
    gate.open();
    assert!(promise.wait().is_err());
    for _ in 0..1_000 {
        assert_eq!(
            service.queue_request(Ask::Nothing).wait(),
            Ok(&Ask::Nothing)
        );
    }
    service.stop();
}

#[test]
fn when_no_worker_can_be_made_promises_settle_and_when_one_can_they_are_served_again() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let inner = Arc::clone(&is_broken);
    let service = ProcessorService::start(2, move || {
        assert!(!inner.load(Ordering::SeqCst), "no more processors");
        processor_fn(obey)
    })
    .unwrap();
    is_broken.store(true, Ordering::SeqCst);
    // Both workers lose their processor.
    while service.status().settled.worker_lost == 0 {
        let outcomes = [Ask::PanicStr, Ask::PanicString, Ask::PanicOther]
            .map(|ask| service.queue_request(ask));
        assert!(outcomes.iter().all(|promise| promise.wait().is_err()));
    }
    let promises: Vec<_> = (0..10)
        .map(|_| service.queue_unshared(Ask::Nothing))
        .collect();
    assert!(
        promises
            .iter()
            .all(|promise| promise.wait() == Err(Failure::WorkerLost(Loss::NoProcessor)))
    );
    is_broken.store(false, Ordering::SeqCst);
    // The next attempt is a backoff away.
    while service.queue_request(Ask::Nothing).wait() != Ok(&Ask::Nothing) {}
    service.stop();
}

#[test]
fn a_service_whose_workers_cannot_be_made_again_stops() {
    for discards in [false, true] {
        let is_broken = Arc::new(AtomicBool::new(false));
        let inner = Arc::clone(&is_broken);
        let service = ProcessorService::start(2, move || {
            assert!(!inner.load(Ordering::SeqCst), "no more processors");
            processor_fn(obey)
        })
        .unwrap();
        is_broken.store(true, Ordering::SeqCst);
        let promises: Vec<_> = (0..20)
            .map(|_| service.queue_unshared(Ask::PanicStr))
            .collect();
        if discards {
            service.shutdown(parallel_workers::Shutdown::Discard);
        } else {
            service.stop();
        }
        assert!(promises.iter().all(|promise| promise.wait().is_err()));
        assert_eq!(service.status().settled.total(), 20);
    }
}

#[test]
fn a_panic_in_run_itself_settles_what_it_held_and_the_worker_goes_on() {
    struct Rash;
    impl Processor for Rash {
        type Request = u32;
        type Output = u32;
        fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
            *n
        }
        fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
            while let Some(job) = jobs.next() {
                assert!(*job.request() != 13, "unlucky");
                let n = *job.request();
                job.settle(n);
            }
        }
    }
    let service = ProcessorService::start(1, || Rash).unwrap();
    let promises: Vec<_> = (0..30).map(|n| service.queue_request(n)).collect();
    for promise in &promises {
        let expected = if *promise.request() == 13 {
            Err(Failure::WorkerLost(Loss::Dropped))
        } else {
            Ok(promise.request())
        };
        assert_eq!(promise.wait(), expected);
    }
    assert_eq!(service.status().workers[0].respawns, 1);
}

#[test]
fn an_output_whose_drop_panics_reaches_only_who_drops_it() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(
                std::thread::panicking(),
                "an output that panics when dropped"
            );
        }
    }
    let service =
        ProcessorService::start(1, || processor_fn(|_: &u32, _: &Context<'_>| Bomb)).unwrap();
    // Dropped by the worker, which goes on: nobody holds the promises when it begins.
    service.pause();
    for n in 0..10 {
        drop(service.queue_request(n));
    }
    service.resume();
    service.wait_idle();
    let held = service.queue_request(100);
    held.wait().unwrap();
    service.wait_idle();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(held))).is_err());
    let status = service.status();
    assert_eq!(
        (
            status.settled.outputs,
            status.settled.panicked,
            status.workers[0].respawns
        ),
        (11, 0, 0)
    );
}

#[test]
fn a_processor_whose_drop_panics_is_replaced_all_the_same() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(
                std::thread::panicking(),
                "a processor that panics when dropped"
            );
        }
    }
    impl Processor for Bomb {
        type Request = u32;
        type Output = u32;
        fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
            assert!(*n > 0, "zero");
            *n
        }
    }
    let service = ProcessorService::start(1, || Bomb).unwrap();
    assert!(service.queue_request(0).wait().is_err());
    assert_eq!(service.queue_request(1).wait(), Ok(&1));
    service.stop();
}

#[test]
fn a_service_used_by_a_thread_local_as_a_worker_ends_neither_hangs_nor_panics() {
    struct OnExit(
        parallel_workers::Handle<Using>,
        mpsc::Sender<Result<u32, Failure>>,
    );
    impl Drop for OnExit {
        fn drop(&mut self) {
            let promise = self.0.queue_request(2);
            self.1.send(promise.wait().copied()).unwrap();
        }
    }
    thread_local! {
        static ON_EXIT: std::cell::RefCell<Option<OnExit>> = const { std::cell::RefCell::new(None) };
    }
    struct Using(
        Arc<std::sync::OnceLock<parallel_workers::Handle<Using>>>,
        mpsc::Sender<Result<u32, Failure>>,
    );
    impl Processor for Using {
        type Request = u32;
        type Output = u32;
        fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
            let handle = self.0.get().unwrap().clone();
            ON_EXIT.set(Some(OnExit(handle, self.1.clone())));
            *n
        }
    }
    let handle = Arc::new(std::sync::OnceLock::new());
    let (sender, receiver) = mpsc::channel();
    let inner = Arc::clone(&handle);
    let service =
        ProcessorService::start(1, move || Using(Arc::clone(&inner), sender.clone())).unwrap();
    assert!(handle.set(service.handle()).is_ok());
    service.queue_request(1).wait().unwrap();
    service.stop();
    assert_eq!(receiver.recv(), Ok(Err(Failure::Stopped)));
}

/// Fails for 1, and stands at a gate for 2.
struct FailsForOne(Gate);

impl Processor for FailsForOne {
    type Request = u32;
    type Output = Result<u32, ()>;

    fn process(&mut self, number: &u32, _: &Context<'_>) -> Result<u32, ()> {
        if *number == 2 {
            self.0.pass();
        }
        (*number != 1).then_some(*number).ok_or(())
    }

    fn is_failure(output: &Result<u32, ()>) -> bool {
        output.is_err()
    }
}

#[test]
fn a_failure_is_not_shared_on_while_its_worker_goes_on_to_the_next_request() {
    let gate = Gate::new();
    let inner = gate.clone();
    let builder = ProcessorService::builder().workers(1).paused(true);
    let builder = builder.share(Share::WhileHeld);
    let service = builder.start(move || FailsForOne(inner.clone())).unwrap();
    let (failed, next) = (service.queue_request(1), service.queue_request(2));
    service.resume();
    gate.wait_for(1);
    assert_eq!(failed.try_result(), Some(Ok(&Err(()))));
    assert!(service.queue_request(1) != failed, "it is run again");
    gate.open();
    assert_eq!(next.wait(), Ok(&Ok(2)));
}

/// Panics as often as it is told to, whenever it is to run.
struct Restless(Arc<AtomicUsize>, mpsc::Sender<Instant>);

impl Processor for Restless {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, number: &u32, _: &Context<'_>) -> u32 {
        *number
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        self.1.send(Instant::now()).unwrap();
        let left = self.0.load(Ordering::SeqCst);
        if left > 0 {
            self.0.store(left - 1, Ordering::SeqCst);
            panic!("not now");
        }
        jobs.process_each(|number, _| *number);
    }
}

#[test]
fn a_run_that_panics_every_time_is_called_ever_more_seldom() {
    let (panics, (sender, runs)) = (Arc::new(AtomicUsize::new(4)), mpsc::channel());
    let make = move || Restless(Arc::clone(&panics), sender.clone());
    let service = ProcessorService::start(1, make).unwrap();
    assert_eq!(service.queue_request(7).wait(), Ok(&7));
    let runs: Vec<_> = runs.try_iter().collect();
    let pauses: Vec<_> = runs.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let least = [10, 20, 40, 80].map(Duration::from_millis);
    assert!(
        pauses
            .iter()
            .zip(least)
            .all(|(pause, least)| *pause >= least),
        "{pauses:?}"
    );
    assert_eq!(pauses.len(), 4);
}
