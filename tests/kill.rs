//! Workers that are given up, and replaced.

mod support;

use std::sync::{Arc, OnceLock, Weak, mpsc};
use std::thread;

use parallel_workers::{
    Context, Failure, Job, Jobs, Loss, Processor, ProcessorService, Share, Worker, WorkerState,
    processor_fn,
};
use support::{Gate, Gated, Numbers, echo, gated, runs};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn first(service: &ProcessorService<Numbers>) -> Worker<Numbers> {
    service.worker(service.workers()[0].id).unwrap()
}

#[test]
fn killing_a_worker_settles_its_endless_request_at_once_and_another_takes_its_place() {
    let (service, gated) = gated(1);
    let endless = service.queue_request(1);
    let waiting = service.queue_request(2);
    gated.gate.wait_for(1);
    let (sender, called_back) = mpsc::channel();
    endless.on_settled(move |promise| sender.send(promise.wait().copied()).unwrap());
    let lost = first(&service);
    let replacement = lost.kill().unwrap().expect("somebody takes its place");
    assert_eq!(
        endless.try_result(),
        Some(Err(Failure::WorkerLost(Loss::Killed)))
    );
    assert_eq!(
        called_back.try_recv(),
        Ok(Err(Failure::WorkerLost(Loss::Killed)))
    );
    assert!(service.worker(lost.id()).is_none());
    let worker = service.worker(replacement).unwrap();
    assert_eq!((worker.name(), service.workers().len()), ("worker-0", 1));
    assert!(replacement > lost.id());
    // The replacement takes the next request, while the lost thread still stands in the first.
    gated.gate.wait_for(2);
    assert_eq!(
        (waiting.worker(), worker.status().respawns),
        (Some(replacement), 1)
    );
    gated.gate.open();
    assert_eq!(waiting.wait(), Ok(&2));
    // What the lost thread gives is for nobody, and counted nowhere.
    assert_eq!(endless.wait(), Err(Failure::WorkerLost(Loss::Killed)));
    service.stop();
    let settled = service.status().settled;
    assert_eq!(
        (settled.outputs, settled.worker_lost, settled.total()),
        (1, 1, 2)
    );
}

#[test]
fn a_lost_thread_is_told_that_it_is_cancelled_and_nobody_waits_for_it() {
    let gate = Gate::new();
    let inner = gate.clone();
    let (sender, seen) = mpsc::channel();
    let service = ProcessorService::start(1, move || {
        let (gate, sender) = (inner.clone(), sender.clone());
        processor_fn(move |_: &u32, context: &Context<'_>| {
            gate.pass();
            sender.send(context.is_cancelled()).unwrap();
        })
    })
    .unwrap();
    service.queue_request(1);
    gate.wait_for(1);
    service.worker_named("worker-0").unwrap().kill().unwrap();
    // Would wait for ever if it waited for the lost one.
    service.wait_idle();
    service.stop();
    assert_eq!(service.workers().len(), 0);
    gate.open();
    assert_eq!(seen.recv(), Ok(true));
}

#[test]
fn the_same_request_can_be_queued_again_at_once() {
    for share in [Share::InFlight, Share::WhileHeld] {
        let gated = Gated::new();
        let service = gated.start(ProcessorService::builder().workers(1).share(share));
        let lost = service.queue_request(1);
        gated.gate.wait_for(1);
        first(&service).kill().unwrap();
        let again = service.queue_request(1);
        assert!(again != lost);
        gated.gate.open();
        assert_eq!(again.wait(), Ok(&1));
    }
}

#[test]
fn an_idle_a_paused_and_a_leaving_worker_can_be_killed() {
    let (service, gated) = echo(2);
    first(&service).kill().unwrap().unwrap();
    assert_eq!(service.queue_request(1).wait(), Ok(&1));
    service.pause();
    first(&service).kill().unwrap().unwrap();
    let promise = service.queue_request(2);
    service.resume();
    assert_eq!(promise.wait(), Ok(&2));
    assert_eq!((service.workers().len(), runs(&gated.runs)), (2, 2));

    let (service, gated) = support::gated(1);
    let endless = service.queue_request(1);
    gated.gate.wait_for(1);
    let worker = first(&service);
    worker.remove();
    assert_eq!(
        worker.kill().unwrap(),
        None,
        "it was leaving, so nobody takes its place"
    );
    assert_eq!(endless.wait(), Err(Failure::WorkerLost(Loss::Killed)));
    assert_eq!(worker.kill().unwrap(), None);
    assert_eq!(service.workers().len(), 0);
    gated.gate.open();
}

/// Kills the worker that it is.
struct Suicidal(Arc<OnceLock<Weak<ProcessorService<Suicidal>>>>);

impl Processor for Suicidal {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, context: &Context<'_>) -> u32 {
        if *n == 0 {
            let service = self.0.get().unwrap().upgrade().unwrap();
            service.worker(context.worker()).unwrap().kill().unwrap();
        }
        *n
    }
}

#[test]
fn a_worker_may_kill_itself() {
    let own = Arc::new(OnceLock::new());
    let inner = Arc::clone(&own);
    let service =
        Arc::new(ProcessorService::start(1, move || Suicidal(Arc::clone(&inner))).unwrap());
    assert!(own.set(Arc::downgrade(&service)).is_ok());
    for n in 0..20 {
        assert_eq!(
            service.queue_request(0).wait(),
            Err(Failure::WorkerLost(Loss::Killed))
        );
        assert_eq!(service.queue_request(n + 1).wait(), Ok(&(n + 1)));
    }
    service.stop();
    assert_eq!(service.status().settled.worker_lost, 20);
}

