//! What the service has to do, said in the plainest way.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::Sender;

use parallel_workers::{Abort, Share};

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
pub(crate) struct Run {
    pub(crate) request: u32,
    pub(crate) phase: Phase,
    /// Whether each ticket has left.
    pub(crate) left: Vec<bool>,
    pub(crate) votes: usize,
    pub(crate) holders: usize,
    pub(crate) end: Option<Sender<bool>>,
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

pub(crate) struct Model {
    pub(crate) share: Share,
    pub(crate) workers: usize,
    pub(crate) is_paused: bool,
    pub(crate) runs: Vec<Run>,
    pub(crate) queue: VecDeque<usize>,
    pub(crate) shared: HashMap<u32, usize>,
    pub(crate) coalesced: u64,
    /// What the set has to yield, in that order.
    pub(crate) announced: VecDeque<Seen>,
    pub(crate) members: Vec<Seen>,
}

impl Model {
    pub(crate) fn new(workers: usize, share: Share) -> Self {
        Self {
            share,
            workers,
            is_paused: false,
            runs: Vec::new(),
            queue: VecDeque::new(),
            shared: HashMap::new(),
            coalesced: 0,
            announced: VecDeque::new(),
            members: Vec::new(),
        }
    }

    pub(crate) fn new_run(&mut self, request: u32) -> usize {
        let run = Run {
            request,
            phase: Phase::Queued,
            left: vec![false],
            votes: 1,
            holders: 1,
            end: None,
            next: None,
        };
        self.runs.push(run);
        self.runs.len() - 1
    }

    pub(crate) fn queue(&mut self, request: u32) -> Seen {
        if let Some(found) = self.shared.get(&request).copied() {
            let waiting = self.runs[found].next;
            for run in [Some(found), waiting].into_iter().flatten() {
                if let Some(seen) = self.join(run) {
                    return seen;
                }
            }
            if self.runs[found].phase == Phase::Running {
                let run = self.new_run(request);
                self.runs[found].next = Some(run);
                return Seen {
                    run,
                    ticket: Some(0),
                };
            }
        }
        let run = self.new_run(request);
        self.queue.push_back(run);
        self.shared.insert(request, run);
        Seen {
            run,
            ticket: Some(0),
        }
    }

    pub(crate) fn join(&mut self, index: usize) -> Option<Seen> {
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

    pub(crate) fn abort(&mut self, seen: Seen) -> Abort {
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
    pub(crate) fn announce(&mut self, run: usize, ticket: Option<usize>) {
        let is_told = |seen: &Seen| seen.run == run && (ticket.is_none() || seen.ticket == ticket);
        self.announced
            .extend(self.members.iter().filter(|seen| is_told(seen)));
        self.members.retain(|seen| !is_told(seen));
    }

    pub(crate) fn settle(&mut self, index: usize, ending: Phase) {
        let run = &mut self.runs[index];
        run.phase = ending;
        let request = run.request;
        let next = run.next.take();
        let next = next.filter(|next| self.runs[*next].phase == Phase::Queued);
        self.announce(index, None);
        if let Some(next) = next {
            self.queue.push_back(next);
            self.shared.insert(request, next);
        } else {
            self.forget_unless_held(index);
        }
    }

    pub(crate) fn forget_unless_held(&mut self, index: usize) {
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

    pub(crate) fn release(&mut self, seen: Seen) {
        self.runs[seen.run].holders -= 1;
        self.forget_unless_held(seen.run);
    }

    /// Which runs begin now.
    pub(crate) fn begin(&mut self) -> Vec<usize> {
        let running = self.running();
        let free = if self.is_paused {
            0
        } else {
            self.workers - running
        };
        let begun: Vec<_> = self.queue.drain(..free.min(self.queue.len())).collect();
        begun
            .iter()
            .for_each(|index| self.runs[*index].phase = Phase::Running);
        begun
    }

    pub(crate) fn running(&self) -> usize {
        self.runs
            .iter()
            .filter(|run| run.phase == Phase::Running)
            .count()
    }

    pub(crate) fn outcome(&self, seen: Seen) -> Option<Phase> {
        let run = &self.runs[seen.run];
        if seen.ticket.is_some_and(|ticket| run.left[ticket]) {
            return Some(Phase::Aborted);
        }
        Some(run.phase).filter(|phase| !matches!(phase, Phase::Queued | Phase::Running))
    }
}
