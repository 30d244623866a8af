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

use model::{Model, Phase, Seen};
use parallel_workers::{
    Context, Failure, Processor, ProcessorService, Promise, PromiseSet, RequestId, Share, State,
    WorkerId, WorkerState, WorkerStatus,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use support::limit_time;

#[derive(Clone, Debug)]
enum Step {
    Queue(u32),
    QueueUnshared,
    Abort(usize),
    Clone(usize),
    Drop(usize),
    Insert(usize),
    Select,
    Settle { which: usize, panics: bool },
    Kill(usize),
    AddWorker,
    RemoveIdleWorker,
    Broadcast,
    Pause,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u32).prop_map(Step::Queue),
        1 => Just(Step::QueueUnshared),
        4 => any::<usize>().prop_map(Step::Abort),
        1 => any::<usize>().prop_map(Step::Clone),
        2 => any::<usize>().prop_map(Step::Drop),
        2 => any::<usize>().prop_map(Step::Insert),
        2 => Just(Step::Select),
        4 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, panics)| Step::Settle { which, panics }),
        1 => any::<usize>().prop_map(Step::Kill),
        1 => Just(Step::AddWorker),
        1 => Just(Step::RemoveIdleWorker),
        1 => Just(Step::Broadcast),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
    ]
}

/// How long the test waits for what must happen, so that a failure can be shrunk.
const PATIENCE: Duration = Duration::from_secs(5);

/// A run that has begun, and how to let it end: `true` with a panic.
type Begun = (u32, Sender<bool>);

/// Says that it has begun, and waits to be told how to end.
struct Standing(Sender<Begun>);

impl Processor for Standing {
    type Request = u32;
    type Output = u32;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
        let (end, told) = mpsc::channel();
        // Nobody listens any more when the test drains the rest.
        let _ = self.0.send((*n, end));
        assert!(!told.recv().unwrap_or(false), "as it was told");
        *n
    }
}

/// Run and ticket of a callback.
type CalledBack = (usize, usize);

/// The service, the model, and what is compared.
struct Bench {
    service: ProcessorService<Standing>,
    begun: Receiver<Begun>,
    called_back: (Sender<CalledBack>, Receiver<CalledBack>),
    promises: Vec<(Seen, Promise<u32, u32>)>,
    set: PromiseSet<u32, u32>,
    model: Model,
    owed: Vec<CalledBack>,
    /// The run that each id names.
    ids: HashMap<RequestId, usize>,
    /// Answers of broadcasts.
    asked: Vec<Promise<WorkerId, ()>>,
}

impl Bench {
    fn new(workers: usize, share: Share) -> Self {
        limit_time();
        let (sender, begun) = mpsc::channel();
        let service = ProcessorService::builder()
            .workers(workers)
            .share(share)
            .start(move || Standing(sender.clone()))
            .unwrap();
        let model = Model::new(workers, share);
        let (called_back, promises) = (mpsc::channel(), Vec::new());
        let (set, owed) = (PromiseSet::new(), Vec::new());
        Self {
            service,
            begun,
            called_back,
            promises,
            set,
            model,
            owed,
            ids: HashMap::new(),
            asked: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Queue(n) => {
                let promise = self.service.queue_request(n);
                let seen = self.model.queue(n);
                self.keep(seen, promise);
            }
            Step::QueueUnshared => {
                let n = 1_000 + self.model.runs.len() as u32;
                let promise = self.service.queue_unshared(n);
                let run = self.model.new_run(n);
                self.model.queue.push_back(run);
                self.keep(
                    Seen {
                        run,
                        ticket: Some(0),
                    },
                    promise,
                );
            }
            Step::Abort(which) => {
                if let Some((seen, promise)) = pick(&self.promises, which) {
                    assert_eq!(promise.abort(), self.model.abort(*seen));
                }
            }
            Step::Clone(which) => {
                if let Some((seen, promise)) = pick(&self.promises, which) {
                    self.model.runs[seen.run].holders += 1;
                    let clone = (*seen, promise.clone());
                    self.promises.push(clone);
                }
            }
            Step::Drop(which) => {
                if let Some((seen, promise)) = self.remove(which) {
                    drop(promise);
                    self.model.release(seen);
                }
            }
            Step::Insert(which) => {
                if let Some((seen, promise)) = self.remove(which) {
                    self.set.insert(promise);
                    match self.model.outcome(seen) {
                        Some(_) => self.model.announced.push_back(seen),
                        None => self.model.members.push(seen),
                    }
                }
            }
            Step::Select => self.select(),
            Step::Settle { which, panics } => self.settle(which, panics),
            Step::Kill(which) => self.kill(which),
            Step::AddWorker => {
                if self.model.workers < 4 {
                    self.service.add_workers(1).unwrap();
                    self.model.workers += 1;
                }
            }
            Step::RemoveIdleWorker => self.remove_idle_worker(),
            Step::Broadcast => {
                let asked = self.service.broadcast(|_| ());
                assert_eq!(asked.len(), self.model.workers);
                self.asked.extend(asked);
            }
            Step::Pause => {
                self.service.pause();
                self.model.is_paused = true;
            }
            Step::Resume => {
                self.service.resume();
                self.model.is_paused = false;
            }
        }
        self.await_beginnings();
        self.await_callbacks();
        self.await_workers();
        self.compare();
    }

