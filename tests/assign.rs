//! Requests for given workers: where they run, what they share, and what becomes of them when workers go.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parallel_workers::{
    Abort, Context, Failure, Jobs, Loss, Processor, ProcessorService, PromiseSet, QueueError,
    State, Worker, WorkerId, processor_fn,
};
use support::{Gate, Gated, Gates, Number, Numbers, echo, gated, runs};

/// The workers, in the order of their names.
fn all(service: &ProcessorService<Numbers>) -> Vec<Worker<Numbers>> {
    let ids = service.workers().into_iter().map(|worker| worker.id);
    ids.map(|id| service.worker(id).unwrap()).collect()
}

/// A service that gives each number itself, once the number's own gate is open.
fn keyed(workers: usize) -> (ProcessorService<Numbers>, Gates<u32>) {
    let gates = Gates::new();
    let inner = gates.clone();
    let service = ProcessorService::start(workers, move || {
        let gates = inner.clone();
        let function: Number = Box::new(move |n, _| {
            gates.pass(n);
            *n
        });
        processor_fn(function)
    });
    (service.unwrap(), gates)
}

/// Occupies each worker with a request of its own, from 1000 up, at the gate.
fn occupy(service: &ProcessorService<Numbers>, gated: &Gated) -> PromiseSet<u32, u32> {
    let workers = all(service);
    let before = runs(&gated.runs);
    let set = service.distribute(&workers, (1000..).take(workers.len()));
    gated.gate.wait_for(before + workers.len());
    set
}

#[test]
fn an_assigned_request_runs_where_it_was_assigned_and_nowhere_else() {
    let (service, _) = echo(4);
    for worker in all(&service) {
        for n in 0..50 {
            let promise = worker.assign_unshared(n);
            assert_eq!(promise.wait(), Ok(&n));
            assert_eq!(promise.worker(), Some(worker.id()));
        }
        assert_eq!(worker.status().processed, 50);
    }
}

#[test]
fn it_waits_for_its_worker_while_others_idle_and_others_are_not_held_up() {
    let (service, gates) = keyed(2);
    let worker = service.worker_named("worker-0").unwrap();
    let first = worker.assign(1);
    gates.wait_for(&1);
    let second = worker.assign(2);
    assert_eq!(worker.status().assigned, 1);
    assert_eq!(second.worker(), None);
    // The other worker takes what is for everybody, and leaves that one alone.
    for n in 10..20 {
        gates.open(n);
        let promise = service.queue_request(n);
        assert_eq!(promise.wait(), Ok(&n));
        assert_ne!(promise.worker(), Some(worker.id()));
    }
    assert!(!second.is_settled());
    gates.open(1);
    gates.open(2);
    assert_eq!((first.wait(), second.wait()), (Ok(&1), Ok(&2)));
    assert_eq!(second.worker(), Some(worker.id()));
}

#[test]
fn assigned_and_shared_requests_take_turns_so_that_neither_starve() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, gate) = (Arc::clone(&order), Gate::new());
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let (seen, gate) = (Arc::clone(&seen), inner.clone());
        processor_fn(move |n: &u32, _: &Context<'_>| {
            gate.pass();
            seen.lock().unwrap().push(*n);
        })
    });
    let service = service.unwrap();
    let worker = service.worker_named("worker-0").unwrap();
    service.queue_request(0);
    gate.wait_for(1);
    service.queue_requests(1..=4);
    (101..=103).for_each(|n| drop(worker.assign(n)));
    gate.open();
    service.wait_idle();
    assert_eq!(*order.lock().unwrap(), [0, 101, 1, 102, 2, 103, 3, 4]);
}

#[test]
fn a_turn_is_taken_also_while_nothing_is_assigned() {
    let (service, gated) = gated(1);
    let worker = service.worker_named("worker-0").unwrap();
    service.queue_request(0);
    gated.gate.wait_for(1);
    let own = worker.assign(101);
    let shared = service.queue_requests([1, 2]);
    // Its own one, then one of all.
    gated.gate.let_one_pass();
    gated.gate.wait_for(2);
    gated.gate.let_one_pass();
    gated.gate.wait_for(3);
    assert!(own.is_settled());
    let own = worker.assign(102);
    gated.gate.let_one_pass();
    gated.gate.wait_for(4);
    assert_eq!(own.state(), State::Running, "it is its own one's turn");
    gated.gate.open();
    assert_eq!(shared.wait_for_all().len(), 2);
}

