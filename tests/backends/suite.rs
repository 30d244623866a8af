//! What every backend has to keep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use parallel_workers::{
    Abort, Failure, Loss, ProcessorService, ProcessorServiceBuilder, Promise, Share, Shutdown,
    State,
};

use crate::Backend;
use crate::door::Door;
use crate::support::limit_time;
use crate::work::{Answer, Work};

/// The suite over one backend, a test for each guarantee.
macro_rules! over {
    ($name:literal, $backend:ty) => {
        $crate::suite::over! { @tests $name, $backend;
            every_promise_settles_once_and_is_counted_once
            equal_requests_in_flight_share_one_run
            an_output_is_shared_for_as_long_as_somebody_holds_it
            a_callback_that_queues_the_same_request_gets_a_new_run
            an_aborted_request_is_never_processed
            who_leaves_a_shared_run_leaves_alone
            a_running_request_is_told_that_nobody_wants_it
            dropping_a_promise_is_not_aborting
            a_set_yields_promises_as_they_settle
            callbacks_run_once_and_in_order
            a_panic_is_a_value_and_the_worker_goes_on
            no_request_waits_while_a_worker_has_room
            a_bounded_queue_is_bounded_and_gives_requests_back
            nothing_begins_while_the_service_is_paused
            stopping_finishes_what_is_queued
            discarding_finishes_only_what_runs
            abandoning_settles_everything_at_once
            a_killed_worker_settles_what_it_has_and_is_replaced
            workers_come_and_go_and_nothing_is_lost
            an_assigned_request_runs_on_its_worker
            a_broadcast_reaches_every_processor_between_its_requests
            the_status_shows_what_each_worker_holds
        }
    };
    (@tests $name:literal, $backend:ty; $($test:ident)*) => {
        [$(
            libtest_mimic::Trial::test(concat!($name, "::", stringify!($test)), || {
                $crate::suite::$test::<$backend>();
                Ok(())
            }),
        )*]
    };
}
pub(crate) use over;

type Service<B> = ProcessorService<<B as Backend>::Processor>;
type Builder<B> = ProcessorServiceBuilder<<B as Backend>::Processor>;

fn builder<B: Backend>(workers: usize) -> Builder<B> {
    limit_time();
    ProcessorService::builder().workers(workers)
}

fn start<B: Backend>(workers: usize) -> Service<B> {
    B::start(builder::<B>(workers))
}

/// Numbers from here on fill workers up.
const FILLERS: u64 = 1_000;

/// Gives every worker as much as it takes at a time.
fn fill<B: Backend>(service: &Service<B>, door: &Door) -> Vec<Promise<Work, Answer>> {
    let at_once = (service.workers().len() * B::AT_A_TIME) as u64;
    let numbers = FILLERS..FILLERS + at_once;
    let filling = numbers
        .clone()
        .map(|number| service.queue_request(knock(door, number)))
        .collect();
    numbers.for_each(|number| door.wait_for(number, 1));
    filling
}

fn knock(door: &Door, number: u64) -> Work {
    Work::Knock {
        door: door.port,
        number,
    }
}

