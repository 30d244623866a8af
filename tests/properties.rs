//! The service against a plain model, over random sequences of everything a caller can do.
//!
//! Every run stands still until the test lets it end, so requests really are queued, running and joined at the
//! same time, and the model knows exactly what must have happened after each step. `PROPTEST_CASES` sets the
//! number of sequences.

#[path = "properties/model.rs"]
mod model;
mod support;

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use model::{Came, Model, Phase, Seen, Step};
use parallel_workers::{
    Context, Failure, Loss, Processor, ProcessorService, Promise, PromiseSet, Share, State,
    WorkerId, WorkerState, WorkerStatus,
};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use support::limit_time;

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        (1..3_usize, any::<bool>())
            .prop_map(|(workers, is_held)| {
                let share = if is_held {
                    Share::WhileHeld
                } else {
                    Share::InFlight
                };
                Self::new(workers, share)
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let which = any::<usize>();
        prop_oneof![
            6 => (0..4_u32).prop_map(Step::Queue),
            1 => Just(Step::QueueUnshared),
            3 => (which, 0..6_u32).prop_map(|(which, request)| Step::Assign { which, request }),
            4 => which.prop_map(Step::Abort),
            1 => which.prop_map(Step::Clone),
            2 => which.prop_map(Step::Drop),
            2 => which.prop_map(Step::Insert),
            2 => Just(Step::Select),
            4 => (which, any::<bool>())
                .prop_map(|(which, panics)| Step::Settle { which, panics }),
            1 => which.prop_map(Step::Kill),
            1 => Just(Step::AddWorker),
            1 => Just(Step::RemoveIdleWorker),
            1 => Just(Step::Broadcast),
            1 => Just(Step::Pause),
            1 => Just(Step::Resume),
        ]
        .boxed()
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        model.take(step);
        model
    }

    /// Where it would not be said who does what, a step is left out.
    fn preconditions(model: &Self, step: &Step) -> bool {
        match step {
            Step::Assign { request, .. } => !model.is_paused && !model.would_park(*request),
            Step::Pause => !model.has_assigned(),
            Step::AddWorker => model.present() < 4,
            Step::RemoveIdleWorker => model.has_idle(),
            Step::Settle { which, .. } | Step::Kill(which) => model.is_said_what_follows(*which),
            _ => true,
        }
    }
}

/// How long the test waits for what must happen, so that a failure can be shrunk.
const PATIENCE: Duration = Duration::from_secs(5);

/// A run that has begun, with whom, and how to let it end: `true` with a panic.
type Begun = (u32, WorkerId, Sender<bool>);

/// Says that it has begun, and waits to be told how to end.
struct Standing(Sender<Begun>);

impl Processor for Standing {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, context: &Context<'_>) -> u32 {
        let (end, told) = mpsc::channel();
        // Nobody listens any more when the test drains the rest.
        let _ = self.0.send((*n, context.worker(), end));
        assert!(!told.recv().unwrap_or(false), "as it was told");
        *n
    }
}

/// Run and ticket of a callback.
type CalledBack = (usize, usize);

/// The service, and what it was asked.
struct Bench {
    service: ProcessorService<Standing>,
    begun: Receiver<Begun>,
    called_back: (Sender<CalledBack>, Receiver<CalledBack>),
    promises: Vec<(Seen, Promise<u32, u32>)>,
    set: PromiseSet<u32, u32>,
    owed: Vec<CalledBack>,
    /// Who has each run, and how to let it end.
    running: HashMap<usize, (WorkerId, Sender<bool>)>,
    /// Answers of broadcasts.
    asked: Vec<Promise<WorkerId, ()>>,
}

impl Bench {
    fn new(model: &Model) -> Self {
        limit_time();
        let (sender, begun) = mpsc::channel();
        let service = ProcessorService::builder()
            .workers(model.present())
            .share(model.share)
            .start(move || Standing(sender.clone()))
            .unwrap();
        Self {
            service,
            begun,
            called_back: mpsc::channel(),
            promises: Vec::new(),
            set: PromiseSet::new(),
            owed: Vec::new(),
            running: HashMap::new(),
            asked: Vec::new(),
        }
    }

