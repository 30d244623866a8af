//! Many requests at once.
//!
//! A caller who queues one by one takes two locks for each, and subscribes to a run that a worker may be busy
//! with. In bulk the runs are made, entered and subscribed to first, then pushed all together, so that workers meet
//! finished work.
//!
//! The input may be lazy, and slow: so no more is taken from it ahead than it gave in the last
//! [`PATIENCE`] or so, and nothing of it is entered before the input has given it. An input that uses the same service
//! meets nothing half done.

use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::dispatcher::{Dispatcher, Entered, Entry};
use crate::promise::Promise;
use crate::promise_set::PromiseSet;
use crate::state::Ticket;
use crate::sync::Arc;
use crate::terms::Terms;

/// How long a request may wait for others to be pushed with.
const PATIENCE: Duration = Duration::from_micros(50);
/// The most that are pushed at once.
const MOST: usize = 256;

pub(crate) struct Bulk<'a, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    home: &'a Arc<Dispatcher<R, T>>,
    /// Entered, and not pushed yet: others may have joined them, so they are pushed whatever happens.
    unpushed: Vec<Arc<Entry<R, T>>>,
}

impl<'a, R, T> Bulk<'a, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(home: &'a Arc<Dispatcher<R, T>>) -> Self {
        let unpushed = Vec::new();
        Self { home, unpushed }
    }

    pub(crate) fn queue(mut self, mut requests: impl Iterator<Item = R>) -> PromiseSet<R, T> {
        let set = PromiseSet::new();
        let mut taken = Vec::new();
        let mut most = 1;
        loop {
            let begin = Instant::now();
            taken.extend(requests.by_ref().take(most));
            if taken.is_empty() {
                return set;
            }
            let is_fast = begin.elapsed() < PATIENCE;
            for request in taken.drain(..) {
                set.insert(self.enter(request));
            }
            self.home.push_many(&mut self.unpushed);
            most = if is_fast { MOST.min(2 * most) } else { 1 };
        }
    }

    fn enter(&mut self, request: R) -> Promise<R, T> {
        let ticketed = match self.home.enter(request, Terms::USUAL) {
            Ok(Entered::Joined(ticketed)) => ticketed,
            Ok(Entered::Leads(entry)) => {
                self.unpushed.push(Arc::clone(&entry));
                (entry, Ticket::FIRST)
            }
            Err(refused) => self.home.stopped(refused.into_request()),
        };
        Promise::new(ticketed)
    }
}

/// Also where `Hash` or `Eq` of the user's panic in between.
impl<R, T> Drop for Bulk<'_, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.home.push_many(&mut self.unpushed);
    }
}
