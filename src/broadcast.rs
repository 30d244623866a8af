//! A closure on every worker's processor.

use std::fmt;
use std::ops::Deref;

use crate::caller::Caller;
use crate::desk::{Begun, Desk};
use crate::dispatcher::{Dispatcher, Entry};
use crate::error::Failure;
use crate::in_flight::KeyHash;
use crate::job::Job;
use crate::mail::Order;
use crate::processor::Processor;
use crate::promise::Promise;
use crate::record::WorkerRecord;
use crate::service::ProcessorService;
use crate::state::Ticket;
use crate::status::WorkerId;
use crate::sync::Arc;
use crate::terms::Terms;

/// Closures on processors.
impl<P: Processor> ProcessorService<P> {
    /// Calls `f` with the processor of each worker, once, between two of its jobs, and gives a promise for each
    /// answer. Returns at once.
    ///
    /// A worker that is busy answers when it has finished what it has, and holds nobody up; a pause does not hold it
    /// up either. What was broadcast is forgotten: a worker that is added later, or whose processor is made again,
    /// begins with what the factory makes. So what is to last belongs into the factory too, for example as
    /// an `Arc<Mutex<_>>` of settings that it reads.
    ///
    /// A closure that panics settles its promise with [`Failure::Panicked`], and the worker's processor is made
    /// again. A worker that ends before it answers settles it with [`Failure::WorkerLost`] or [`Failure::Stopped`].
    ///
    /// ```
    /// use parallel_workers::{Context, Processor, ProcessorService};
    ///
    /// struct Scale(u64);
    ///
    /// impl Processor for Scale {
    ///     type Request = u64;
    ///     type Output = u64;
    ///
    ///     fn process(&mut self, n: &u64, _: &Context) -> u64 {
    ///         n * self.0
    ///     }
    /// }
    ///
    /// let service = ProcessorService::start(2, || Scale(1))?;
    /// let answers = service.broadcast(|scale: &mut Scale| std::mem::replace(&mut scale.0, 10));
    /// for (worker, before) in answers.wait() {
    ///     assert_eq!(before, Ok(&1), "worker {worker}");
    /// }
    /// assert_eq!(*service.queue_request(7).wait()?, 70);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "put!")]
    #[doc(alias = "@everywhere")]
    #[doc(alias = "update_userfunc")]
    pub fn broadcast<A, F>(&self, f: F) -> Broadcast<A>
    where
        A: Send + Sync + 'static,
        F: Fn(&mut P) -> A + Send + Sync + 'static,
    {
        let home = Arc::new(Dispatcher::for_answers(self.home().id));
        let function = Arc::new(f);
        let ask = |worker: &Arc<WorkerRecord>| {
            let terms = Terms {
                line: Some(worker.id),
                ..Terms::UNSHARED
            };
            let entry = home.entry(worker.id, KeyHash(0), terms, Caller::here());
            let question = Question {
                entry: Arc::clone(&entry),
                home: Arc::clone(&home),
                function: Arc::clone(&function),
                worker: Arc::clone(worker),
            };
            (Promise::new((entry, Ticket::FIRST)), question)
        };
        let asked = self.pool.post(|worker| {
            let (promise, question) = ask(worker);
            (promise, Box::new(question))
        });
        Broadcast(asked)
    }
}

/// The answers of all workers to [`ProcessorService::broadcast`], in the order of the workers.
///
/// It is a slice of promises, whose requests are the workers' ids: each can be awaited, called back from, and
/// aborted before its worker comes to it. [`into_iter`](IntoIterator::into_iter) gives the promises themselves,
/// to be put into a [`PromiseSet`](crate::PromiseSet), which yields them in the order in which they come.
#[must_use = "the answers say whether the workers have got it"]
pub struct Broadcast<A>(Vec<Promise<WorkerId, A>>);

impl<A> Broadcast<A> {
    /// All the answers, each with the worker who gave it.
    ///
    /// # Errors
    ///
    /// Each answer says for itself why there is none. On the thread of one of these workers, its own answer is
    /// [`Failure::WouldDeadlock`]: it comes after the request that waits here.
    ///
    /// # Blocking
    ///
    /// Until all have answered.
    pub fn wait(&self) -> Vec<(WorkerId, Result<&A, Failure>)> {
        let answers = self.0.iter();
        answers
            .map(|promise| (*promise.request(), promise.wait()))
            .collect()
    }
}

impl<A> Deref for Broadcast<A> {
    type Target = [Promise<WorkerId, A>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<A> IntoIterator for Broadcast<A> {
    type Item = Promise<WorkerId, A>;
    type IntoIter = std::vec::IntoIter<Promise<WorkerId, A>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<A: fmt::Debug> fmt::Debug for Broadcast<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broadcast").field(&self.0).finish()
    }
}

/// One worker's order to answer.
struct Question<A, F> {
    entry: Arc<Entry<WorkerId, A>>,
    home: Arc<Dispatcher<WorkerId, A>>,
    function: Arc<F>,
    worker: Arc<WorkerRecord>,
}

impl<P, A, F> Order<P> for Question<A, F>
where
    A: Send + Sync + 'static,
    F: Fn(&mut P) -> A + Send + Sync,
{
    fn carry_out(self: Box<Self>, processor: &mut P) -> bool {
        let Self {
            entry,
            home,
            function,
            worker,
        } = *self;
        // A record of its own, so that an answer is not counted among the worker's requests.
        let record = Arc::new(worker.heir(worker.id));
        let Some(place) = home.start(&entry, &record, 0, 0) else {
            // It was aborted.
            return true;
        };
        let desk = Arc::new(Desk {
            home,
            record: Arc::clone(&record),
        });
        let begun = Begun {
            entry,
            place,
            line: None,
        };
        Job::new(begun, desk).process(|_, _| function(processor));
        !record.is_spoilt()
    }

    fn give_up(self: Box<Self>, failure: Failure) {
        if self.entry.run.state_word().withdraw() {
            self.home.end_queued(&self.entry, failure);
        }
    }
}
