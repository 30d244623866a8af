//! What the service has to do, said in the plainest way.

use std::collections::{BTreeMap, VecDeque};

use parallel_workers::{Abort, Share};

/// Something that a caller does. Numbers choose among what there is.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Queue(u32),
    QueueUnshared,
    /// To the worker of a running request.
    Assign {
        which: usize,
        request: u32,
    },
    Abort(usize),
    Clone(usize),
    Drop(usize),
    Insert(usize),
    Select,
    Settle {
        which: usize,
        panics: bool,
    },
    /// The worker of a running request.
    Kill(usize),
    AddWorker,
    RemoveIdleWorker,
    Broadcast,
    Pause,
    Resume,
}

/// What a step is to come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Came {
    Nothing,
    Queued(Seen),
    Aborted(Abort),
    Dropped,
    /// What a set yields.
    Selected(Option<Seen>),
    /// A run has ended, or its worker was killed.
    Ended(usize),
    /// With the worker of this run.
    Assigned(usize, Seen),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Queued,
    Running,
    Output,
    Panicked,
    Aborted,
    /// With its worker, which was killed.
    Lost,
}

/// What the model knows of a run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) request: u32,
    pub(crate) phase: Phase,
    /// Whether each ticket has left.
    pub(crate) left: Vec<bool>,
    pub(crate) votes: usize,
    pub(crate) holders: usize,
    /// The worker that has it, or is to have it.
    pub(crate) worker: Option<usize>,
    /// The run that waits for this one's end.
    pub(crate) next: Option<usize>,
}

/// What the model knows of a promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) run: usize,
    /// `None`: it was queued when the run had settled.
    pub(crate) ticket: Option<usize>,
}

impl Seen {
    fn first(run: usize) -> Self {
        let ticket = Some(0);
        Self { run, ticket }
    }
}

fn pick<T: Copy>(all: &[T], which: usize) -> Option<T> {
    all.get(which.checked_rem(all.len())?).copied()
}

/// What the model knows of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worker {
    pub(crate) running: Option<usize>,
    /// What was assigned to it.
    pub(crate) own: VecDeque<usize>,
    /// Whether its last one was its own.
    pub(crate) took_own: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) share: Share,
    /// `None`: it was removed. One that is killed has another one in its place.
    pub(crate) workers: Vec<Option<Worker>>,
    pub(crate) is_paused: bool,
    pub(crate) runs: Vec<Run>,
    /// The promises that the caller has.
    pub(crate) promises: Vec<Seen>,
    pub(crate) queue: VecDeque<usize>,
    pub(crate) shared: BTreeMap<u32, usize>,
    /// What the last step came to, and which runs it let begin.
    pub(crate) came: Came,
    pub(crate) begun: Vec<usize>,
    pub(crate) coalesced: u64,
    /// What the set has to yield, in that order.
    pub(crate) announced: VecDeque<Seen>,
    pub(crate) members: Vec<Seen>,
}

