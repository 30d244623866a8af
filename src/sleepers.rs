//! The workers that wait: for something to do, or for a processor.

use std::task::Waker;

use crate::status::WorkerId;

/// Kept under the queue's lock. What its methods give out is foreign, and is woken or dropped after that lock.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    /// Those that found nothing. The last one to fall asleep is the first to be woken: its memory is the
    /// warmest.
    asleep: Vec<(WorkerId, Waker)>,
    /// Those that have no processor and wait for the time to try again. They take no items, unless all workers
    /// are beyond hope.
    broken: Vec<Broken>,
}

/// A worker without a processor.
#[derive(Debug)]
struct Broken {
    id: WorkerId,
    /// Whether its factory has failed too often to wait for it.
    is_hopeless: bool,
    waker: Option<Waker>,
}

impl Sleepers {
    /// A worker falls asleep; gives back a waker that is no longer needed.
    pub(crate) fn sleep(&mut self, id: WorkerId, waker: Waker) -> Option<Waker> {
        match self.asleep.iter_mut().find(|(sleeper, _)| *sleeper == id) {
            Some((_, slot)) => Some(std::mem::replace(slot, waker)),
            None => {
                self.asleep.push((id, waker));
                None
            }
        }
    }

    /// A worker sleeps no longer; `None` if it did not.
    pub(crate) fn take(&mut self, id: WorkerId) -> Option<Waker> {
        let index = self.asleep.iter().position(|(sleeper, _)| *sleeper == id)?;
        Some(self.asleep.remove(index).1)
    }

    /// The one to wake for something that any of them can do.
    pub(crate) fn take_next(&mut self) -> Option<Waker> {
        self.asleep.pop().map(|(_, waker)| waker)
    }

    /// A worker has no processor; gives back a waker that is no longer needed.
    pub(crate) fn add_broken(
        &mut self,
        id: WorkerId,
        is_hopeless: bool,
        waker: Waker,
    ) -> Option<Waker> {
        let unused = self.take_broken(id);
        self.broken.push(Broken {
            id,
            is_hopeless,
            waker: Some(waker),
        });
        unused
    }

    /// A worker has a processor again, or is no more.
    pub(crate) fn take_broken(&mut self, id: WorkerId) -> Option<Waker> {
        let index = self.broken.iter().position(|broken| broken.id == id)?;
        self.broken.swap_remove(index).waker
    }

    /// Has a worker without a processor look up, if it waits.
    pub(crate) fn rouse_broken(&mut self, id: WorkerId) -> Option<Waker> {
        let mut broken = self.broken.iter_mut();
        broken.find(|broken| broken.id == id)?.waker.take()
    }

    /// Has all workers without a processor look up.
    pub(crate) fn rouse_all_broken(&mut self) -> impl Iterator<Item = Waker> {
        self.broken
            .iter_mut()
            .filter_map(|broken| broken.waker.take())
    }

    /// Has everybody look up.
    pub(crate) fn take_all(&mut self) -> Vec<Waker> {
        let mut woken: Vec<_> = self.asleep.drain(..).map(|(_, waker)| waker).collect();
        woken.extend(self.rouse_all_broken());
        woken
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.asleep.is_empty() && self.broken.is_empty()
    }

    /// How many workers have no processor, and are unlikely to get one soon.
    pub(crate) fn hopeless(&self) -> usize {
        let hopeless = self.broken.iter().filter(|broken| broken.is_hopeless);
        hopeless.count()
    }
}
