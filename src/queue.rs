//! The queue between callers and workers: what waits, who sleeps, and whether anything may still come in.
//!
//! One mutex protects the lane, the gate and the list of sleeping workers, so that "is there anything for me, and
//! if not, wake me" is one step, and a wake-up cannot be lost. It is never held while foreign code runs: items
//! and wakers are dropped, and sleepers woken, after it has been released.
//!
//! The queue is work-conserving: every item that comes in wakes a sleeping worker, if there is one, and a worker
//! takes one item at a time and sleeps only when it finds none.

use std::task::Waker;

use crossbeam_utils::CachePadded;

use crate::lane::{Lane, Placed};
use crate::record::WorkerRecord;
use crate::status::WorkerId;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};
use crate::wakers::{Wakers, wake_all};

/// The queue of one service.
#[derive(Debug)]
pub(crate) struct Queue<I> {
    /// How many want to know when nothing is left to do: then, and only then, a job's end takes the lock.
    watchers: AtomicUsize,
    /// Whether the gate is open, to be read without the lock. The gate itself decides.
    is_open: AtomicBool,
    state: CachePadded<Mutex<State<I>>>,
}

#[derive(Debug)]
struct State<I> {
    lane: Lane<I>,
    gate: Gate,
    is_paused: bool,
    /// The workers that are served.
    seats: Vec<Arc<WorkerRecord>>,
    /// Those of them that found nothing and wait. The last one to fall asleep is the first to be woken: its
    /// memory is the warmest.
    sleepers: Vec<(WorkerId, Waker)>,
    /// Those that have no processor and wait for the time to try again. They take no items, unless all workers
    /// are beyond hope.
    broken: Vec<Broken>,
    idle: Wakers,
    /// The most jobs that one of those who wait for idleness has himself.
    idle_allowance: usize,
}

/// A worker without a processor.
#[derive(Debug)]
struct Broken {
    id: WorkerId,
    /// Whether its factory has failed too often to wait for it.
    is_hopeless: bool,
    waker: Option<Waker>,
}

/// What may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Only what comes from a worker or a callback of the service, which have to finish what they began.
    Draining,
    Closed,
}

/// What a worker found.
pub(crate) enum Popped<I> {
    Item(I),
    /// Nothing at the moment.
    Nothing,
    /// Nothing but what the worker already has, and a drain waits for that: it is to finish it.
    Finish,
    /// Nothing, for good: the queue is closed, or the worker is to leave.
    Closed,
}

impl<I: Placed> Queue<I> {
    pub(crate) fn new(is_paused: bool) -> Self {
        Self {
            watchers: AtomicUsize::new(0),
            is_open: AtomicBool::new(true),
            state: CachePadded::new(Mutex::new(State {
                lane: Lane::new(),
                gate: Gate::Open,
                is_paused,
                seats: Vec::new(),
                sleepers: Vec::new(),
                broken: Vec::new(),
                idle: Wakers::default(),
                idle_allowance: 0,
            })),
        }
    }

    /// Puts an item in, and wakes a worker for it; gives it back where the gate does not let it through.
    pub(crate) fn push(&self, item: I, is_inside: bool) -> Result<(), I> {
        let mut state = self.state.lock();
        match state.gate {
            Gate::Open => {}
            Gate::Draining if is_inside => {}
            Gate::Draining | Gate::Closed => return Err(item),
        }
        state.lane.push(item);
        let woken = state.next_sleeper();
        // LOCK: released before anybody is woken.
        drop(state);
        wake_all(woken);
        Ok(())
    }

    /// Puts in an item that was let in before; gives it back if the queue has been closed since.
    pub(crate) fn push_accepted(&self, item: I) -> Result<(), I> {
        self.push(item, true)
    }

    /// Puts an item back at the head that a worker was given and has not begun; gives it back if the queue has
    /// been closed since.
    pub(crate) fn put_back(&self, item: I) -> Result<(), I> {
        let mut state = self.state.lock();
        if state.gate == Gate::Closed {
            return Err(item);
        }
        state.lane.push_front(item);
        let woken = state.next_sleeper();
        drop(state);
        wake_all(woken);
        Ok(())
    }

    /// Takes an item out before a worker comes to it.
    pub(crate) fn remove(&self, item: &I) -> Option<I> {
        let mut state = self.state.lock();
        let removed = state.lane.remove(item);
        // What was waited for may have been this.
        let woken = if removed.is_some() {
            state.rouse()
        } else {
            Vec::new()
        };
        drop(state);
        wake_all(woken);
        removed
    }

    /// The next item for this worker.
    pub(crate) fn pop(&self, worker: &WorkerRecord) -> Popped<I> {
        let mut state = self.state.lock();
        let (popped, woken) = state.pop(worker);
        drop(state);
        wake_all(woken);
        popped
    }

    /// The next item for this worker, or a place among the sleepers.
    pub(crate) fn pop_or_sleep(&self, worker: &WorkerRecord, waker: Waker) -> Popped<I> {
        let mut state = self.state.lock();
        let (popped, woken) = state.pop(worker);
        let unused = match popped {
            Popped::Nothing => state.sleep(worker.id, waker),
            _ => {
                state.wake_up(worker.id);
                Some(waker)
            }
        };
        drop(state);
        drop(unused);
        wake_all(woken);
        popped
    }