pub(crate) fn every_promise_settles_once_and_is_counted_once<B: Backend>() {
    let service = start::<B>(2);
    let settled = Arc::new(AtomicU64::new(0));
    let promises: Vec<_> = (0..300)
        .map(|number| match number % 3 {
            0 => Work::Echo(number),
            1 => Work::Fail(number),
            _ => Work::Panic(number),
        })
        .map(|work| service.queue_request(work))
        .collect();
    for promise in &promises {
        let settled = Arc::clone(&settled);
        promise.on_settled(move |_| _ = settled.fetch_add(1, Ordering::SeqCst));
    }
    for promise in &promises {
        match (promise.request(), promise.wait()) {
            (Work::Echo(number), Ok(Ok(output))) => assert_eq!(number, output),
            (Work::Fail(_), Ok(Err(_))) | (Work::Panic(_), Err(Failure::Panicked(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    service.stop();
    let counted = service.status().settled;
    assert_eq!((counted.outputs, counted.failed), (200, 100));
    assert_eq!((counted.panicked, counted.total()), (100, 300));
    assert_eq!(settled.load(Ordering::SeqCst), 300);
}

pub(crate) fn equal_requests_in_flight_share_one_run<B: Backend>() {
    let (service, door) = (start::<B>(2), Door::new());
    let first = service.queue_request(knock(&door, 1));
    door.wait_for(1, 1);
    let others: Vec<_> = (0..20)
        .map(|_| service.queue_request(knock(&door, 1)))
        .collect();
    let unshared = service.queue_unshared(knock(&door, 1));
    door.wait_for(1, 2);
    door.open();
    for promise in others.iter().chain([&first, &unshared]) {
        assert_eq!(promise.wait(), Ok(&Ok(1)));
    }
    assert!(others.iter().all(|other| *other == first) && unshared != first);
    assert_eq!(door.times(1), 2);
    assert_eq!(service.status().coalesced, 20);
}

pub(crate) fn an_output_is_shared_for_as_long_as_somebody_holds_it<B: Backend>() {
    let door = Door::new();
    door.open();
    let service = B::start(builder::<B>(1).share(Share::WhileHeld));
    let first = service.queue_request(knock(&door, 1));
    assert_eq!(first.wait(), Ok(&Ok(1)));
    assert_eq!(service.queue_request(knock(&door, 1)).wait(), Ok(&Ok(1)));
    assert_eq!(door.times(1), 1);
    drop(first);
    assert_eq!(service.queue_request(knock(&door, 1)).wait(), Ok(&Ok(1)));
    assert_eq!(door.times(1), 2);
    let failed = service.queue_request(Work::Fail(1));
    assert_eq!(failed.wait().map(Result::is_err), Ok(true));
    assert!(
        failed != service.queue_request(Work::Fail(1)),
        "a failure is not shared on"
    );
}

pub(crate) fn a_callback_that_queues_the_same_request_gets_a_new_run<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let first = service.queue_request(knock(&door, 1));
    let (handle, (sender, second)) = (service.handle(), std::sync::mpsc::channel());
    first.on_settled(move |first| {
        let again = handle.queue_request(first.request().clone());
        sender.send(again).unwrap();
    });
    door.open();
    let (second, first) = (second.recv().unwrap(), first);
    assert!(second != first);
    assert_eq!(second.wait(), Ok(&Ok(1)));
    assert_eq!(door.times(1), 2);
}

pub(crate) fn an_aborted_request_is_never_processed<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let filling = fill::<B>(&service, &door);
    let unwanted = service.queue_request(knock(&door, 1));
    assert_eq!(unwanted.state(), State::Queued);
    assert_eq!(unwanted.abort(), Abort::Aborted);
    assert_eq!(unwanted.wait(), Err(Failure::Aborted));
    door.open();
    assert!(filling.iter().all(|one| one.wait().is_ok()));
    service.stop();
    assert_eq!(door.times(1), 0);
    assert_eq!(service.status().settled.aborted, 1);
}

pub(crate) fn who_leaves_a_shared_run_leaves_alone<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let filling = fill::<B>(&service, &door);
    let (one, other) = (
        service.queue_request(Work::Echo(1)),
        service.queue_request(Work::Echo(1)),
    );
    assert_eq!(one.abort(), Abort::StillWanted);
    assert_eq!(one.wait(), Err(Failure::Aborted));
    door.open();
    assert_eq!(other.wait(), Ok(&Ok(1)));
    assert!(filling.iter().all(|one| one.wait().is_ok()));
}

pub(crate) fn a_running_request_is_told_that_nobody_wants_it<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let unwanted = service.queue_unshared(Work::UntilUnwanted {
        door: door.port,
        number: 1,
    });
    let wanted = service.queue_unshared(Work::IsWanted {
        door: door.port,
        number: 2,
    });
    door.wait_for(1, 1);
    assert_eq!(unwanted.abort(), Abort::Running);
    door.let_in(1);
    assert_eq!(unwanted.wait(), Ok(&Ok(0)), "its real output");
    door.open();
    assert_eq!(wanted.wait(), Ok(&Ok(1)));
}

pub(crate) fn dropping_a_promise_is_not_aborting<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let filling = fill::<B>(&service, &door);
    drop(service.queue_request(knock(&door, 1)));
    door.open();
    assert!(filling.iter().all(|one| one.wait().is_ok()));
    service.stop();
    assert_eq!(door.times(1), 1);
}