    /// Does what the model has done.
    fn take(&mut self, step: &Step, model: &Model) {
        match (step, &model.came) {
            (Step::Queue(n), Came::Queued(seen)) => {
                let promise = self.service.queue_request(*n);
                self.keep(*seen, promise);
            }
            (Step::QueueUnshared, Came::Queued(seen)) => {
                let n = model.runs[seen.run].request;
                let promise = self.service.queue_unshared(n);
                self.keep(*seen, promise);
            }
            (Step::Assign { request, .. }, Came::Assigned(with, seen)) => {
                let worker = self.service.worker(self.running[with].0).unwrap();
                let promise = worker.assign(*request);
                self.keep(*seen, promise);
            }
            (Step::Abort(which), Came::Aborted(abort)) => {
                let n = self.promises.len();
                assert_eq!(self.promises[which % n].1.abort(), *abort);
            }
            (Step::Clone(which), Came::Queued(seen)) => {
                let n = self.promises.len();
                let clone = self.promises[which % n].1.clone();
                self.promises.push((*seen, clone));
            }
            (Step::Drop(which), Came::Dropped) => drop(self.remove(*which)),
            (Step::Insert(which), Came::Dropped) => {
                let promise = self.remove(*which);
                self.set.insert(promise);
            }
            (Step::Select, Came::Selected(expected)) => self.select(model, *expected),
            (Step::Settle { panics, .. }, Came::Ended(run)) => {
                let (_, end) = self.running.remove(run).expect("it has begun");
                end.send(*panics).unwrap();
            }
            (Step::Kill(_), Came::Ended(run)) => {
                let (worker, end) = self.running.remove(run).expect("it has begun");
                let killed = self.service.worker(worker).unwrap().kill().unwrap();
                assert!(killed.is_some(), "another one takes its place");
                // Its thread ends when nobody can tell it how.
                drop(end);
            }
            (Step::AddWorker, _) => _ = self.service.add_workers(1).unwrap(),
            (Step::RemoveIdleWorker, _) => self.remove_idle_worker(),
            (Step::Broadcast, _) => {
                let asked = self.service.broadcast(|_| ());
                assert_eq!(asked.len(), model.present());
                self.asked.extend(asked);
            }
            (Step::Pause, _) => self.service.pause(),
            (Step::Resume, _) => self.service.resume(),
            (_, Came::Nothing) => {}
            (step, came) => panic!("{step:?} came to {came:?}"),
        }
        self.await_beginnings(model);
        self.await_callbacks(model);
        self.await_workers(model);
    }

    fn keep(&mut self, seen: Seen, promise: Promise<u32, u32>) {
        let sender = self.called_back.0.clone();
        let id = (seen.run, seen.ticket.unwrap_or(usize::MAX));
        promise.on_settled(move |_| {
            // The test that listens may have failed.
            let _ = sender.send(id);
        });
        self.owed.push(id);
        self.promises.push((seen, promise));
    }

    fn remove(&mut self, which: usize) -> Promise<u32, u32> {
        let n = self.promises.len();
        self.promises.remove(which % n).1
    }

    fn select(&self, model: &Model, expected: Option<Seen>) {
        match (self.set.try_select(), expected) {
            (None, None) => {}
            (Some(promise), Some(seen)) => {
                assert_eq!(*promise.request(), model.runs[seen.run].request);
                check(model, seen, &promise);
            }
            (yielded, expected) => panic!("yielded {yielded:?} for {expected:?}"),
        }
    }

    fn remove_idle_worker(&mut self) {
        let mut idle = self.service.workers().into_iter();
        let idle = idle.find(|worker| worker.state != WorkerState::Busy);
        let worker = idle.expect("there is one").id;
        assert!(self.service.worker(worker).unwrap().remove());
        while self.service.worker(worker).is_some() {
            std::thread::yield_now();
        }
    }

    fn await_beginnings(&mut self, model: &Model) {
        let mut expected = model.begun.clone();
        while !expected.is_empty() {
            let begun = self.begun.recv_timeout(PATIENCE);
            let (request, worker, end) = begun.expect("a run begins");
            let index = expected
                .iter()
                .position(|run| model.runs[*run].request == request);
            let run = expected.remove(index.expect("nothing else begins"));
            self.running.insert(run, (worker, end));
        }
        assert!(self.begun.try_recv().is_err(), "nothing else begins");
    }