    /// The worker no longer sleeps, for a reason of its own. If it was woken for an item in the meantime, another
    /// one is woken in its place.
    pub(crate) fn stop_sleeping(&self, worker: &WorkerRecord) {
        let mut state = self.state.lock();
        let unused = state.wake_up(worker.id);
        let has_more = unused.is_none() && !state.lane.is_empty();
        let woken = if has_more { state.next_sleeper() } else { None };
        drop(state);
        drop(unused);
        wake_all(woken);
    }

    /// Whether there is something to look for; if not, the worker sleeps until there may be.
    pub(crate) fn ready_or_sleep(&self, worker: &WorkerRecord, waker: Waker) -> bool {
        let mut state = self.state.lock();
        let has_items = !state.is_paused && !state.lane.is_empty();
        let is_ready = has_items || state.gate == Gate::Closed || worker.is_retired();
        let unused = if is_ready {
            state.wake_up(worker.id);
            Some(waker)
        } else {
            state.sleep(worker.id, waker)
        };
        drop(state);
        drop(unused);
        is_ready
    }

    /// What a worker without a processor has to do: give up an item, if all workers are beyond hope, or wait.
    pub(crate) fn pop_broken(
        &self,
        worker: &WorkerRecord,
        is_hopeless: bool,
        waker: Waker,
    ) -> Popped<I> {
        let mut state = self.state.lock();
        let unused = state.forget_broken(worker.id);
        state.broken.push(Broken {
            id: worker.id,
            is_hopeless,
            waker: Some(waker),
        });
        let is_over = state.gate == Gate::Closed || worker.is_retired();
        let (popped, woken) = if is_over || state.is_hopeless() {
            state.pop(worker)
        } else {
            (Popped::Nothing, Vec::new())
        };
        drop(state);
        drop(unused);
        wake_all(woken);
        popped
    }

    /// The worker has a processor again.
    pub(crate) fn recovered(&self, worker: &WorkerRecord) {
        let mut state = self.state.lock();
        let unused = state.forget_broken(worker.id);
        drop(state);
        drop(unused);
    }

    /// A job of `worker` is over.
    ///
    /// ORDERING: the end is counted, then the watchers are read, both SeqCst; who watches counts himself, then
    /// reads the ends, both SeqCst. So at least one of the two sees the other.
    pub(crate) fn finished(&self, worker: &WorkerRecord) {
        worker.finish();
        if self.watchers.load(Ordering::SeqCst) > 0 {
            let woken = self.state.lock().rouse();
            wake_all(woken);
        }
    }

    /// Whether nothing is queued and no more than `allowance` jobs are with workers; if not, `waker` is woken
    /// when that may have changed. To be called between `watch` and `unwatch`.
    pub(crate) fn poll_idle(
        &self,
        allowance: usize,
        place: &mut Option<u64>,
        waker: &Waker,
    ) -> bool {
        let waker = waker.clone();
        let mut state = self.state.lock();
        let is_idle = state.is_idle(allowance);
        let unused = if is_idle {
            Some(waker)
        } else {
            state.idle_allowance = state.idle_allowance.max(allowance);
            state.idle.register(place, waker)
        };
        drop(state);
        drop(unused);
        is_idle
    }

    /// Somebody is going to call `poll_idle`.
    pub(crate) fn watch(&self) {
        self.watchers.fetch_add(1, Ordering::SeqCst);
    }

    /// He no longer is.
    pub(crate) fn unwatch(&self, place: Option<u64>) {
        self.watchers.fetch_sub(1, Ordering::SeqCst);
        let mut state = self.state.lock();
        let unused = place.and_then(|place| state.idle.remove(place));
        if state.idle.is_empty() {
            state.idle_allowance = 0;
        }
        drop(state);
        drop(unused);
    }

    pub(crate) fn pause(&self) {
        let mut state = self.state.lock();
        // A service that drains is not to be held up.
        state.is_paused = state.gate == Gate::Open;
    }

    pub(crate) fn resume(&self) {
        let mut state = self.state.lock();
        let woken = state.resume();
        drop(state);
        wake_all(woken);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state.lock().is_paused
    }

    /// Whether anybody may come in. A hint: `push` decides.
    pub(crate) fn is_open(&self) -> bool {
        // ORDERING: acquire, so that whoever saw the stop of a service sees what came before it.
        self.is_open.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().gate == Gate::Closed
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().lane.len()
    }

