//! The queue between callers and workers: what waits, who sleeps, and whether anything may still come in.
//!
//! One mutex protects the lanes, the gate and the list of sleeping workers; what comes in passes through an inbox with
//! a lock of its own, so that callers and workers seldom meet. "Is there anything for me, and if not, wake me" is
//! one step all the same: a worker that falls asleep says so in the inbox before it looks there for the last time,
//! and whoever puts something in is told, in the same step, that he has to wake somebody. No lock is held while
//! foreign code runs: items and wakers are dropped, and sleepers woken, after it has been released.
//!
//! The queue is work-conserving: every item that comes in wakes a sleeping worker that may take it, if there is
//! one, and a worker sleeps only when it finds none, neither in a lane nor in another worker's hand.

use std::task::Waker;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::hand::{Hand, Taken};
use crate::idle::Idleness;
use crate::inbox::{Gate, Inbox};
use crate::lanes::Assigned;
use crate::queue_state::{Popped, QueueState, QueueStatus};
use crate::record::WorkerRecord;
use crate::status::WorkerId;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, now};
use crate::wakers::wake_all;

/// The queue of one service.
#[derive(Debug)]
pub(crate) struct Queue<I> {
    /// How many want to know when nothing is left to do: then, and only then, a job's end takes the lock.
    watchers: AtomicUsize,
    /// How many of them want to know of one worker only.
    worker_watchers: AtomicUsize,
    /// Whether there was more to do when the last item was taken. Written under the lock.
    has_more: AtomicBool,
    /// Whether the gate is open, to be read without the lock. The gate itself decides.
    is_open: AtomicBool,
    inbox: Arc<Inbox<I>>,
    state: CachePadded<Mutex<QueueState<I>>>,
}

impl<I: Assigned> Queue<I> {
    pub(crate) fn new(is_paused: bool) -> Self {
        let inbox = Arc::new(Inbox::new());
        let state = QueueState::new(Arc::clone(&inbox), is_paused);
        Self {
            watchers: AtomicUsize::new(0),
            worker_watchers: AtomicUsize::new(0),
            has_more: AtomicBool::new(false),
            is_open: AtomicBool::new(true),
            inbox,
            state: CachePadded::new(Mutex::new(state)),
        }
    }

    /// Puts an item in, and wakes a worker for it; gives it back where the gate does not let it through. `now`: the
    /// time, where somebody needs it exactly.
    #[inline]
    pub(crate) fn push(&self, item: I, is_inside: bool, now: Option<Instant>) -> Result<(), I> {
        if item.line().is_some() {
            return self.push_assigned(item, is_inside, now);
        }
        let calls = self.inbox.push(item, is_inside, now)?;
        if calls {
            let mut state = self.state.lock();
            let woken = state.take_sleeper();
            state.note_calls();
            // LOCK: released before anybody is woken.
            drop(state);
            wake_all(woken);
        }
        Ok(())
    }

    fn push_assigned(&self, item: I, is_inside: bool, now: Option<Instant>) -> Result<(), I> {
        let mut state = self.state.lock();
        if !state.gate().lets_in(is_inside) {
            return Err(item);
        }
        let owner = state.lanes.push(item, now);
        let woken = state.take_sleeper_for(owner);
        drop(state);
        wake_all(woken);
        Ok(())
    }

    /// Puts in an item that was let in before; gives it back if the queue has been closed since.
    pub(crate) fn push_accepted(&self, item: I) -> Result<(), I> {
        self.push(item, true, None)
    }

    /// Puts an item back at the head that a worker was given and has not begun; gives it back if the queue has
    /// been closed since.
    pub(crate) fn put_back(&self, (item, came): Taken<I>) -> Result<(), I> {
        let mut state = self.state.lock();
        if state.gate() == Gate::Closed {
            return Err(item);
        }
        let owner = state.lanes.push_front((item, came));
        let woken = state.take_sleeper_for(owner);
        drop(state);
        wake_all(woken);
        Ok(())
    }