pub(crate) fn a_set_yields_promises_as_they_settle<B: Backend>() {
    let (service, door) = (start::<B>(3), Door::new());
    let promises = service.queue_requests([1, 2, 3].map(|number| knock(&door, number)));
    for number in [1, 2, 3] {
        door.wait_for(number, 1);
    }
    let order = [2, 3, 1].map(|number| {
        door.let_in(number);
        promises.select_next().unwrap().wait().unwrap().clone()
    });
    assert_eq!(order, [Ok(2), Ok(3), Ok(1)]);
    assert!(promises.is_empty());
}

pub(crate) fn callbacks_run_once_and_in_order<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let promise = service.queue_request(knock(&door, 1));
    let log = Arc::new(Mutex::new(Vec::new()));
    for number in 0..10 {
        let log = Arc::clone(&log);
        promise.on_settled(move |_| {
            log.lock().unwrap().push(number);
            assert!(number != 4, "one that panics harms nobody");
        });
    }
    door.open();
    service.stop();
    assert_eq!(*log.lock().unwrap(), (0..10).collect::<Vec<_>>());
    assert_eq!(service.status().callback_panics, 1);
}

pub(crate) fn a_panic_is_a_value_and_the_worker_goes_on<B: Backend>() {
    let service = start::<B>(1);
    let worker = service.workers()[0].id;
    for number in 0..5 {
        let Err(Failure::Panicked(panic)) =
            service.queue_request(Work::Panic(number)).wait().cloned()
        else {
            panic!("it panics");
        };
        assert_eq!(panic.message(), format!("number {number}"));
        assert!(
            panic.location().is_some_and(|at| at.contains("work.rs")),
            "{panic}"
        );
        assert_eq!(
            service.queue_request(Work::Echo(number)).wait(),
            Ok(&Ok(number))
        );
    }
    assert_eq!(service.workers()[0].id, worker);
}

pub(crate) fn no_request_waits_while_a_worker_has_room<B: Backend>() {
    let (service, door) = (start::<B>(2), Door::new());
    let all = 2 * B::AT_A_TIME as u64;
    // All but one place is taken, wherever that is; whoever comes one at a time finds it.
    let standing: Vec<_> = (1..all)
        .map(|number| service.queue_request(knock(&door, number)))
        .collect();
    (1..all).for_each(|number| door.wait_for(number, 1));
    for number in 0..50 {
        assert_eq!(
            service.queue_request(Work::Echo(number)).wait(),
            Ok(&Ok(number))
        );
    }
    assert!(standing.iter().all(|one| !one.is_settled()));
    door.open();
    service.stop();
}

pub(crate) fn a_bounded_queue_is_bounded_and_gives_requests_back<B: Backend>() {
    let door = Door::new();
    let service = B::start(builder::<B>(1).capacity(2));
    let filling: Vec<_> = (0..B::AT_A_TIME as u64)
        .map(|number| {
            let one = service.queue_request(knock(&door, FILLERS + number));
            door.wait_for(FILLERS + number, 1);
            one
        })
        .collect();
    let queued = [1, 2].map(|number| service.try_queue_request(Work::Echo(number)).unwrap());
    let refused = service.try_queue_request(Work::Echo(3)).unwrap_err();
    assert_eq!(refused.into_request(), Work::Echo(3));
    assert_eq!(queued[0].abort(), Abort::Aborted);
    assert!(
        service.try_queue_request(Work::Echo(3)).is_ok(),
        "its place is free at once"
    );
    door.open();
    assert!(filling.iter().all(|one| one.wait().is_ok()));
}

pub(crate) fn nothing_begins_while_the_service_is_paused<B: Backend>() {
    let (service, door) = (start::<B>(2), Door::new());
    let running = service.queue_request(knock(&door, 1));
    door.wait_for(1, 1);
    service.pause();
    let waiting = service.queue_request(knock(&door, 2));
    door.let_in(1);
    assert_eq!(running.wait(), Ok(&Ok(1)), "what runs goes on");
    assert_eq!((waiting.state(), door.times(2)), (State::Queued, 0));
    service.resume();
    door.wait_for(2, 1);
    door.open();
    assert_eq!(waiting.wait(), Ok(&Ok(2)));
}

pub(crate) fn stopping_finishes_what_is_queued<B: Backend>() {
    let (service, door) = (start::<B>(2), Door::new());
    let filling = fill::<B>(&service, &door);
    let queued: Vec<_> = (0..50)
        .map(|number| service.queue_request(Work::Echo(number)))
        .collect();
    door.open();
    service.stop();
    let all = filling.iter().chain(&queued);
    assert!(
        all.into_iter()
            .all(|promise| matches!(promise.try_result(), Some(Ok(Ok(_)))))
    );
    assert!(service.workers().is_empty());
    assert_eq!(
        service.queue_request(Work::Echo(1)).wait(),
        Err(Failure::Stopped)
    );
}