    /// Lets in only what comes from inside, until nothing is left; then closes.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        if state.gate != Gate::Open {
            return;
        }
        state.gate = Gate::Draining;
        self.is_open.store(false, Ordering::Release);
        // Never taken back: from now on every job's end may be the last.
        self.watchers.fetch_add(1, Ordering::SeqCst);
        let mut woken = state.resume();
        woken.extend(state.rouse());
        drop(state);
        wake_all(woken);
    }

    /// Lets nothing in any more, and gives out what is there.
    pub(crate) fn close(&self) -> Vec<I> {
        let mut state = self.state.lock();
        state.gate = Gate::Closed;
        self.is_open.store(false, Ordering::Release);
        state.is_paused = false;
        let items = state.lane.drain();
        let mut woken = state.wake_sleepers();
        woken.extend(state.rouse());
        drop(state);
        wake_all(woken);
        items
    }

    /// Serves a worker, from now on.
    pub(crate) fn seat(&self, worker: Arc<WorkerRecord>) {
        self.state.lock().seats.push(worker);
    }

    /// Has a worker look up: it was told to leave.
    pub(crate) fn recall(&self, id: WorkerId) {
        let mut state = self.state.lock();
        let woken = [state.wake_up(id), state.forget_broken(id)];
        drop(state);
        wake_all(woken.into_iter().flatten());
    }

    /// Serves a worker no longer.
    pub(crate) fn unseat(&self, id: WorkerId) {
        let mut state = self.state.lock();
        state.seats.retain(|worker| worker.id != id);
        let unused = (state.wake_up(id), state.forget_broken(id));
        let mut woken = state.rouse();
        // The rest may be broken, all of them, now.
        woken.extend(state.take_broken());
        drop(state);
        drop(unused);
        wake_all(woken);
    }

    /// The workers that are served, in the order in which they came.
    pub(crate) fn seats(&self) -> Vec<Arc<WorkerRecord>> {
        self.state.lock().seats.clone()
    }
}

impl<I: Placed> State<I> {
    fn pop(&mut self, worker: &WorkerRecord) -> (Popped<I>, Vec<Waker>) {
        if worker.is_retired() {
            // It may have been woken for an item that it does not take.
            let other = if self.lane.is_empty() {
                None
            } else {
                self.next_sleeper()
            };
            return (Popped::Closed, other.into_iter().collect());
        }
        if self.is_paused {
            return (Popped::Nothing, Vec::new());
        }
        if let Some(item) = self.lane.pop() {
            worker.hand();
            return (Popped::Item(item), Vec::new());
        }
        match self.gate {
            Gate::Open => (Popped::Nothing, Vec::new()),
            Gate::Draining if worker.held() > 0 => (Popped::Finish, Vec::new()),
            Gate::Draining => {
                let woken = self.rouse();
                let popped = if self.gate == Gate::Closed {
                    Popped::Closed
                } else {
                    Popped::Nothing
                };
                (popped, woken)
            }
            Gate::Closed => (Popped::Closed, Vec::new()),
        }
    }

    fn sleep(&mut self, id: WorkerId, waker: Waker) -> Option<Waker> {
        match self.sleepers.iter_mut().find(|(sleeper, _)| *sleeper == id) {
            Some((_, slot)) => Some(std::mem::replace(slot, waker)),
            None => {
                self.sleepers.push((id, waker));
                None
            }
        }
    }

    fn wake_up(&mut self, id: WorkerId) -> Option<Waker> {
        let index = self
            .sleepers
            .iter()
            .position(|(sleeper, _)| *sleeper == id)?;
        Some(self.sleepers.remove(index).1)
    }

    /// Whether no worker can take an item, and none is likely to.
    fn is_hopeless(&self) -> bool {
        self.broken
            .iter()
            .filter(|broken| broken.is_hopeless)
            .count()
            >= self.seats.len()
    }

    fn forget_broken(&mut self, id: WorkerId) -> Option<Waker> {
        let index = self.broken.iter().position(|broken| broken.id == id)?;
        self.broken.swap_remove(index).waker
    }

    fn take_broken(&mut self) -> impl Iterator<Item = Waker> {
        self.broken
            .iter_mut()
            .filter_map(|broken| broken.waker.take())
    }

    /// The worker to wake for an item that has come in.
    fn next_sleeper(&mut self) -> Option<Waker> {
        if self.is_paused {
            return None;
        }
        match self.sleepers.pop() {
            Some((_, waker)) => Some(waker),
            None if self.broken.is_empty() || !self.is_hopeless() => None,
            None => self.take_broken().next(),
        }
    }

    fn wake_sleepers(&mut self) -> Vec<Waker> {
        let mut woken: Vec<_> = self.sleepers.drain(..).map(|(_, waker)| waker).collect();
        woken.extend(self.take_broken());
        woken
    }

    fn resume(&mut self) -> Vec<Waker> {
        self.is_paused = false;
        (0..self.lane.len())
            .map_while(|_| self.next_sleeper())
            .collect()
    }

    fn is_idle(&self, allowance: usize) -> bool {
        // No job can move from the lane to a worker meanwhile, for that needs the lock: so once all the counts
        // were seen to be low, they are.
        self.lane.is_empty()
            && self.seats.iter().map(|worker| worker.held()).sum::<usize>() <= allowance
    }

    /// Takes out those who are to know that nothing is left to do, if so; a drain ends then.
    fn rouse(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        if self.gate == Gate::Draining && self.is_idle(0) {
            self.gate = Gate::Closed;
            woken = self.wake_sleepers();
        }
        if !self.idle.is_empty() && self.is_idle(self.idle_allowance) {
            woken.extend(self.idle.take());
        }
        woken
    }
}
