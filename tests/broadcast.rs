//! Closures on every worker's processor.

mod support;

use std::sync::mpsc;
use std::time::Duration;

use futures::executor::block_on;
use parallel_workers::{
    Abort, Context, Failure, Jobs, Loss, Processor, ProcessorService, PromiseSet, WorkerId,
};
use support::Gate;

/// Multiplies by a factor that a broadcast can change; 0 stands at the gate.
struct Scale {
    factor: u32,
    gate: Gate,
}

impl Processor for Scale {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        if *n == 0 {
            self.gate.pass();
        }
        assert!(*n != 13, "as asked");
        n * self.factor
    }
}

fn start(workers: usize) -> (ProcessorService<Scale>, Gate) {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(workers, move || Scale {
        factor: 1,
        gate: inner.clone(),
    });
    (service.unwrap(), gate)
}

fn ids(service: &ProcessorService<Scale>) -> Vec<WorkerId> {
    service.workers().iter().map(|worker| worker.id).collect()
}

#[test]
fn every_worker_answers_once_and_works_on_with_what_it_was_told() {
    let (service, _) = start(4);
    let answers = service.broadcast(|scale| {
        scale.factor *= 10;
        scale.factor
    });
    let expected: Vec<_> = ids(&service).into_iter().map(|id| (id, Ok(&10))).collect();
    assert_eq!(answers.wait(), expected);
    for id in ids(&service) {
        let worker = service.worker(id).unwrap();
        assert_eq!(worker.assign_unshared(7).wait(), Ok(&70));
        // An answer is no request.
        assert_eq!(worker.status().processed, 1);
    }
    assert_eq!(service.status().settled.total(), 4);
}

#[test]
fn a_busy_worker_answers_after_its_request_and_holds_nobody_up() {
    let (service, gate) = start(2);
    let busy = service.queue_request(0);
    gate.wait_for(1);
    let answers = service.broadcast(|scale| scale.factor += 1);
    let mut answers = answers
        .into_iter()
        .map(|promise| (*promise.request(), promise));
    let (late, free) = {
        let (first, second) = (answers.next().unwrap(), answers.next().unwrap());
        if Some(first.0) == busy.worker() {
            (first, second)
        } else {
            (second, first)
        }
    };
    assert_eq!(free.1.wait(), Ok(&()));
    // The free worker works on, with what it was told; the busy one with what it had.
    assert_eq!(service.queue_request(5).wait(), Ok(&10));
    assert!(!late.1.is_settled());
    gate.open();
    assert_eq!((busy.wait(), late.1.wait()), (Ok(&0), Ok(&())));
    let worker = service.worker(late.0).unwrap();
    assert_eq!(worker.assign(5).wait(), Ok(&10));
}

#[test]
fn broadcasts_come_in_order_between_two_jobs_of_a_loaded_worker() {
    let (service, _) = start(1);
    let load = service.queue_requests((1..2_000).filter(|n| *n != 13));
    let answers: Vec<_> = (0..100)
        .map(|turn| {
            service.broadcast(move |scale| {
                assert_eq!(scale.factor, turn + 1);
                scale.factor += 1;
            })
        })
        .collect();
    for answer in &answers {
        assert!(answer.wait().iter().all(|(_, answer)| answer.is_ok()));
    }
    load.wait_for_all();
    assert_eq!(service.queue_request(1).wait(), Ok(&101));
}

#[test]
fn a_paused_an_idle_and_a_stopped_service_answer_too_each_in_its_way() {
    let (service, _) = start(2);
    service.pause();
    let queued = service.queue_request(3);
    assert_eq!(service.broadcast(|scale| scale.factor = 2).wait().len(), 2);
    assert!(!queued.is_settled());
    service.resume();
    assert_eq!(queued.wait(), Ok(&6));
    service.stop();
    let answers = service.broadcast(|scale| scale.factor);
    assert!(answers.is_empty() && answers.wait().is_empty());
}

#[test]
fn a_closure_that_panics_settles_its_promise_and_the_processor_is_made_again() {
    let (service, _) = start(2);
    service.broadcast(|scale| scale.factor = 5).wait();
    let answers = service.broadcast(|scale| {
        let is_first = std::thread::current().name() == Some("worker-0");
        assert!(!is_first, "not with me");
        scale.factor
    });
    let answers = answers.wait();
    let Err(Failure::Panicked(panic)) = &answers[0].1 else {
        panic!("{answers:?}")
    };
    assert!(panic.message().starts_with("not with me"), "{panic}");
    assert_eq!(answers[1].1, Ok(&5));
    let worker = service.worker(answers[0].0).unwrap();
    // The factory is what it begins with again.
    assert_eq!(worker.assign(3).wait(), Ok(&3));
    assert_eq!((worker.status().respawns, worker.status().panicked), (1, 0));
}

#[test]
fn workers_that_come_later_begin_with_what_the_factory_makes() {
    let (service, _) = start(1);
    service.broadcast(|scale| scale.factor = 5).wait();
    let added = service.add_worker("added").unwrap();
    assert_eq!(service.worker(added).unwrap().assign(3).wait(), Ok(&3));
    let old = service.worker_named("worker-0").unwrap();
    assert!(matches!(old.assign(13).wait(), Err(Failure::Panicked(_))));
    assert_eq!(old.assign(4).wait(), Ok(&4));
}

