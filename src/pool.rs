//! The threads of a service: started together, and seen to their end.

use std::hash::Hash;
use std::io;
use std::task::Waker;
use std::time::Instant;

use crate::alive::{Alive, AliveThread, EndOfThread};
use crate::beginning::Beginning;
use crate::current::WorkerThread;
use crate::desk::Desk;
use crate::dispatcher::Dispatcher;
use crate::error::{Failure, StartError};
use crate::loss::Loss;
use crate::mail::{Mail, Order};
use crate::processor::Processor;
use crate::record::WorkerRecord;
use crate::spares::Spares;
use crate::status::WorkerId;
use crate::supervisor::{Factory, Supervisor};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Mutex};

/// The workers of one service.
pub(crate) struct Pool<P: Processor> {
    pub(crate) home: Arc<Dispatcher<P::Request, P::Output>>,
    factory: Arc<Factory<P>>,
    /// What workers without a name of their own are named after.
    name: String,
    /// The number of the next worker. Held while workers come or are told to go, so that names stay unique and
    /// counts right; not while a processor is made.
    pub(crate) next: Mutex<u32>,
    pub(crate) spares: Arc<Spares>,
    threads: Mutex<Vec<Thread<P>>>,
    alive: Arc<Alive>,
}

/// The end of all threads of a service.
pub(crate) struct EndOfThreads {
    spares: Arc<Spares>,
    alive: Arc<Alive>,
}

impl EndOfThreads {
    /// Whether it has come; if not, `waker` is woken when it does.
    pub(crate) fn poll(&self, place: &mut Option<u64>, waker: &Waker) -> bool {
        self.spares.end_lingering();
        self.alive.poll_none(place, waker)
    }

    /// Nobody waits at `place` for that any more.
    pub(crate) fn leave(&self, place: Option<u64>) {
        self.alive.leave(place);
    }
}

/// A worker's thread.
struct Thread<P> {
    record: Arc<WorkerRecord>,
    mail: Arc<Mail<P>>,
    handle: JoinHandle<()>,
    /// Emptied when the thread ends, or is lost.
    alive: Arc<Mutex<Option<AliveThread>>>,
}

/// A worker whose thread has been started.
struct Started {
    record: Arc<WorkerRecord>,
    beginning: Arc<Beginning>,
}

impl<P: Processor> Pool<P> {
    /// Starts a service's first `n` workers, with so many spare ones at most. If one cannot be had, all are ended.
    pub(crate) fn start(
        home: Arc<Dispatcher<P::Request, P::Output>>,
        factory: Arc<Factory<P>>,
        name: String,
        n: usize,
        spares: usize,
    ) -> Result<Arc<Self>, StartError> {
        let pool = Arc::new(Self {
            home,
            factory,
            name,
            next: Mutex::new(0),
            threads: Mutex::default(),
            alive: Arc::default(),
            spares: Arc::new(Spares::new(spares)),
        });
        match pool.add(n) {
            Ok(_) => Ok(pool),
            Err(error) => {
                pool.home.close();
                pool.join(None);
                Err(error)
            }
        }
    }

    /// What workers are named after.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Adds `n` workers; when it returns, each has its processor. If one cannot be had, none of them stays.
    pub(crate) fn add(self: &Arc<Self>, n: usize) -> Result<Vec<WorkerId>, StartError> {
        let mut next = self.next.lock();
        let started = self.spawn_many(&mut next, n);
        drop(next);
        self.await_all(started)
    }

    /// Adds a worker with a name of its own.
    pub(crate) fn add_named(self: &Arc<Self>, name: String) -> Result<WorkerId, StartError> {
        let mut next = self.next.lock();
        if self.is_taken(&name) {
            return Err(StartError::NameTaken { worker: name });
        }
        let started = self.spawn(&mut next, name)?;
        drop(next);
        let id = started.record.id;
        self.await_all((vec![started], Ok(()))).map(|_| id)
    }

    /// Adds workers, or tells the youngest to leave, until there are `n`.
    pub(crate) fn resize(self: &Arc<Self>, n: usize) -> Result<(), StartError> {
        let mut next = self.next.lock();
        let staying = self.home.counters.present();
        let staying: Vec<_> = staying
            .iter()
            .filter(|worker| !worker.is_retired())
            .collect();
        staying
            .iter()
            .skip(n)
            .for_each(|worker| _ = retire(&self.home, worker));
        let missing = n.saturating_sub(staying.len());
        let started = self.spawn_many(&mut next, missing);
        drop(next);
        self.await_all(started).map(drop)
    }