    fn keep(&mut self, seen: Seen, promise: Promise<u32, u32>) {
        let sender = self.called_back.0.clone();
        let id = (seen.run, seen.ticket.unwrap_or(usize::MAX));
        promise.on_settled(move |_| {
            // The test that listens may have failed.
            let _ = sender.send(id);
        });
        self.owed.push(id);
        self.ids.insert(promise.id(), seen.run);
        self.promises.push((seen, promise));
    }

    fn remove(&mut self, which: usize) -> Option<(Seen, Promise<u32, u32>)> {
        let n = self.promises.len();
        (n > 0).then(|| self.promises.remove(which % n))
    }

    fn select(&mut self) {
        match (self.set.try_select(), self.model.announced.pop_front()) {
            (None, None) => {}
            (Some(promise), Some(seen)) => {
                assert_eq!(*promise.request(), self.model.runs[seen.run].request);
                self.check(seen, &promise);
                drop(promise);
                self.model.release(seen);
            }
            (yielded, expected) => panic!("yielded {yielded:?} for {expected:?}"),
        }
    }

    fn settle(&mut self, which: usize, panics: bool) {
        let running: Vec<_> = (0..self.model.runs.len())
            .filter(|run| self.model.runs[*run].phase == Phase::Running)
            .collect();
        if let Some(run) = pick(&running, which) {
            let end = self.model.runs[*run].end.take().expect("it has begun");
            end.send(panics).unwrap();
            let ending = if panics {
                Phase::Panicked
            } else {
                Phase::Output
            };
            self.model.settle(*run, ending);
        }
    }

    /// Kills the worker of a run. Another one takes its place.
    fn kill(&mut self, which: usize) {
        let busy = self.service.workers().into_iter();
        let busy: Vec<_> = busy.filter(|worker| !worker.requests.is_empty()).collect();
        let Some(worker) = pick(&busy, which) else {
            return;
        };
        let run = self.ids[&worker.requests[0].id];
        let killed = self.service.worker(worker.id).unwrap().kill().unwrap();
        assert!(killed.is_some());
        // Its thread ends when nobody can tell it how.
        self.model.runs[run].end = None;
        self.model.settle(run, Phase::Lost);
    }

    fn remove_idle_worker(&mut self) {
        let mut idle = self.service.workers().into_iter();
        if let Some(worker) = idle.find(|worker| worker.state != WorkerState::Busy) {
            assert!(self.service.worker(worker.id).unwrap().remove());
            self.model.workers -= 1;
            while self.service.worker(worker.id).is_some() {
                std::thread::yield_now();
            }
        }
    }

    fn await_beginnings(&mut self) {
        let mut expected = self.model.begin();
        while !expected.is_empty() {
            let (request, end) = self.begun.recv_timeout(PATIENCE).expect("a run begins");
            let index = expected
                .iter()
                .position(|run| self.model.runs[*run].request == request);
            let run = expected.remove(index.expect("nothing else begins"));
            self.model.runs[run].end = Some(end);
        }
    }