#[test]
fn who_ends_before_answering_settles_the_promise_all_the_same() {
    let (service, gate) = start(2);
    let busy = service.queue_request(0);
    gate.wait_for(1);
    let lost = service.worker(busy.worker().unwrap()).unwrap();
    let answers = service.broadcast(|scale| scale.factor);
    lost.kill().unwrap();
    let answers = answers.wait();
    let failed = answers.iter().find(|(id, _)| *id == lost.id()).unwrap();
    assert_eq!(failed.1, Err(Failure::WorkerLost(Loss::Killed)));
    assert_eq!(
        answers.iter().filter(|(_, answer)| answer.is_ok()).count(),
        1
    );
    gate.open();

    // One that is told to leave is not asked.
    let (service, gate) = start(1);
    service.queue_request(0);
    gate.wait_for(1);
    let early = service.broadcast(|scale| scale.factor);
    service.worker(ids(&service)[0]).unwrap().remove();
    assert!(service.broadcast(|scale| scale.factor).is_empty());
    gate.open();
    assert!(matches!(
        early.wait()[0].1,
        Ok(_) | Err(Failure::WorkerLost(_))
    ));
}

#[test]
fn a_drain_answers_what_was_asked_before() {
    let (service, gate) = start(1);
    service.queue_request(0);
    gate.wait_for(1);
    let answers = service.broadcast(|scale| scale.factor);
    gate.open();
    service.stop();
    assert_eq!(answers.wait()[0].1, Ok(&1));
}

#[test]
fn an_answer_can_be_aborted_awaited_and_selected_like_any_promise() {
    let (service, gate) = start(2);
    let busy = service.queue_request(0);
    gate.wait_for(1);
    let answers = service.broadcast(|scale| scale.factor += 1);
    let asked = answers
        .iter()
        .find(|one| Some(*one.request()) == busy.worker());
    assert_eq!(asked.unwrap().abort(), Abort::Aborted);
    gate.open();
    let set: PromiseSet<_, _> = answers.into_iter().collect();
    let outcomes: Vec<_> = set
        .select()
        .map(|one| block_on(async { one.await }))
        .collect();
    assert!(outcomes.contains(&Ok(())) && outcomes.contains(&Err(Failure::Aborted)));
    // Who was not asked has not changed.
    let worker = service.worker(busy.worker().unwrap()).unwrap();
    assert_eq!(worker.assign(6).wait(), Ok(&6));
}

/// Broadcasts from inside, and waits for the answers.
struct Asker(mpsc::Sender<Vec<Result<u32, Failure>>>);

impl Processor for Asker {
    type Request = std::sync::Arc<Asking>;
    type Output = ();

    fn process(&mut self, asking: &Self::Request, _: &Context<'_>) {
        let service = asking.0.lock().unwrap().take().unwrap();
        let answers = service.broadcast(|_| 7);
        let seen = answers
            .wait()
            .into_iter()
            .map(|(_, answer)| answer.copied());
        self.0.send(seen.collect()).unwrap();
        for answer in answers {
            assert!(answer.wait_timeout(Duration::ZERO).is_some());
            answer.on_settled(|answer| assert_eq!(answer.wait(), Ok(&7)));
        }
    }
}

struct Asking(std::sync::Mutex<Option<std::sync::Arc<ProcessorService<Asker>>>>);

impl std::hash::Hash for Asking {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl PartialEq for Asking {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Asking {}

#[test]
fn on_a_worker_its_own_answer_would_deadlock_and_that_of_others_comes() {
    support::limit_time();
    let (sender, seen) = mpsc::channel();
    let service = ProcessorService::start(2, move || Asker(sender.clone())).unwrap();
    let service = std::sync::Arc::new(service);
    let own = std::sync::Mutex::new(Some(std::sync::Arc::clone(&service)));
    let promise = service.queue_request(std::sync::Arc::new(Asking(own)));
    assert_eq!(promise.wait(), Ok(&()));
    let mut seen = seen.recv().unwrap();
    seen.sort_by_key(Result::is_err);
    assert_eq!(seen, [Ok(7), Err(Failure::WouldDeadlock)]);
}

/// Holds jobs, and gives them back when it is told to return.
struct Pipelined;

impl Processor for Pipelined {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u32, u32>) {
        let mut held = Vec::new();
        while let Some(job) = jobs.next() {
            held.push(job);
            if held.len() == 8 {
                for job in held.drain(..) {
                    job.process(|n, _| *n);
                }
            }
        }
        assert!(jobs.must_return());
        for job in held {
            job.process(|n, _| *n);
        }
    }
}

#[test]
fn a_processor_that_holds_jobs_finishes_them_before_it_answers() {
    let service = ProcessorService::start(1, || Pipelined).unwrap();
    let promises: Vec<_> = (0..5).map(|n| service.queue_request(n)).collect();
    while service.status().queued > 0 {
        std::thread::yield_now();
    }
    assert!(promises.iter().all(|promise| !promise.is_settled()));
    assert_eq!(service.broadcast(|_| ()).wait().len(), 1);
    assert!(promises.iter().all(parallel_workers::Promise::is_settled));
}
