//! Requests as tasks of a runtime, which a worker only hands out.

#![cfg(feature = "async")]

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use parallel_workers::{
    Abort, Async, AsyncProcessor, Context, Failure, Handle, Loss, ProcessorService, Task,
};
use support::Gate;

/// A processor whose futures may go to other threads.
struct Passing(Gate);

impl AsyncProcessor for Passing {
    type Request = u32;
    type Output = u32;

    async fn process(&self, number: &u32, _: &Context<'_>) -> u32 {
        self.0.passing().await;
        *number
    }
}

#[test]
fn a_task_that_is_never_run_settles() {
    let service = ProcessorService::start(1, || Async::new(Passing(Gate::new())).spawned_by(drop));
    let service = service.unwrap();
    assert_eq!(
        service.queue_request(1).wait(),
        Err(Failure::WorkerLost(Loss::Dropped))
    );
}

/// The tasks that a spawn function has spawned.
type Spawned = Arc<Mutex<Vec<smol::Task<()>>>>;

fn spawned(gate: &Gate, cancels: bool) -> (ProcessorService<Async<Passing>>, Spawned) {
    let spawned = Spawned::default();
    let (gate, inner) = (gate.clone(), Arc::clone(&spawned));
    let service = ProcessorService::start(1, move || {
        let spawned = Arc::clone(&inner);
        let worker = Async::new(Passing(gate.clone())).cancel_on_abort(cancels);
        worker.spawned_by(move |task| spawned.lock().unwrap().push(smol::spawn(task.run())))
    });
    (service.unwrap(), spawned)
}

#[test]
fn a_task_that_is_dropped_in_the_middle_settles() {
    let gate = Gate::new();
    let (service, spawned) = spawned(&gate, false);
    let promise = service.queue_request(1);
    gate.wait_for(1);
    assert!(!promise.is_settled());
    spawned.lock().unwrap().clear();
    assert_eq!(promise.wait(), Err(Failure::WorkerLost(Loss::Dropped)));
}

#[test]
fn tasks_end_when_their_worker_is_killed_or_nobody_wants_them() {
    let gate = Gate::new();
    let (service, tasks) = spawned(&gate, false);
    let promise = service.queue_request(1);
    gate.wait_for(1);
    assert_eq!(promise.abort(), Abort::Running);
    service.worker_named("worker-0").unwrap().kill().unwrap();
    assert_eq!(promise.wait(), Err(Failure::WorkerLost(Loss::Killed)));
    let task = tasks.lock().unwrap().pop().unwrap();
    smol::block_on(task);

    let (service, tasks) = spawned(&gate, true);
    let promise = service.queue_request(1);
    gate.wait_for(2);
    assert_eq!(promise.abort(), Abort::Running);
    assert_eq!(promise.wait(), Err(Failure::Aborted));
    let task = tasks.lock().unwrap().pop().unwrap();
    smol::block_on(task);
}

#[test]
fn waiting_inside_a_task_is_refused() {
    support::limit_time();
    struct Waits(Arc<OnceLock<Handle<Async<Waits>>>>);

    impl AsyncProcessor for Waits {
        type Request = u32;
        type Output = Option<Failure>;

        async fn process(&self, number: &u32, _: &Context<'_>) -> Option<Failure> {
            let other = (*number > 0).then(|| self.0.wait().queue_request(number - 1))?;
            let failure = other.wait().err();
            assert_eq!(other.await, Ok(None), "awaiting is not");
            failure
        }
    }

    let own: Arc<OnceLock<Handle<Async<Waits>>>> = Arc::default();
    let inner = Arc::clone(&own);
    let service = ProcessorService::start(1, move || {
        let executor = |task: Task<Waits>| smol::spawn(task.run()).detach();
        Async::new(Waits(Arc::clone(&inner))).spawned_by(executor)
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    assert_eq!(
        service.queue_request(1).wait(),
        Ok(&Some(Failure::WouldDeadlock))
    );
}