    fn await_callbacks(&mut self) {
        let outcome = |id: &(usize, usize)| {
            let ticket = Some(id.1).filter(|ticket| *ticket != usize::MAX);
            self.model.outcome(Seen { run: id.0, ticket })
        };
        let (due, owed): (Vec<_>, Vec<_>) = self
            .owed
            .iter()
            .copied()
            .partition(|id| outcome(id).is_some());
        self.owed = owed;
        let mut due = due;
        while !due.is_empty() {
            let id = self
                .called_back
                .1
                .recv_timeout(PATIENCE)
                .expect("a callback is called");
            let index = due.iter().position(|due| *due == id);
            due.remove(index.expect("each is called back once, when it settles"));
        }
        assert!(self.called_back.1.try_recv().is_err(), "and nobody else");
    }

    /// A callback's own promise is held until it has returned, and its worker is busy as long.
    fn await_workers(&self) {
        let is_busy = |worker: &WorkerStatus| worker.state == WorkerState::Busy;
        let busy = || {
            self.service
                .status()
                .workers
                .iter()
                .filter(|worker| is_busy(worker))
                .count()
        };
        while busy() > self.model.running() {
            std::thread::yield_now();
        }
    }

    fn check(&self, seen: Seen, promise: &Promise<u32, u32>) {
        let request = self.model.runs[seen.run].request;
        let (result, state) = (promise.try_result(), promise.state());
        match self.model.outcome(seen) {
            None => {
                assert_eq!(result, None);
                let is_queued = self.model.runs[seen.run].phase == Phase::Queued;
                assert_eq!(
                    state,
                    if is_queued {
                        State::Queued
                    } else {
                        State::Running
                    }
                );
                return;
            }
            Some(Phase::Output) => assert_eq!(result, Some(Ok(&request))),
            Some(Phase::Lost) => assert_eq!(result, Some(Err(Failure::WorkerLost))),
            Some(Phase::Panicked) => assert!(matches!(result, Some(Err(Failure::Panicked(_))))),
            Some(phase) => assert_eq!(
                (phase, result),
                (Phase::Aborted, Some(Err(Failure::Aborted)))
            ),
        }
        assert_eq!(state, State::Settled);
    }

    fn compare(&self) {
        for (seen, promise) in &self.promises {
            self.check(*seen, promise);
        }
        for pair in self.promises.windows(2) {
            assert_eq!(pair[0].1 == pair[1].1, pair[0].0.run == pair[1].0.run);
        }
        assert_eq!(
            self.set.len(),
            self.model.members.len() + self.model.announced.len()
        );
        let count = |phase| {
            self.model
                .runs
                .iter()
                .filter(|run| run.phase == phase)
                .count()
        };
        let status = self.service.status();
        assert_eq!(
            (status.queued, status.running),
            (count(Phase::Queued), count(Phase::Running))
        );
        assert_eq!(status.settled.outputs, count(Phase::Output) as u64);
        assert_eq!(status.settled.panicked, count(Phase::Panicked) as u64);
        assert_eq!(status.settled.aborted, count(Phase::Aborted) as u64);
        assert_eq!(status.settled.worker_lost, count(Phase::Lost) as u64);
        assert_eq!(status.workers.len(), self.model.workers);
        assert_eq!(status.coalesced, self.model.coalesced);
    }

    /// Lets everything end, and sees that nothing is left.
    fn finish(self) {
        let Self {
            service,
            begun,
            promises,
            set,
            model,
            asked,
            ..
        } = self;
        let runs = model.runs.len() as u64;
        // Nobody tells the runs how to end any more, so they end.
        drop((begun, model));
        service.stop();
        assert!(promises.iter().all(|(_, promise)| promise.is_settled()));
        assert!(set.select().all(|promise| promise.is_settled()));
        assert!(asked.iter().all(|answer| answer.is_settled()));
        let status = service.status();
        assert_eq!(
            (status.settled.total(), status.queued, status.running),
            (runs, 0, 0)
        );
    }
}

fn pick<T>(all: &[T], which: usize) -> Option<&T> {
    all.get(which.checked_rem(all.len())?)
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_service_does_what_the_model_does(
        steps in proptest::collection::vec(step(), 1..80),
        workers in 1..3_usize,
        is_held in any::<bool>(),
    ) {
        let share = if is_held { Share::WhileHeld } else { Share::InFlight };
        let mut bench = Bench::new(workers, share);
        steps.iter().for_each(|step| bench.take(step));
        bench.finish();
    }
}