    /// Takes an item out before a worker comes to it; when it came is looked up if somebody wants to know.
    pub(crate) fn remove(&self, item: &I, wants_time: bool) -> Option<Taken<I>> {
        // LOCK: what leaves the inbox meanwhile is under the queue's lock by then, and is found there.
        if item.line().is_none()
            && let Some(removed) = self.inbox.remove(item, wants_time)
        {
            self.rouse_watchers();
            return Some(removed);
        }
        self.remove_from_lanes(item, wants_time)
    }

    fn remove_from_lanes(&self, item: &I, wants_time: bool) -> Option<Taken<I>> {
        let mut state = self.state.lock();
        let removed = state.lanes.remove(item, wants_time);
        self.note_more(&state);
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

    /// The next item for this worker, which has nothing in its hand. `most`: how many it is to have at most, this one
    /// and what it gets into its hand.
    #[inline]
    pub(crate) fn pop(&self, worker: &WorkerRecord, most: usize) -> Popped<I> {
        let mut state = self.state.lock();
        let (popped, woken) = state.pop(worker, most);
        self.note_more(&state);
        drop(state);
        wake_all(woken);
        popped
    }

    /// Lets items gather in the inbox, where a worker would come for each. To be called by one whose jobs are short,
    /// before it takes the next.
    #[inline]
    pub(crate) fn let_gather(&self) {
        // ORDERING: relaxed; at worst it waits, or does not, in vain.
        if let Some(lull) = self.inbox.lull()
            && !self.has_more.load(Ordering::Relaxed)
        {
            look_on(lull);
        }
    }

    /// Somebody waited for what a worker has done, and may have the next item to put in.
    #[inline]
    pub(crate) fn do_not_gather(&self) {
        self.inbox.do_not_gather();
    }

    /// The next item for this worker, or a place among the sleepers.
    pub(crate) fn pop_or_sleep(
        &self,
        worker: &WorkerRecord,
        most: usize,
        waker: Waker,
    ) -> Popped<I> {
        let mut state = self.state.lock();
        let (popped, woken, unused) = state.pop_or_sleep(worker, most, waker);
        self.note_more(&state);
        drop(state);
        drop(unused);
        wake_all(woken);
        popped
    }

    /// The worker no longer sleeps, for a reason of its own. If it was woken for an item in the meantime, another
    /// one is woken in its place.
    pub(crate) fn stop_sleeping(&self, worker: &WorkerRecord) {
        let mut state = self.state.lock();
        let unused = state.sleepers.take(worker.id);
        let woken = match &unused {
            None => state.take_other_sleeper(),
            Some(_) => None,
        };
        drop(state);
        drop(unused);
        wake_all(woken);
    }

    /// Whether there is something to look for; if not, the worker sleeps until there may be.
    pub(crate) fn ready_or_sleep(&self, worker: &WorkerRecord, waker: Waker) -> bool {
        let mut state = self.state.lock();
        let mut is_ready = state.is_ready(worker);
        let unused = if is_ready {
            state.sleepers.take(worker.id);
            Some(waker)
        } else {
            let unused = state.sleepers.sleep(worker.id, waker);
            is_ready = state.note_calls();
            unused
        };
        drop(state);
        drop(unused);
        is_ready
    }

    /// What a worker without a processor has to do: give up an item that nobody can process, or wait.
    pub(crate) fn pop_broken(
        &self,
        worker: &WorkerRecord,
        is_hopeless: bool,
        waker: Waker,
    ) -> Popped<I> {
        let mut state = self.state.lock();
        let unused = state.sleepers.add_broken(worker.id, is_hopeless, waker);
        // Before it looks, so that whatever comes later calls.
        state.note_calls();
        let is_over = state.gate() == Gate::Closed || worker.is_retired();
        let (popped, woken) = if is_over || state.is_hopeless() {
            state.pop(worker, 1)
        } else if is_hopeless && !state.is_paused() {
            // What only this worker could do, nobody can.
            (
                state.hand(worker, |lanes| lanes.pop_own(worker.id)),
                Vec::new(),
            )
        } else {
            (Popped::Nothing, Vec::new())
        };
        self.note_more(&state);
        drop(state);
        drop(unused);
        wake_all(woken);
        popped
    }

    /// The next item that only this worker may take, for one that takes no others now. If there is none, it is woken for
    /// one, until it says that it is itself [again](Self::recovered).
    #[cfg(feature = "async")]
    pub(crate) fn pop_own(&self, worker: &WorkerRecord, waker: Waker) -> Popped<I> {
        let mut state = self.state.lock();
        let unused = state.sleepers.add_broken(worker.id, false, waker);
        state.note_calls();
        let popped = if state.is_paused() {
            Popped::Nothing
        } else {
            state.hand(worker, |lanes| lanes.pop_own(worker.id))
        };
        self.note_more(&state);
        drop(state);
        drop(unused);
        popped
    }

    /// The worker has a processor again.
    pub(crate) fn recovered(&self, worker: &WorkerRecord) {
        let mut state = self.state.lock();
        let unused = state.sleepers.take_broken(worker.id);
        drop(state);
        drop(unused);
    }

    /// A job of `worker` is over.
    ///
    /// ORDERING: the end is counted, then the watchers are read, both SeqCst; who watches counts himself, then
    /// reads the ends, both SeqCst. So at least one of the two sees the other.
    ///
    /// Where there was more to do and nobody waits for one worker, nobody can be told, and the lock is left alone.
    /// Whoever takes the last item says so before it ends, both SeqCst; so of those who end after that, the last one
    /// sees it. Whoever takes out the last one in another way says so, and then looks who has ended, himself.
    #[inline]
    pub(crate) fn finished(&self, worker: &WorkerRecord) {
        worker.finish();
        if self.watchers.load(Ordering::SeqCst) == 0 {
            return;
        }
        let has_more = self.has_more.load(Ordering::SeqCst);
        if !has_more || self.worker_watchers.load(Ordering::SeqCst) > 0 {
            let woken = self.state.lock().rouse();
            wake_all(woken);
        }
    }

    /// Something has left the inbox, and what was waited for may have been this. ORDERING: as for an end, with the
    /// inbox's lock for the count.
    fn rouse_watchers(&self) {
        if self.watchers.load(Ordering::SeqCst) > 0 {
            let woken = self.state.lock().rouse();
            wake_all(woken);
        }
    }

    #[inline]
    fn note_more(&self, state: &QueueState<I>) {
        let has_more = state.lanes.has_more();
        if self.has_more.load(Ordering::Relaxed) != has_more {
            self.has_more.store(has_more, Ordering::SeqCst);
        }
    }

    /// Whether that is so; if not, `waker` is woken once it was, be it for a moment. To be called between `watch` and
    /// `unwatch`.
    pub(crate) fn poll_idle(
        &self,
        wanted: Idleness,
        place: &mut Option<u64>,
        waker: &Waker,
    ) -> bool {
        let waker = waker.clone();
        let mut state = self.state.lock();
        let is_idle = state.idle.was_told(*place) || state.is_idle(wanted);
        let unused = if is_idle {
            Some(waker)
        } else {
            state.idle.register(place, wanted, waker)
        };
        drop(state);
        drop(unused);
        is_idle
    }

    /// Somebody is going to call `poll_idle`.
    pub(crate) fn watch(&self, wanted: Idleness) {
        if wanted.of.is_some() {
            self.worker_watchers.fetch_add(1, Ordering::SeqCst);
        }
        self.watchers.fetch_add(1, Ordering::SeqCst);
    }

    /// He no longer is.
    pub(crate) fn unwatch(&self, wanted: Idleness, place: Option<u64>) {
        self.watchers.fetch_sub(1, Ordering::SeqCst);
        if wanted.of.is_some() {
            self.worker_watchers.fetch_sub(1, Ordering::SeqCst);
        }
        let mut state = self.state.lock();
        let unused = place.and_then(|place| state.idle.remove(place));
        drop(state);
        drop(unused);
    }

    pub(crate) fn pause(&self) {
        let mut state = self.state.lock();
        // A service that drains is not to be held up.
        let is_open = state.gate() == Gate::Open;
        state.set_paused(is_open);
    }

    pub(crate) fn resume(&self) {
        let mut state = self.state.lock();
        let woken = state.resume();
        drop(state);
        wake_all(woken);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state.lock().is_paused()
    }

    /// Whether anybody may come in. A hint: `push` decides.
    pub(crate) fn is_open(&self) -> bool {
        // ORDERING: acquire, so that whoever saw the stop of a service sees what came before it.
        self.is_open.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().gate() == Gate::Closed
    }

    pub(crate) fn status(&self) -> QueueStatus {
        self.state.lock().status()
    }

    /// How many wait for this worker alone.
    pub(crate) fn assigned(&self, id: WorkerId) -> usize {
        self.state.lock().lanes.own_len(id)
    }

    /// Lets in only what comes from inside, until nothing is left; then closes.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        if state.gate() != Gate::Open {
            return;
        }
        state.set_gate(Gate::Draining);
        self.is_open.store(false, Ordering::Release);
        // Never taken back: from now on every job's end may be the last.
        self.watchers.fetch_add(1, Ordering::SeqCst);
        state.set_paused(false);
        // All of them, not only as many as there are items: one that holds jobs and waits for more is to finish.
        let mut woken = state.sleepers.take_all();
        woken.extend(state.rouse());
        drop(state);
        wake_all(woken);
    }

    /// Lets nothing in any more, and gives out what is there.
    pub(crate) fn close(&self) -> Vec<I> {
        let mut state = self.state.lock();
        state.set_gate(Gate::Closed);
        self.is_open.store(false, Ordering::Release);
        state.set_paused(false);
        let items = state.lanes.drain();
        self.note_more(&state);
        let mut woken = state.sleepers.take_all();
        woken.extend(state.rouse());
        drop(state);
        wake_all(woken);
        items
    }

    /// Serves a worker, from now on.
    pub(crate) fn seat(&self, worker: Arc<WorkerRecord>) {
        self.state.lock().lanes.seat(worker);
    }

    /// Serves `heir` in the place of a worker that was given up. False: that one was not served.
    pub(crate) fn succeed(&self, lost: WorkerId, heir: Arc<WorkerRecord>) -> bool {
        let mut state = self.state.lock();
        let has_seat = state.lanes.succeed(lost, heir);
        let woken = state.rouse();
        drop(state);
        wake_all(woken);
        has_seat
    }

    /// Has a worker look up: it was told to leave, or has mail. What was assigned to one that leaves is for others.
    pub(crate) fn recall(&self, worker: &WorkerRecord) {
        let mut state = self.state.lock();
        let id = worker.id;
        let mut woken: Vec<_> = state.sleepers.take(id).into_iter().collect();
        if worker.is_retired() {
            woken.extend(state.sleepers.take_broken(id));
            if !worker.is_lost() {
                let released = state.lanes.release(id);
                woken.extend(state.take_sleepers(released));
            }
        }
        drop(state);
        wake_all(woken);
    }

    /// Serves a worker no longer.
    pub(crate) fn unseat(&self, id: WorkerId) {
        let mut state = self.state.lock();
        let released = state.lanes.unseat(id);
        let unused = (state.sleepers.take(id), state.sleepers.take_broken(id));
        let mut woken = state.rouse();
        woken.extend(state.take_sleepers(released));
        // The rest may be broken, all of them, now.
        woken.extend(state.sleepers.rouse_all_broken());
        drop(state);
        drop(unused);
        wake_all(woken);
    }

    /// A worker waits inside a request from now on, and a spare one is there.
    pub(crate) fn worker_waits(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        let woken: Vec<_> = if state.is_hopeless() {
            state.sleepers.rouse_all_broken().collect()
        } else {
            Vec::new()
        };
        drop(state);
        wake_all(woken);
    }

    /// It waits no longer.
    pub(crate) fn worker_goes_on(&self) {
        self.state.lock().waiting -= 1;
    }

    /// The hand of a worker that is served.
    pub(crate) fn hand_of(&self, worker: &WorkerRecord) -> Option<Arc<Hand<I>>> {
        self.state.lock().lanes.hand_of(worker.id)
    }

    /// The workers that are served, in the order in which they came.
    pub(crate) fn seats(&self) -> Vec<Arc<WorkerRecord>> {
        self.state.lock().lanes.workers().cloned().collect()
    }
}

/// Lets time pass without sleeping, which would take far longer.
fn look_on(time: Duration) {
    let begin = now();
    while now().saturating_duration_since(begin) < time {
        for _ in 0..4 {
            std::hint::spin_loop();
        }
    }
}