    /// Whether all threads have come to their end by `deadline`.
    pub(crate) fn join(&self, deadline: Option<Instant>) -> bool {
        self.spares.end_lingering();
        let is_over = self.alive.wait_for_none(deadline);
        if is_over {
            let threads = std::mem::take(&mut *self.threads.lock());
            // They have nothing left to do but to end. One that panics in a thread-local of the user's has been
            // told of by the panic hook.
            threads
                .into_iter()
                .for_each(|thread| drop(thread.handle.join()));
        }
        is_over
    }

    /// The end of all threads, for a task to wait for.
    pub(crate) fn end(&self) -> EndOfThreads {
        EndOfThreads {
            spares: Arc::clone(&self.spares),
            alive: Arc::clone(&self.alive),
        }
    }

    /// Those that could be started, and why the next one could not.
    fn spawn_many(
        self: &Arc<Self>,
        next: &mut u32,
        n: usize,
    ) -> (Vec<Started>, Result<(), StartError>) {
        let mut started = Vec::new();
        for _ in 0..n {
            while self.is_taken(&format!("{}-{next}", self.name)) {
                *next += 1;
            }
            match self.spawn(next, format!("{}-{next}", self.name)) {
                Ok(worker) => started.push(worker),
                Err(error) => return (started, Err(error)),
            }
        }
        (started, Ok(()))
    }

    fn await_all(
        &self,
        (started, spawned): (Vec<Started>, Result<(), StartError>),
    ) -> Result<Vec<WorkerId>, StartError> {
        let begun = spawned.and_then(|()| started.iter().try_for_each(|one| one.beginning.wait()));
        match begun {
            Ok(()) => Ok(started.iter().map(|one| one.record.id).collect()),
            Err(error) => {
                started
                    .iter()
                    .for_each(|one| _ = retire(&self.home, &one.record));
                Err(error)
            }
        }
    }

    fn is_taken(&self, name: &str) -> bool {
        self.home
            .counters
            .present()
            .iter()
            .any(|worker| *worker.name == *name)
    }

    /// Starts a worker that its caller waits for.
    fn spawn(self: &Arc<Self>, next: &mut u32, name: String) -> Result<Started, StartError> {
        if name.contains('\0') {
            return Err(StartError::BadName { worker: name });
        }
        if !self.home.queue.is_open() {
            return Err(StartError::Stopped { worker: name });
        }
        let beginning = Arc::new(Beginning::default());
        let record = Arc::new(WorkerRecord::new(WorkerId(*next), name.into()));
        *next += 1;
        self.home.queue.seat(Arc::clone(&record));
        self.spawn_thread(&record, Some(Arc::clone(&beginning)))?;
        Ok(Started { record, beginning })
    }

    /// Starts the thread of a worker that has its seat.
    pub(crate) fn spawn_thread(
        self: &Arc<Self>,
        record: &Arc<WorkerRecord>,
        beginning: Option<Arc<Beginning>>,
    ) -> Result<(), StartError> {
        // Before its thread runs, so that workers are listed in the order of their numbers.
        self.home.counters.arrive(Arc::clone(record));
        let refused = self.try_thread(record, beginning);
        refused.map_err(|source| {
            leave(&self.home, record);
            no_thread(record, source)
        })
    }

    /// Starts the thread of a worker that is listed, if the operating system gives one.
    pub(crate) fn try_thread(
        self: &Arc<Self>,
        record: &Arc<WorkerRecord>,
        beginning: Option<Arc<Beginning>>,
    ) -> io::Result<()> {
        let desk = Arc::new(Desk {
            home: Arc::clone(&self.home),
            record: Arc::clone(record),
        });
        let factory = Arc::clone(&self.factory);
        let mail = Arc::new(Mail::new());
        let alive = Arc::new(Mutex::new(Some(self.alive())));
        let end = EndOfThread(Arc::clone(&alive));
        let own_mail = Arc::clone(&mail);
        let reserve = Arc::new(Arc::downgrade(self));
        let main = move || {
            // Dropped last, whatever happens before.
            let _end = end;
            let _inside = WorkerThread::enter(desk.home.id, Arc::clone(&desk.record), reserve);
            live::<P>(desk, factory, own_mail, beginning.as_deref());
        };
        let builder = thread::Builder::new().name(record.name.to_string());
        let handle = builder.spawn(main)?;
        let mut threads = self.threads.lock();
        // Those of workers that have left need not be joined.
        threads.retain(|thread| !thread.handle.is_finished());
        threads.push(Thread {
            record: Arc::clone(record),
            mail,
            handle,
            alive,
        });
        Ok(())
    }