#[test]
fn equal_requests_share_one_run_wherever_it_is_and_unshared_ones_do_not() {
    let (service, gated) = gated(2);
    let workers = all(&service);
    let elsewhere = workers[0].assign(7);
    gated.gate.wait_for(1);
    let joined = workers[1].assign(7);
    let apart = workers[1].assign_unshared(7);
    let queued = service.queue_request(7);
    assert!(joined == elsewhere && queued == elsewhere && apart != elsewhere);
    gated.gate.wait_for(2);
    gated.gate.open();
    assert_eq!((joined.wait(), apart.wait()), (Ok(&7), Ok(&7)));
    assert_eq!(joined.worker(), Some(workers[0].id()));
    assert_eq!(apart.worker(), Some(workers[1].id()));
    assert_eq!(runs(&gated.runs), 2);
}

#[test]
fn a_batch_goes_to_given_workers_in_turn_or_to_the_idle_ones_or_to_anybody() {
    let (service, _) = echo(3);
    let workers = all(&service);
    let set = service.distribute(&workers[1..], 0..10);
    let places: Vec<_> = set
        .wait_for_all()
        .iter()
        .map(|promise| (*promise.request() % 2, promise.worker().unwrap()))
        .collect();
    for (turn, place) in places {
        assert_eq!(place, workers[1 + turn as usize].id());
    }
    assert_eq!(service.distribute(&[], 0..10).wait_for_all().len(), 10);

    let (service, gates) = keyed(3);
    let busy = service.worker_named("worker-1").unwrap();
    busy.assign(0);
    gates.wait_for(&0);
    let idle: HashSet<_> = service.idle_workers().iter().map(Worker::id).collect();
    assert!(idle.len() == 2 && !idle.contains(&busy.id()));
    (1..=6).for_each(|n| gates.open(n));
    let done = service.distribute_idle(1..=6).wait_for_all();
    let used: HashSet<_> = done.iter().filter_map(|promise| promise.worker()).collect();
    assert_eq!(used, idle);
    gates.open(0);
}

#[test]
fn what_was_assigned_to_a_removed_worker_goes_to_whoever_is_free() {
    let (service, gated) = gated(2);
    let workers = all(&service);
    let running = occupy(&service, &gated);
    let assigned: PromiseSet<_, _> = (0..20).map(|n| workers[0].assign(n)).collect();
    let behind = service.queue_request(500);
    assert_eq!(workers[0].status().assigned, 20);
    workers[0].remove();
    assert_eq!(workers[0].status().assigned, 0);
    assert_eq!(service.status().queued, 21, "nothing is lost");
    // Also what is assigned to it from now on.
    let late = workers[0].assign(21);
    gated.gate.open();
    for promise in assigned.wait_for_all() {
        assert_eq!(promise.worker(), Some(workers[1].id()));
    }
    assert!(late.wait().is_ok() && behind.wait().is_ok());
    assert_eq!(running.wait_for_all().len(), 2);
    // And of one that has long left.
    assert!(workers[0].assign(22).wait().is_ok());
}

#[test]
fn what_was_assigned_to_the_last_worker_waits_for_the_next_one() {
    let (service, gated) = gated(1);
    let worker = &all(&service)[0];
    let running = occupy(&service, &gated);
    let assigned = worker.assign(1);
    worker.remove();
    gated.gate.open();
    running.wait_for_all();
    while !service.workers().is_empty() {
        thread::yield_now();
    }
    assert!(!assigned.is_settled());
    service.add_workers(1).unwrap();
    assert_eq!(assigned.wait(), Ok(&1));
}

#[test]
fn what_was_assigned_to_a_killed_worker_goes_to_the_one_that_takes_its_place() {
    let (service, gated) = gated(2);
    let worker = all(&service).remove(0);
    let running = occupy(&service, &gated);
    // Paused, so that none of those who take its place begins anything too early.
    service.pause();
    let assigned: Vec<_> = (0..20).map(|n| worker.assign(n)).collect();
    let heir = worker.kill().unwrap().unwrap();
    let late = worker.assign(20);
    let next = service.worker(heir).unwrap().kill().unwrap().unwrap();
    let later = worker.assign(21);
    assert_eq!(service.worker(next).unwrap().status().assigned, 22);
    gated.gate.open();
    service.resume();
    for promise in assigned.iter().chain([&late, &later]) {
        assert!(promise.wait().is_ok());
        assert_eq!(promise.worker(), Some(next));
    }
    assert_eq!(running.wait_for_all().len(), 2);
}