    fn await_callbacks(&mut self, model: &Model) {
        let outcome = |id: &CalledBack| {
            let ticket = Some(id.1).filter(|ticket| *ticket != usize::MAX);
            model.outcome(Seen { run: id.0, ticket })
        };
        let all = std::mem::take(&mut self.owed).into_iter();
        let (mut due, owed): (Vec<_>, Vec<_>) = all.partition(|id| outcome(id).is_some());
        self.owed = owed;
        while !due.is_empty() {
            let id = self.called_back.1.recv_timeout(PATIENCE);
            let id = id.expect("a callback is called");
            let index = due.iter().position(|due| *due == id);
            due.remove(index.expect("each is called back once, when it settles"));
        }
        assert!(self.called_back.1.try_recv().is_err(), "and nobody else");
    }

    /// A callback's own promise is held until it has returned, and its worker is busy as long.
    fn await_workers(&self, model: &Model) {
        let is_busy = |worker: &WorkerStatus| worker.state == WorkerState::Busy;
        let busy = || {
            self.service
                .status()
                .workers
                .iter()
                .filter(|worker| is_busy(worker))
                .count()
        };
        while busy() > model.all_running().len() {
            std::thread::yield_now();
        }
    }

    fn compare(&self, model: &Model) {
        assert_eq!(self.promises.len(), model.promises.len());
        for (seen, promise) in &self.promises {
            check(model, *seen, promise);
        }
        for pair in self.promises.windows(2) {
            assert_eq!(pair[0].1 == pair[1].1, pair[0].0.run == pair[1].0.run);
        }
        let in_set = model.members.len() + model.announced.len();
        assert_eq!(self.set.len(), in_set);
        let count = |phase| model.runs.iter().filter(|run| run.phase == phase).count();
        let status = self.service.status();
        assert_eq!(
            (status.queued, status.running),
            (count(Phase::Queued), count(Phase::Running))
        );
        assert_eq!(status.settled.outputs, count(Phase::Output) as u64);
        assert_eq!(status.settled.panicked, count(Phase::Panicked) as u64);
        assert_eq!(status.settled.aborted, count(Phase::Aborted) as u64);
        assert_eq!(status.settled.worker_lost, count(Phase::Lost) as u64);
        assert_eq!(status.workers.len(), model.present());
        assert_eq!(status.coalesced, model.coalesced);
        let assigned = |worker: &model::Worker| worker.own.len();
        let expected: usize = model.workers.iter().flatten().map(assigned).sum();
        let assigned: usize = status.workers.iter().map(|one| one.assigned).sum();
        assert_eq!(assigned, expected);
    }
}

fn check(model: &Model, seen: Seen, promise: &Promise<u32, u32>) {
    let request = model.runs[seen.run].request;
    let (result, state) = (promise.try_result(), promise.state());
    match model.outcome(seen) {
        None => {
            let is_queued = model.runs[seen.run].phase == Phase::Queued;
            let expected = if is_queued {
                State::Queued
            } else {
                State::Running
            };
            assert_eq!((result, state), (None, expected));
            return;
        }
        Some(Phase::Output) => assert_eq!(result, Some(Ok(&request))),
        Some(Phase::Lost) => assert_eq!(result, Some(Err(Failure::WorkerLost(Loss::Killed)))),
        Some(Phase::Panicked) => assert!(matches!(result, Some(Err(Failure::Panicked(_))))),
        Some(phase) => assert_eq!(
            (phase, result),
            (Phase::Aborted, Some(Err(Failure::Aborted)))
        ),
    }
    assert_eq!(state, State::Settled);
}

struct Service;

impl StateMachineTest for Service {
    type SystemUnderTest = Bench;
    type Reference = Model;

    fn init_test(model: &Model) -> Bench {
        Bench::new(model)
    }

    fn apply(mut bench: Bench, model: &Model, step: Step) -> Bench {
        bench.take(&step, model);
        bench
    }

    fn check_invariants(bench: &Bench, model: &Model) {
        bench.compare(model);
    }

    /// Lets everything end, and sees that nothing is left.
    fn teardown(bench: Bench, model: Model) {
        // Nobody tells the runs how to end any more, so they end.
        drop((bench.begun, bench.running));
        bench.service.stop();
        let settled = |(_, promise): &(Seen, Promise<u32, u32>)| promise.is_settled();
        assert!(bench.promises.iter().all(settled));
        assert!(bench.set.select().all(|promise| promise.is_settled()));
        assert!(bench.asked.iter().all(|answer| answer.is_settled()));
        let status = bench.service.status();
        let all = (status.settled.total(), status.queued, status.running);
        assert_eq!(all, (model.runs.len() as u64, 0, 0));
    }
}

prop_state_machine! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_service_does_what_the_model_does(sequential 1..80 => Service);
}