    /// While this lives, whoever joins the threads waits.
    pub(crate) fn alive(&self) -> AliveThread {
        AliveThread::new(&self.alive)
    }

    /// The thread of a lost worker ends when it ends, and its mail is read by nobody.
    pub(crate) fn let_go(&self, id: WorkerId) {
        let mut threads = self.threads.lock();
        let index = threads.iter().position(|thread| thread.record.id == id);
        let thread = index.map(|index| threads.remove(index));
        drop(threads);
        if let Some(thread) = thread {
            let alive = thread.alive.lock().take();
            drop(alive);
            thread.mail.close(&Failure::WorkerLost(Loss::Killed));
        }
    }

    /// Posts an order to each worker that is to stay, and gives what `make` gave beside it.
    pub(crate) fn post<T, O: Order<P> + 'static>(
        &self,
        make: impl Fn(&Arc<WorkerRecord>) -> (T, Box<O>),
    ) -> Vec<T> {
        let threads = self.threads.lock();
        let workers: Vec<_> = threads
            .iter()
            .filter(|thread| {
                let record = &thread.record;
                !record.is_retired() && !record.is_spare() && !thread.handle.is_finished()
            })
            .map(|thread| (Arc::clone(&thread.record), Arc::clone(&thread.mail)))
            .collect();
        // LOCK: released before foreign code may run.
        drop(threads);
        let posted = workers.into_iter().map(|(worker, mail)| {
            let (kept, order) = make(&worker);
            mail.post(&worker, order);
            self.home.queue.recall(&worker);
            kept
        });
        posted.collect()
    }
}

/// Tells a worker to leave once it has finished what it has; false if it was told before.
pub(crate) fn retire<R, T>(home: &Dispatcher<R, T>, worker: &WorkerRecord) -> bool
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let is_news = worker.retire();
    if is_news {
        home.queue.recall(worker);
    }
    is_news
}

/// A worker that the operating system gives no thread.
pub(crate) fn no_thread(worker: &WorkerRecord, source: io::Error) -> StartError {
    StartError::Thread {
        worker: worker.name.to_string(),
        source,
    }
}

/// The life of a worker's thread. With a `beginning`, somebody waits for its processor, and is told if there is
/// none; without, it takes the place of a lost worker, and tries until there is one.
fn live<P: Processor>(
    desk: Arc<Desk<P::Request, P::Output>>,
    factory: Arc<Factory<P>>,
    mail: Arc<Mail<P>>,
    beginning: Option<&Beginning>,
) {
    let Desk { home, record } = &*desk;
    let mut supervisor = Supervisor::<P>::new(Arc::clone(&desk), factory, Arc::clone(&mail));
    let processor = match beginning {
        None => supervisor.revive(),
        Some(beginning) => {
            let (processor, result) = match supervisor.begin() {
                Ok(processor) => (Some(processor), Ok(())),
                Err(error) => (None, Err(error)),
            };
            beginning.set(result);
            processor
        }
    };
    if let Some(processor) = processor {
        supervisor.work(processor);
    }
    mail.close(&if home.queue.is_closed() {
        Failure::Stopped
    } else {
        Failure::WorkerLost(Loss::Left)
    });
    leave(home, record);
    if !record.is_lost() {
        home.observer.worker_left(record);
    }
}

/// A worker is no more.
pub(crate) fn leave<R, T>(home: &Dispatcher<R, T>, worker: &WorkerRecord)
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    // Of a lost one, whoever takes its place has the seat, and what was assigned last.
    let is_end_of_line = !worker.is_lost();
    if is_end_of_line {
        home.queue.unseat(worker.id);
    }
    // Those that nobody holds any more go along, of lines that have ended otherwise too.
    home.last_assigned.lock().retain(|line, (entry, _)| {
        entry.strong_count() > 0 && !(is_end_of_line && *line == worker.line)
    });
    home.counters.depart(worker.id);
    close_if_deserted(home);
}

/// A drain whose last worker has gone has nobody left to finish it.
pub(crate) fn close_if_deserted<R, T>(home: &Dispatcher<R, T>)
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    if !home.queue.is_open() && home.queue.seats().is_empty() {
        home.close();
    }
}
