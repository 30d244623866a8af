//! What processors need that have their work done elsewhere: to hear of kills, and to be made anew.

use std::hash::Hash;

use crate::jobs::Jobs;
use crate::loss::Loss;
use crate::sync::Arc;

impl<R, T> Jobs<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Has `give_up` called when all that this worker has is given up, with the reason, before any of it is settled, on the
    /// thread of whoever does that; unless `run` has returned by then, which learns of it by itself.
    ///
    /// For processors that send requests elsewhere: they can tell which of these had begun there, and
    /// [give back](crate::Job::give_back) the others. What is not ended then is settled with that reason.
    pub fn on_given_up(&mut self, give_up: impl Fn(Loss) + Send + Sync + 'static) {
        self.desk.record.set_keeper(Some(Arc::new(give_up)));
    }

    /// Has this worker's processor made anew by the factory when `run` returns, as after a panic.
    pub fn renew(&mut self) {
        self.desk.record.spoil();
    }

    /// The same, because what does the worker's work has failed: where it has given no output since it was made, there is
    /// another one after 10 ms, and after twice as long every further time, up to a second.
    pub fn renew_with_backoff(&mut self) {
        self.has_failed = true;
        self.renew();
    }
}
