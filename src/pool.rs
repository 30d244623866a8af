//! The threads of a service: started together, and seen to their end.

use std::hash::Hash;
use std::task::Waker;
use std::time::Instant;

use crate::blocking::{block_on, block_until};
use crate::current::WorkerThread;
use crate::dispatcher::Dispatcher;
use crate::error::StartError;
use crate::job::Desk;
use crate::processor::Processor;
use crate::record::WorkerRecord;
use crate::status::WorkerId;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Mutex};
use crate::wakers::{Wakers, wake_all};
use crate::worker::{Factory, Worker};

/// The workers of one service.
pub(crate) struct Pool<P: Processor> {
    home: Arc<Dispatcher<P::Request, P::Output>>,
    factory: Arc<Factory<P>>,
    /// Numbers the workers, and names them: `name-0`, `name-1`, and so on.
    name: String,
    next: Mutex<u32>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    alive: Arc<Alive>,
}

impl<P: Processor> Pool<P> {
    /// Starts `n` workers; when it returns, each has its processor. If one cannot be had, all are ended.
    pub(crate) fn start(
        home: Arc<Dispatcher<P::Request, P::Output>>,
        factory: Arc<Factory<P>>,
        name: String,
        n: usize,
    ) -> Result<Self, StartError> {
        let alive = Arc::default();
        let pool = Self {
            home,
            factory,
            name,
            next: Mutex::new(0),
            threads: Mutex::default(),
            alive,
        };
        let beginnings: Vec<_> = (0..n).map(|_| Arc::new(Beginning::default())).collect();
        let spawned: Result<(), _> = beginnings
            .iter()
            .try_for_each(|begun| pool.spawn(Arc::clone(begun)));
        let started = spawned.and_then(|()| beginnings.iter().try_for_each(|begun| begun.wait()));
        match started {
            Ok(()) => Ok(pool),
            Err(error) => {
                pool.home.close();
                pool.join(None);
                Err(error)
            }
        }
    }

    /// Whether all threads have come to their end by `deadline`.
    pub(crate) fn join(&self, deadline: Option<Instant>) -> bool {
        let is_over = self.alive.wait_for_none(deadline);
        if is_over {
            let threads = std::mem::take(&mut *self.threads.lock());
            // They have nothing left to do but to end. One that panics in a thread-local of the user's has been
            // told of by the panic hook.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        }
        is_over
    }

    fn spawn(&self, begun: Arc<Beginning>) -> Result<(), StartError> {
        let mut next = self.next.lock();
        let id = WorkerId(*next);
        let name = format!("{}-{}", self.name, *next);
        *next += 1;
        drop(next);

        let record = Arc::new(WorkerRecord::new(id, name.clone()));
        let desk = Arc::new(Desk {
            home: Arc::clone(&self.home),
            record: Arc::clone(&record),
        });
        let factory = Arc::clone(&self.factory);
        let alive = AliveThread::new(&self.alive);
        // Before its thread runs, so that workers are listed in the order of their numbers.
        self.home.counters.arrive(Arc::clone(&record));
        self.home.queue.seat(record);
        let main = move || {
            // Dropped last, whatever happens before.
            let _alive = alive;
            live::<P>(desk, factory, &begun);
        };
        match thread::Builder::new().name(name.clone()).spawn(main) {
            Ok(thread) => {
                self.threads.lock().push(thread);
                Ok(())
            }
            Err(source) => {
                leave(&self.home, id);
                Err(StartError::Thread {
                    worker: name,
                    source,
                })
            }
        }
    }
}

/// The life of a worker's thread.
fn live<P: Processor>(
    desk: Arc<Desk<P::Request, P::Output>>,
    factory: Arc<Factory<P>>,
    begun: &Beginning,
) {
    let Desk { home, record } = &*desk;
    let _inside = WorkerThread::enter(home.id, Arc::clone(record));
    let worker = Worker::<P>::new(Arc::clone(&desk), factory);
    match worker.begin() {
        Err(error) => begun.set(Err(error)),
        Ok(processor) => {
            begun.set(Ok(()));
            worker.work(processor);
        }
    }
    leave(home, record.id);
}

/// A worker is no more.
fn leave<R, T>(home: &Dispatcher<R, T>, id: WorkerId)
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    home.queue.unseat(id);
    home.counters.depart(id);
}

/// What became of a worker's start.
#[derive(Default)]
struct Beginning(Mutex<Begun>);

#[derive(Default)]
struct Begun {
    result: Option<Result<(), StartError>>,
    waiting: Option<Waker>,
}

impl Beginning {
    fn set(&self, result: Result<(), StartError>) {
        let mut begun = self.0.lock();
        begun.result = Some(result);
        let woken = begun.waiting.take();
        drop(begun);
        wake_all(woken);
    }

    fn wait(&self) -> Result<(), StartError> {
        block_on(|waker| {
            let mut begun = self.0.lock();
            begun.waiting = Some(waker.clone());
            begun.result.take()
        })
    }
}

/// How many threads there are, and who waits for there to be none.
#[derive(Default)]
struct Alive(Mutex<(usize, Wakers)>);

impl Alive {
    fn wait_for_none(&self, deadline: Option<Instant>) -> bool {
        let mut place = None;
        let is_over = block_until(deadline, |waker| {
            let mut alive = self.0.lock();
            if alive.0 == 0 {
                return Some(());
            }
            // The waker is a thread's of this crate; nothing foreign is dropped here.
            alive.1.register(&mut place, waker.clone());
            None
        });
        if let Some(place) = place {
            self.0.lock().1.remove(place);
        }
        is_over.is_some()
    }
}

/// One of them.
struct AliveThread(Arc<Alive>);

impl AliveThread {
    fn new(alive: &Arc<Alive>) -> Self {
        alive.0.lock().0 += 1;
        Self(Arc::clone(alive))
    }
}

impl Drop for AliveThread {
    fn drop(&mut self) {
        let mut alive = self.0.0.lock();
        alive.0 -= 1;
        let woken = if alive.0 == 0 {
            alive.1.take()
        } else {
            Vec::new()
        };
        drop(alive);
        wake_all(woken);
    }
}