impl Model {
    pub(crate) fn new(workers: usize, share: Share) -> Self {
        Self {
            share,
            workers: vec![Some(Worker::default()); workers],
            is_paused: false,
            runs: Vec::new(),
            promises: Vec::new(),
            queue: VecDeque::new(),
            shared: BTreeMap::new(),
            came: Came::Nothing,
            begun: Vec::new(),
            coalesced: 0,
            announced: VecDeque::new(),
            members: Vec::new(),
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        self.came = match *step {
            Step::Queue(n) => {
                let seen = self.queue(n, None);
                self.keep(seen)
            }
            Step::QueueUnshared => {
                let run = self.new_run(1_000 + self.runs.len() as u32);
                self.queue.push_back(run);
                self.keep(Seen::first(run))
            }
            Step::Assign { which, request } => self.assign(which, request),
            Step::Abort(which) => match pick(&self.promises, which) {
                Some(seen) => Came::Aborted(self.abort(seen)),
                None => Came::Nothing,
            },
            Step::Clone(which) => match pick(&self.promises, which) {
                Some(seen) => {
                    self.runs[seen.run].holders += 1;
                    self.promises.push(seen);
                    Came::Queued(seen)
                }
                None => Came::Nothing,
            },
            Step::Drop(which) => match self.remove(which) {
                Some(seen) => {
                    self.release(seen);
                    Came::Dropped
                }
                None => Came::Nothing,
            },
            Step::Insert(which) => match self.remove(which) {
                Some(seen) => {
                    match self.outcome(seen) {
                        Some(_) => self.announced.push_back(seen),
                        None => self.members.push(seen),
                    }
                    Came::Dropped
                }
                None => Came::Nothing,
            },
            Step::Select => {
                let selected = self.announced.pop_front();
                selected.into_iter().for_each(|seen| self.release(seen));
                Came::Selected(selected)
            }
            Step::Settle { which, panics } => {
                let ending = if panics {
                    Phase::Panicked
                } else {
                    Phase::Output
                };
                self.end(which, ending)
            }
            Step::Kill(which) => self.end(which, Phase::Lost),
            Step::AddWorker => {
                self.workers.push(Some(Worker::default()));
                Came::Nothing
            }
            Step::RemoveIdleWorker => {
                let mut workers = self.workers.iter_mut();
                let is_idle = |worker: &&mut Option<Worker>| {
                    worker.as_ref().is_some_and(|one| one.running.is_none())
                };
                workers.find(is_idle).expect("there is one").take();
                Came::Nothing
            }
            Step::Broadcast => Came::Nothing,
            Step::Pause => {
                self.is_paused = true;
                Came::Nothing
            }
            Step::Resume => {
                self.is_paused = false;
                Came::Nothing
            }
        };
        self.begun = self.begin();
    }

    fn keep(&mut self, seen: Seen) -> Came {
        self.promises.push(seen);
        Came::Queued(seen)
    }

    fn remove(&mut self, which: usize) -> Option<Seen> {
        let n = self.promises.len();
        (n > 0).then(|| self.promises.remove(which % n))
    }

    fn assign(&mut self, which: usize, request: u32) -> Came {
        let Some(with) = pick(&self.all_running(), which) else {
            return Came::Nothing;
        };
        let worker = self.runs[with].worker;
        let seen = self.queue(request, worker);
        self.promises.push(seen);
        Came::Assigned(with, seen)
    }

    /// A running run ends.
    fn end(&mut self, which: usize, ending: Phase) -> Came {
        let Some(run) = pick(&self.all_running(), which) else {
            return Came::Nothing;
        };
        let worker = self.runs[run].worker.expect("it runs");
        // Where it was killed, another one takes its place, what was assigned to it, and its turn.
        let worker = self.workers[worker].as_mut().expect("it runs there");
        worker.running = None;
        self.settle(run, ending);
        Came::Ended(run)
    }

    pub(crate) fn all_running(&self) -> Vec<usize> {
        let runs = 0..self.runs.len();
        runs.filter(|run| self.runs[*run].phase == Phase::Running)
            .collect()
    }

    /// Whether an equal request goes on although nobody wants it, so that this one would have to wait for its end.
    pub(crate) fn would_park(&self, request: u32) -> bool {
        let found = self.shared.get(&request).map(|run| &self.runs[*run]);
        found.is_some_and(|run| run.phase == Phase::Running && run.votes == 0)
    }

    /// Whether it is said what comes after the end of a running run. Where something for all waited for that end, and
    /// something for its worker alone does too, the worker may take the one or, if another one comes first, the other.
    pub(crate) fn is_said_what_follows(&self, which: usize) -> bool {
        let run = pick(&self.all_running(), which).map(|run| &self.runs[run]);
        run.is_none_or(|run| {
            let worker = run.worker.and_then(|worker| self.workers[worker].as_ref());
            run.next.is_none() || worker.is_none_or(|worker| worker.own.is_empty())
        })
    }

    pub(crate) fn present(&self) -> usize {
        self.workers.iter().flatten().count()
    }

    pub(crate) fn has_assigned(&self) -> bool {
        let mut workers = self.workers.iter().flatten();
        workers.any(|worker| !worker.own.is_empty())
    }

    pub(crate) fn has_idle(&self) -> bool {
        let mut workers = self.workers.iter().flatten();
        workers.any(|worker| worker.running.is_none())
    }

    pub(crate) fn new_run(&mut self, request: u32) -> usize {
        let run = Run {
            request,
            phase: Phase::Queued,
            left: vec![false],
            votes: 1,
            holders: 1,
            worker: None,
            next: None,
        };
        self.runs.push(run);
        self.runs.len() - 1
    }

    /// `worker`: which one alone may do it.
    fn queue(&mut self, request: u32, worker: Option<usize>) -> Seen {
        if let Some(found) = self.shared.get(&request).copied() {
            let waiting = self.runs[found].next;
            for run in [Some(found), waiting].into_iter().flatten() {
                if let Some(seen) = self.join(run) {
                    return seen;
                }
            }
            if self.runs[found].phase == Phase::Running {
                let run = self.new_run(request);
                self.runs[run].worker = worker;
                self.runs[found].next = Some(run);
                return Seen::first(run);
            }
        }
        let run = self.new_run(request);
        self.runs[run].worker = worker;
        self.push(run);
        self.shared.insert(request, run);
        Seen::first(run)
    }

    fn push(&mut self, run: usize) {
        match self.runs[run].worker {
            Some(worker) => {
                let worker = self.workers[worker].as_mut().expect("it was busy");
                worker.own.push_back(run);
            }
            None => self.queue.push_back(run),
        }
    }

    fn join(&mut self, index: usize) -> Option<Seen> {
        let run = &mut self.runs[index];
        let ticket = match run.phase {
            Phase::Queued | Phase::Running if run.votes > 0 => {
                run.left.push(false);
                run.votes += 1;
                Some(run.left.len() - 1)
            }
            // In the table only if it is kept.
            Phase::Output => {
                run.left.push(false);
                Some(run.left.len() - 1)
            }
            _ => return None,
        };
        run.holders += 1;
        self.coalesced += 1;
        Some(Seen { run: index, ticket })
    }

    fn abort(&mut self, seen: Seen) -> Abort {
        let Seen { run: index, ticket } = seen;
        if self.outcome(seen).is_some() {
            return Abort::Settled;
        }
        let run = &mut self.runs[index];
        if run.phase == Phase::Running && run.votes == 0 {
            return Abort::Running;
        }
        run.votes -= 1;
        match (run.phase, run.votes) {
            (Phase::Queued, 0) => {
                run.phase = Phase::Aborted;
                self.queue.retain(|queued| *queued != index);
                let workers = self.workers.iter_mut().flatten();
                workers.for_each(|worker| worker.own.retain(|queued| *queued != index));
                self.shared.retain(|_, shared| *shared != index);
                self.announce(index, None);
                Abort::Aborted
            }
            (_, 0) => Abort::Running,
            _ => {
                let ticket = ticket.expect("it joined before the run settled");
                run.left[ticket] = true;
                self.announce(index, Some(ticket));
                Abort::StillWanted
            }
        }
    }

    /// Moves what a settlement announces from the members to what is to be selected.
    fn announce(&mut self, run: usize, ticket: Option<usize>) {
        let is_told = |seen: &Seen| seen.run == run && (ticket.is_none() || seen.ticket == ticket);
        self.announced
            .extend(self.members.iter().filter(|seen| is_told(seen)));
        self.members.retain(|seen| !is_told(seen));
    }

    fn settle(&mut self, index: usize, ending: Phase) {
        let run = &mut self.runs[index];
        run.phase = ending;
        let request = run.request;
        let next = run.next.take();
        let next = next.filter(|next| self.runs[*next].phase == Phase::Queued);
        self.announce(index, None);
        if let Some(next) = next {
            self.push(next);
            self.shared.insert(request, next);
        } else {
            self.forget_unless_held(index);
        }
    }

    fn forget_unless_held(&mut self, index: usize) {
        let run = &self.runs[index];
        let is_kept = self.share == Share::WhileHeld
            && run.phase == Phase::Output
            && run.votes > 0
            && run.holders > 0;
        let is_over = !matches!(run.phase, Phase::Queued | Phase::Running);
        if is_over && !is_kept {
            self.shared.retain(|_, shared| *shared != index);
        }
    }

    fn release(&mut self, seen: Seen) {
        self.runs[seen.run].holders -= 1;
        self.forget_unless_held(seen.run);
    }

    /// Which runs begin now. Workers that have no own ones are alike: which of them has what is not said.
    fn begin(&mut self) -> Vec<usize> {
        let mut begun = Vec::new();
        for index in 0..self.workers.len() {
            let Some(worker) = &mut self.workers[index] else {
                continue;
            };
            if self.is_paused || worker.running.is_some() {
                continue;
            }
            worker.took_own = !worker.own.is_empty() && (!worker.took_own || self.queue.is_empty());
            let lane = if worker.took_own {
                &mut worker.own
            } else {
                &mut self.queue
            };
            let Some(run) = lane.pop_front() else {
                continue;
            };
            worker.running = Some(run);
            self.runs[run].worker = Some(index);
            self.runs[run].phase = Phase::Running;
            begun.push(run);
        }
        begun
    }

    pub(crate) fn outcome(&self, seen: Seen) -> Option<Phase> {
        let run = &self.runs[seen.run];
        if seen.ticket.is_some_and(|ticket| run.left[ticket]) {
            return Some(Phase::Aborted);
        }
        Some(run.phase).filter(|phase| !matches!(phase, Phase::Queued | Phase::Running))
    }
}