pub(crate) fn discarding_finishes_only_what_runs<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let running = fill::<B>(&service, &door);
    let queued: Vec<_> = (0..50)
        .map(|number| service.queue_request(Work::Echo(number)))
        .collect();
    queued[0].on_settled(move |_| door.open());
    let report = service.shutdown(Shutdown::Discard);
    assert_eq!((report.discarded, report.still_running), (50, 0));
    assert!(running.iter().all(|one| one.wait().is_ok()));
    assert!(queued.iter().all(|one| one.wait() == Err(Failure::Stopped)));
}

pub(crate) fn abandoning_settles_everything_at_once<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let running = fill::<B>(&service, &door);
    let queued = service.queue_request(Work::Echo(1));
    service.shutdown(Shutdown::Abandon);
    assert!(
        running
            .iter()
            .all(|one| one.try_result() == Some(Err(Failure::WorkerLost(Loss::Abandoned))))
    );
    assert_eq!(queued.try_result(), Some(Err(Failure::Stopped)));
    door.open();
}

pub(crate) fn a_killed_worker_settles_what_it_has_and_is_replaced<B: Backend>() {
    let (service, door) = (start::<B>(1), Door::new());
    let running = fill::<B>(&service, &door);
    let queued = service.queue_request(Work::Echo(1));
    let killed = service.worker_named("worker-0").unwrap();
    let heir = killed.kill().unwrap().unwrap();
    assert!(
        running
            .iter()
            .all(|one| one.wait() == Err(Failure::WorkerLost(Loss::Killed)))
    );
    assert_eq!(
        queued.wait(),
        Ok(&Ok(1)),
        "what had not begun is the heir's"
    );
    assert_eq!(queued.worker(), Some(heir));
    let workers = service.workers();
    assert_eq!(
        (workers.len(), &*workers[0].name, workers[0].id),
        (1, "worker-0", heir)
    );
    door.open();
}

pub(crate) fn workers_come_and_go_and_nothing_is_lost<B: Backend>() {
    let service = start::<B>(1);
    let mut promises = Vec::new();
    for round in 0..20 {
        service.resize(1 + round as usize % 4).unwrap();
        promises.extend((0..50).map(|n| service.queue_request(Work::Echo(50 * round + n))));
    }
    service.resize(1).unwrap();
    for promise in &promises {
        let Work::Echo(number) = promise.request() else {
            unreachable!()
        };
        assert_eq!(promise.wait(), Ok(&Ok(*number)));
    }
}

pub(crate) fn an_assigned_request_runs_on_its_worker<B: Backend>() {
    let service = start::<B>(3);
    for name in ["worker-0", "worker-1", "worker-2"] {
        let worker = service.worker_named(name).unwrap();
        for number in 0..10 {
            let promise = worker.assign_unshared(Work::Echo(number));
            assert_eq!(promise.wait(), Ok(&Ok(number)));
            assert_eq!(promise.worker(), Some(worker.id()));
        }
    }
}

pub(crate) fn a_broadcast_reaches_every_processor_between_its_requests<B: Backend>() {
    let service = start::<B>(2);
    for name in ["worker-0", "worker-1"] {
        let worker = service.worker_named(name).unwrap();
        for number in 0..3 {
            let promise = worker.assign_unshared(Work::Echo(number));
            assert!(promise.wait().is_ok());
        }
    }
    let broadcast = service.broadcast(B::done);
    let answers = broadcast.wait();
    let done: Vec<_> = answers.iter().map(|(_, done)| done.clone()).collect();
    assert_eq!(done, [Ok(&3), Ok(&3)]);
}

pub(crate) fn the_status_shows_what_each_worker_holds<B: Backend>() {
    let (service, door) = (start::<B>(2), Door::new());
    let filling = fill::<B>(&service, &door);
    let queued = service.queue_request(Work::Echo(1));
    let status = service.status();
    assert_eq!((status.queued, status.running), (1, filling.len()));
    for worker in &status.workers {
        assert_eq!(worker.requests.len(), B::AT_A_TIME);
    }
    door.open();
    assert!(queued.wait().is_ok());
    service.wait_idle();
    assert_eq!(service.status().running, 0);
}
