//! Futures that are polled when they are woken, each in a slot that is used again.
//!
//! As `FuturesUnordered` does it, but for the slots: a future is put where another one was, so that none but the first
//! in a slot costs an allocation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use crate::panic::catch;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use crate::task::Task;
use crate::wakers::wake_all;

/// A set of futures, and which of them have been woken.
pub(super) struct Slots<F> {
    slots: Vec<Slot<F>>,
    free: Vec<u32>,
    woken: Arc<Mutex<Woken>>,
    /// Those that have been taken out of `woken`, and not been polled; the next one last.
    due: Vec<u32>,
    /// How many wait for requests of this crate.
    waiting: usize,
}

struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    task: Task,
    /// Whether it is among those that wait.
    waits: bool,
    origin: Arc<SlotWaker>,
    /// Made of that.
    waker: Waker,
}

/// What a future wakes: its slot.
struct SlotWaker {
    index: u32,
    /// Whether the slot is among the woken. Set by whoever wakes, and cleared before the future is polled.
    is_woken: AtomicBool,
    woken: Arc<Mutex<Woken>>,
}

/// Slots whose futures want to be polled, and who polls them.
#[derive(Default)]
struct Woken {
    slots: Vec<u32>,
    poller: Option<Waker>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: acquire and release, against the swap before a poll: whoever finds it set knows that the poll, which
        // clears it first, sees what he did.
        if self.is_woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut woken = self.woken.lock();
        woken.slots.push(self.index);
        let poller = woken.poller.take();
        // LOCK: released before anybody is woken.
        drop(woken);
        wake_all(poller);
    }
}

impl<F: Future> Slots<F> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            woken: Arc::default(),
            due: Vec::new(),
            waiting: 0,
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// How many there are that do not wait for requests of this crate.
    pub(super) fn working(&self) -> usize {
        self.slots.len() - self.free.len() - self.waiting
    }

    /// How many do.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts a future in, and polls it at once.
    pub(super) fn begin(&mut self, future: F) -> Option<F::Output> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                // No more than requests are in flight, and those are counted by 32 bits.
                let index = self.slots.len() as u32;
                self.slots.push(Slot::new(index, Arc::clone(&self.woken)));
                index
            }
        };
        self.slots[index as usize].future.set(Some(future));
        self.poll_slot(index)
    }

    /// The outcome of the next future that is ready, after polling no more of them than `budget` has, each of which it
    /// takes from it. Pending: nobody is woken, and the task is when somebody is; or the budget is spent.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, budget: &mut u32) -> Poll<F::Output> {
        loop {
            while *budget > 0
                && let Some(index) = self.due.pop()
            {
                *budget -= 1;
                if let Some(output) = self.poll_slot(index) {
                    return Poll::Ready(output);
                }
            }
            if *budget == 0 || !self.fetch(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Fetches those that have been woken; if there are none, has the task woken when there are.
    fn fetch(&mut self, poller: &Waker) -> bool {
        let mut woken = self.woken.lock();
        let knows = |known: &Waker| known.will_wake(poller);
        let mut unused = None;
        if woken.slots.is_empty() && !woken.poller.as_ref().is_some_and(knows) {
            // LOCK: a clone is foreign code. What is woken meanwhile is found below.
            drop(woken);
            let poller = poller.clone();
            woken = self.woken.lock();
            unused = woken.poller.replace(poller);
        }
        std::mem::swap(&mut woken.slots, &mut self.due);
        drop(woken);
        drop(unused);
        // In the order in which they were woken.
        self.due.reverse();
        !self.due.is_empty()
    }

    fn poll_slot(&mut self, index: u32) -> Option<F::Output> {
        let slot = &mut self.slots[index as usize];
        slot.origin.is_woken.swap(false, Ordering::AcqRel);
        let mut cx = Context::from_waker(&slot.waker);
        // One that was there before may have been woken for nothing.
        let future = slot.future.as_mut().as_pin_mut()?;
        let polled = slot.task.poll(|| future.poll(&mut cx));
        self.waiting -= usize::from(slot.waits);
        let Poll::Ready(output) = polled else {
            slot.waits = slot.task.waits();
            self.waiting += usize::from(slot.waits);
            return None;
        };
        slot.waits = false;
        slot.future.set(None);
        self.free.push(index);
        Some(output)
    }
}

impl<F> Slots<F> {
    /// Drops them all, whatever their drops do.
    pub(super) fn clear(&mut self) {
        for slot in &mut self.slots {
            if slot.future.is_some() {
                let _ = catch(|| slot.future.set(None));
                slot.waits = false;
                self.free.push(slot.origin.index);
            }
        }
        self.waiting = 0;
    }
}

/// A panic in the drop of one of them harms nobody else.
impl<F> Drop for Slots<F> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<F> Slot<F> {
    fn new(index: u32, woken: Arc<Mutex<Woken>>) -> Self {
        let origin = Arc::new(SlotWaker {
            index,
            is_woken: AtomicBool::new(false),
            woken,
        });
        let waker = Waker::from(Arc::clone(&origin));
        Self {
            future: Box::pin(None),
            task: Task::default(),
            waits: false,
            origin,
            waker,
        }
    }
}