#[test]
fn aborted_requests_leave_their_workers_lane_and_give_their_place_back() {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(1).capacity(2));
    let worker = &all(&service)[0];
    let running = worker.assign(0);
    gated.gate.wait_for(1);
    let (first, second) = (worker.assign(1), worker.assign(2));
    let full = worker.try_assign(3);
    assert!(matches!(full, Err(QueueError::Full(3))));
    assert_eq!(first.abort(), Abort::Aborted);
    assert_eq!((first.worker(), worker.status().assigned), (None, 1));
    let third = worker.try_assign(3).unwrap();
    gated.gate.open();
    assert_eq!((second.wait(), third.wait()), (Ok(&2), Ok(&3)));
    assert_eq!(runs(&gated.runs), 3);
    running.wait().unwrap();
}

#[test]
fn a_pause_holds_assigned_requests_and_a_stop_finishes_them() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(ProcessorService::builder().workers(3).paused(true));
    let workers = all(&service);
    let set = service.distribute(&workers, 0..30);
    assert_eq!((service.status().queued, runs(&gated.runs)), (30, 0));
    service.resume();
    assert_eq!(set.wait_for_all().len(), 30);
    service.pause();
    let set = service.distribute(&workers, 100..130);
    service.stop();
    let done = set.wait_for_all();
    assert!(done.iter().all(|promise| promise.wait().is_ok()));
    let refused = workers[0].assign(1);
    assert_eq!(refused.wait(), Err(Failure::Stopped));
    assert!(matches!(
        workers[0].try_assign(1),
        Err(QueueError::Stopped(1))
    ));
}

#[test]
fn what_only_a_worker_without_a_processor_could_do_is_given_up() {
    let fails = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&fails);
    let service = ProcessorService::start(2, move || {
        let is_first = thread::current().name() == Some("worker-0");
        assert!(
            !(is_first && inner.load(Ordering::SeqCst) == 1),
            "no processor"
        );
        processor_fn(|n: &u32, _: &Context<'_>| assert!(*n < 1000, "as asked"))
    });
    let service = service.unwrap();
    let broken = service.worker_named("worker-0").unwrap();
    fails.store(1, Ordering::SeqCst);
    let panicked = broken.assign(1000);
    assert!(matches!(panicked.wait(), Err(Failure::Panicked(_))));
    assert_eq!(
        broken.assign(1).wait(),
        Err(Failure::WorkerLost(Loss::NoProcessor))
    );
    assert_eq!(
        broken.assign(2).wait(),
        Err(Failure::WorkerLost(Loss::NoProcessor))
    );
    // The other one works on, for everybody.
    assert_eq!(service.queue_request(3).wait(), Ok(&()));
    fails.store(0, Ordering::SeqCst);
    while broken.assign(4).wait().is_err() {}
}

#[test]
fn waiting_for_a_worker_waits_for_what_it_has_and_for_what_is_its_own() {
    let (service, gates) = keyed(2);
    let workers: Vec<_> = ["worker-0", "worker-1"]
        .map(|name| service.worker_named(name).unwrap())
        .into();
    workers[0].assign(1);
    workers[1].assign(2);
    workers[0].assign(3);
    gates.wait_for(&1);
    gates.wait_for(&2);
    assert!(!workers[0].wait_idle_timeout(Duration::ZERO));
    gates.open(2);
    workers[1].wait_idle();
    assert!(!workers[0].wait_idle_timeout(Duration::from_millis(1)));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| service.wait_for_workers(&workers));
        gates.open(1);
        gates.wait_for(&3);
        assert!(!waiting.is_finished());
        gates.open(3);
    });
    // A worker that has gone has nothing.
    workers[0].kill().unwrap();
    workers[0].wait_idle();
}

#[test]
fn a_worker_that_is_never_left_without_work_is_found_idle_between_two_requests() {
    let (service, _) = echo(1);
    let handle = service.handle();
    let requeue = |n: u32| handle.queue_request(n);
    let worker = &all(&service)[0];
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while done.load(Ordering::SeqCst) == 0 {
                requeue(n);
                n += 1;
            }
        });
        worker.wait_idle();
        done.store(1, Ordering::SeqCst);
    });
}