/// Takes all jobs there are, then stands at a gate with them.
struct Hoarding(Gate);

impl Processor for Hoarding {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        let batch = jobs.take(10, std::time::Duration::ZERO);
        self.0.pass();
        for job in batch {
            job.process(|n, _| *n);
        }
    }
}

#[test]
fn all_that_a_worker_holds_is_lost_with_it_and_nothing_else() {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::builder()
        .workers(1)
        .paused(true)
        .start(move || Hoarding(inner.clone()))
        .unwrap();
    let promises: Vec<_> = (0..15).map(|n| service.queue_request(n)).collect();
    service.resume();
    gate.wait_for(1);
    assert_eq!(service.status().running, 10);
    service.worker_named("worker-0").unwrap().kill().unwrap();
    let lost = promises
        .iter()
        .filter(|promise| promise.try_result() == Some(Err(Failure::WorkerLost(Loss::Killed))));
    assert_eq!(lost.count(), 10);
    gate.open();
    assert!(
        promises[10..]
            .iter()
            .all(|promise| promise.wait() == Ok(promise.request()))
    );
}

#[test]
fn kill_and_settle_have_exactly_one_winner() {
    let (service, _) = echo(2);
    let killed = thread::scope(|scope| {
        let killing = scope.spawn(|| {
            (0..2_000)
                .filter(|_| first(&service).kill().unwrap().is_some())
                .count()
        });
        let (mut outputs, mut lost) = (0_u64, 0_u64);
        while !killing.is_finished() {
            for promise in service.queue_requests(0..20).select() {
                match promise.wait() {
                    Ok(n) => {
                        assert_eq!(n, promise.request());
                        outputs += 1;
                    }
                    Err(Failure::WorkerLost(_)) => lost += 1,
                    Err(failure) => panic!("{failure}"),
                }
            }
        }
        service.stop();
        let settled = service.status().settled;
        assert_eq!((settled.outputs, settled.worker_lost), (outputs, lost));
        killing.join().unwrap()
    });
    assert_eq!(killed, 2_000);
}

#[test]
fn ten_thousand_kills_and_panics_leave_no_thread_and_no_promise_behind() {
    let before = threads();
    let service = ProcessorService::start(2, || {
        processor_fn(|n: &u32, _: &Context<'_>| {
            assert!(!n.is_multiple_of(2), "even");
            *n
        })
    })
    .unwrap();
    for n in 0..5_000 {
        let promises = [
            service.queue_request(2 * n),
            service.queue_request(2 * n + 1),
        ];
        let worker = service.workers()[0].id;
        if let Some(worker) = service.worker(worker) {
            worker.kill().unwrap();
        }
        promises.iter().for_each(|promise| drop(promise.wait()));
    }
    assert_eq!(service.workers().len(), 2);
    service.stop();
    let settled = service.status().settled;
    assert_eq!(settled.total(), 10_000);
    // Lost threads have nothing endless to do, so they end; other tests of this file have a few threads each.
    while threads() > before + 50 {
        thread::yield_now();
    }
}

#[test]
fn a_replacement_whose_factory_fails_tries_again() {
    let makes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let inner = Arc::clone(&makes);
    let service = ProcessorService::builder()
        .workers(1)
        .try_start(
            move || match inner.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                1 | 2 => Err("not yet"),
                _ => Ok(processor_fn(|n: &u32, _: &Context<'_>| *n)),
            },
        )
        .unwrap();
    let id = service
        .worker_named("worker-0")
        .unwrap()
        .kill()
        .unwrap()
        .unwrap();
    assert_eq!(service.queue_request(1).wait(), Ok(&1));
    let status = service.worker(id).unwrap().status();
    assert_eq!(
        (
            status.respawns,
            makes.load(std::sync::atomic::Ordering::SeqCst)
        ),
        (1, 4)
    );
    assert!(matches!(
        status.state,
        WorkerState::Idle | WorkerState::Busy
    ));
}

/// Takes two jobs, settles the second one, and lets the test keep the first.
struct Keeper(mpsc::Sender<Job<u64, u64>>);

impl Processor for Keeper {
    type Request = u64;
    type Output = u64;

    fn process(&mut self, n: &u64, _: &Context<'_>) -> u64 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u64, u64>) {
        let (Some(first), Some(second)) = (jobs.next(), jobs.next()) else {
            return;
        };
        let done = *second.request();
        second.settle(done);
        self.0.send(first).unwrap();
    }
}

#[test]
fn a_kill_settles_what_was_begun_before_something_that_has_ended() {
    let (sender, kept) = mpsc::channel();
    let service = ProcessorService::start(1, move || Keeper(sender.clone())).unwrap();
    let (first, second) = (service.queue_request(1), service.queue_request(2));
    let kept = kept.recv().unwrap();
    assert_eq!(second.wait(), Ok(&2));
    let worker = service.worker(service.workers()[0].id).unwrap();
    worker.kill().unwrap();
    assert_eq!(
        first.try_result(),
        Some(Err(Failure::WorkerLost(Loss::Killed)))
    );
    kept.settle(1);
}