#[test]
fn a_worker_may_wait_for_itself_to_be_idle_and_what_it_has_does_not_count() {
    let (service, gated) = echo(1);
    let worker = all(&service).remove(0);
    let (sender, receiver) = std::sync::mpsc::channel();
    service.queue_request(1).on_settled(move |_| {
        worker.wait_idle();
        sender.send(()).unwrap();
    });
    receiver.recv().unwrap();
    assert_eq!(runs(&gated.runs), 1);
}

#[test]
fn the_last_promise_is_that_of_the_last_assigned_request_while_anybody_holds_one() {
    let (service, gated) = gated(1);
    let worker = all(&service).remove(0);
    assert!(worker.last_promise().is_none());
    let first = worker.assign(1);
    assert!(worker.last_promise() == Some(first.clone()));
    drop(worker.assign(2));
    let last = worker.last_promise().expect("it is queued");
    assert_eq!(*last.request(), 2);
    // It is a clone of what the caller had: aborting it is that caller's vote.
    assert_eq!(last.abort(), Abort::Aborted);
    gated.gate.open();
    let third = worker.assign(3);
    assert_eq!(third.wait(), Ok(&3));
    worker.wait_idle();
    assert_eq!(worker.last_promise().unwrap().wait(), Ok(&3));
    drop(third);
    assert!(
        worker.last_promise().is_none(),
        "nothing is kept that nobody holds"
    );
}

/// Takes as many jobs as it can, and holds them until the gate is open.
struct Holder(Gate);

impl Processor for Holder {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        let mut held = jobs.take(3, Duration::from_secs(60));
        if held.len() == 3 {
            self.0.pass();
        }
        for job in held.drain(..) {
            job.process(|n, _| *n);
        }
    }
}

#[test]
fn the_status_shows_each_request_that_a_worker_holds() {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || Holder(inner.clone())).unwrap();
    let promises: Vec<_> = (0..4).map(|n| service.queue_request(n)).collect();
    gate.wait_for(1);
    let status = service.status();
    let held: Vec<_> = status.workers[0]
        .requests
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(held, [0, 1, 2].map(|n: usize| promises[n].id()));
    assert_eq!((status.running, status.queued), (3, 1));
    let worker = service.worker(status.workers[0].id).unwrap();
    let mut running: Vec<_> = worker.running();
    running.sort_by_key(|promise| *promise.request());
    assert!(running == promises[..3]);
    assert_eq!(running[0].abort(), Abort::Running);
    gate.open();
    // The last one lingers for others, until a drain tells its worker that there will be none.
    while service.status().queued > 0 {
        thread::yield_now();
    }
    service.stop();
    assert!(promises.iter().all(|promise| promise.wait().is_ok()));
}

#[test]
fn nothing_assigned_is_lost_or_run_twice_while_workers_come_go_and_die() {
    let gated = Gated::new();
    gated.gate.open();
    let service = gated.start(ProcessorService::builder().workers(4));
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut promises = Vec::new();
            for n in 0..20_000 {
                let workers = if n % 50 == 0 {
                    all_now(&service)
                } else {
                    Vec::new()
                };
                match workers.get(n as usize % workers.len().max(1)) {
                    Some(worker) => promises.push(worker.assign(n)),
                    None => promises.push(service.queue_request(n)),
                }
            }
            promises
        });
        for round in 0..40 {
            let workers = all_now(&service);
            let Some(worker) = workers.first() else {
                continue;
            };
            match round % 4 {
                0 => drop(worker.kill()),
                1 => drop(worker.remove()),
                2 => drop(service.add_workers(1)),
                _ => drop(service.resize(3)),
            }
        }
        let promises = load.join().unwrap();
        let lost = promises
            .iter()
            .filter(|promise| promise.wait() == Err(Failure::WorkerLost(Loss::Killed)))
            .count();
        let outputs = promises
            .iter()
            .filter(|promise| promise.wait().is_ok())
            .count();
        assert_eq!(outputs + lost, promises.len());
        assert!(lost <= 10, "no more than one for each kill: {lost}");
        assert!(runs(&gated.runs) <= promises.len());
    });
    service.stop();
    assert_eq!(service.status().queued, 0);
}

fn all_now(service: &ProcessorService<Numbers>) -> Vec<Worker<Numbers>> {
    let ids: Vec<WorkerId> = service.workers().iter().map(|worker| worker.id).collect();
    ids.into_iter()
        .filter_map(|id| service.worker(id))
        .collect()
}
