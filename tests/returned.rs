//! What a backend of one's own has for requests that it sends elsewhere: it gives them back, tries them again, loses them
//! for a reason, hears of kills, and is made anew.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};

use parallel_workers::{
    Abort, Context, Failure, Job, Jobs, Loss, Processor, ProcessorService, QueueError, State,
};
use support::{Gate, limit_time};

type Given = Job<u64, u64>;
type Handle = fn(Given, &mut Jobs<u64, u64>);
type Handler = dyn FnMut(Given, &mut Jobs<u64, u64>);

/// Does with each job what it is told to.
struct Elsewhere(Box<Handler>);

impl Processor for Elsewhere {
    type Request = u64;
    type Output = u64;

    fn process(&mut self, n: &u64, _: &Context<'_>) -> u64 {
        *n
    }

    fn run(&mut self, jobs: &mut Jobs<u64, u64>) {
        while let Some(job) = jobs.next() {
            (self.0)(job, jobs);
        }
    }
}

fn start(workers: usize, handle: Handle) -> ProcessorService<Elsewhere> {
    limit_time();
    ProcessorService::start(workers, move || Elsewhere(Box::new(handle))).unwrap()
}

/// One worker, which hands its jobs to the test.
fn hands_out(capacity: usize) -> (ProcessorService<Elsewhere>, mpsc::Receiver<Given>) {
    limit_time();
    let (sender, jobs) = mpsc::channel();
    let builder = ProcessorService::builder().workers(1).capacity(capacity);
    let service = builder.start(move || {
        let sender = sender.clone();
        Elsewhere(Box::new(move |job, _| sender.send(job).unwrap()))
    });
    (service.unwrap(), jobs)
}

#[test]
fn a_request_that_is_given_back_is_queued_again_and_the_next_to_begin() {
    let (service, jobs) = hands_out(10);
    let first = service.queue_request(1);
    let taken = jobs.recv().unwrap();
    service.pause();
    let second = service.queue_request(2);
    assert_eq!(first.state(), State::Running);
    taken.give_back();
    assert_eq!((first.state(), first.worker()), (State::Queued, None));
    assert_eq!(service.status().queued, 2);
    // An equal one shares it, as it would share any that is queued.
    assert_eq!(service.queue_request(1), first);
    service.resume();
    let taken = jobs.recv().unwrap();
    assert_eq!((*taken.request(), taken.context().attempt()), (1, 1));
    taken.settle(10);
    jobs.recv().unwrap().settle(20);
    assert_eq!((first.wait(), second.wait()), (Ok(&10), Ok(&20)));
}

#[test]
fn a_request_that_is_given_back_can_be_aborted_and_one_that_nobody_wants_is() {
    let (service, jobs) = hands_out(10);
    let returned = service.queue_request(1);
    let taken = jobs.recv().unwrap();
    service.pause();
    taken.give_back();
    assert_eq!(returned.abort(), Abort::Aborted);
    service.resume();
    let unwanted = service.queue_request(2);
    let taken = jobs.recv().unwrap();
    assert_eq!(*taken.request(), 2);
    assert_eq!(unwanted.abort(), Abort::Running);
    taken.give_back();
    assert_eq!(unwanted.try_result(), Some(Err(Failure::Aborted)));
    assert_eq!(service.status().settled.aborted, 2);
}

#[test]
fn a_request_that_is_given_back_takes_up_room_again() {
    let (service, jobs) = hands_out(1);
    let first = service.queue_request(1);
    let taken = jobs.recv().unwrap();
    service.pause();
    taken.give_back();
    assert!(matches!(
        service.try_queue_request(2),
        Err(QueueError::Full(2))
    ));
    service.resume();
    jobs.recv().unwrap().settle(10);
    assert_eq!(first.wait(), Ok(&10));
    service.pause();
    // There is room for one, and no more than one.
    let second = service.try_queue_request(2).unwrap();
    assert!(service.try_queue_request(3).is_err());
    service.resume();
    jobs.recv().unwrap().settle(20);
    assert_eq!(second.wait(), Ok(&20));
}

#[test]
fn an_assigned_request_that_is_given_back_stays_its_workers() {
    let (sender, jobs) = mpsc::channel();
    let service = ProcessorService::start(2, move || {
        let sender = sender.clone();
        let send = move |job: Given, _: &mut Jobs<u64, u64>| sender.send(job).unwrap();
        Elsewhere(Box::new(send))
    });
    let service = service.unwrap();
    let worker = service.worker(service.workers()[1].id).unwrap();
    let promise = worker.assign(1);
    for _ in 0..20 {
        let taken = jobs.recv().unwrap();
        assert_eq!(taken.context().worker(), worker.id());
        taken.give_back();
    }
    jobs.recv().unwrap().settle(10);
    assert_eq!(promise.wait(), Ok(&10));
}

#[test]
fn a_request_that_is_given_back_after_a_stop_that_discards_settles() {
    let (service, jobs) = hands_out(10);
    let promise = service.queue_request(1);
    let taken = jobs.recv().unwrap();
    let handle = service.handle();
    let stopping = thread::spawn(move || service.shutdown(parallel_workers::Shutdown::Discard));
    while handle.try_queue_request(2).is_ok() {
        drop(jobs.try_recv());
    }
    taken.give_back();
    assert_eq!(promise.wait(), Err(Failure::Stopped));
    drop(jobs);
    stopping.join().unwrap();
}

#[test]
fn a_request_that_is_tried_again_knows_it() {
    let service = start(2, |job, _| {
        let attempt = u64::from(job.context().attempt());
        if attempt < *job.request() {
            job.retry();
        } else {
            job.settle(attempt);
        }
    });
    let promises = service.queue_requests([1, 3, 10]);
    promises.wait_for_all_with(|promise| assert_eq!(promise.wait(), Ok(promise.request())));
}

#[test]
fn a_request_is_lost_for_the_reason_that_is_given() {
    let service = start(1, |job, _| match job.request() {
        1 => job.lose(Loss::TimedOut),
        _ => drop(job),
    });
    let timed_out = service.queue_request(1);
    assert_eq!(timed_out.wait(), Err(Failure::WorkerLost(Loss::TimedOut)));
    let dropped = service.queue_request(2);
    assert_eq!(dropped.wait(), Err(Failure::WorkerLost(Loss::Dropped)));
    assert_eq!(service.status().settled.worker_lost, 2);
}

#[test]
fn whoever_kills_a_worker_tells_its_processor_before_anything_settles() {
    limit_time();
    let (told, tells) = mpsc::channel::<(Loss, ThreadId)>();
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let (gate, told) = (inner.clone(), told.clone());
        let keep = move |job: Given, jobs: &mut Jobs<u64, u64>| {
            let (told, kept) = (told.clone(), Mutex::new(Some(job)));
            jobs.on_given_up(move |loss| {
                told.send((loss, thread::current().id())).unwrap();
                // It had not begun.
                let job = kept.lock().unwrap().take();
                job.into_iter().for_each(Job::give_back);
            });
            // It is not told by its intake, for it is not there.
            gate.pass();
        };
        Elsewhere(Box::new(keep))
    });
    let service = service.unwrap();
    let promise = service.queue_request(1);
    gate.wait_for(1);
    let worker = service.worker(service.workers()[0].id).unwrap();
    worker.kill().unwrap();
    let own = thread::current().id();
    assert_eq!(tells.try_recv(), Ok((Loss::Killed, own)));
    // It went to the one that took the place of the first.
    gate.wait_for(2);
    assert_eq!(promise.state(), State::Running);
    service.shutdown(parallel_workers::Shutdown::Abandon);
    assert_eq!(tells.try_recv(), Ok((Loss::Abandoned, own)));
    assert_eq!(promise.wait(), Err(Failure::Stopped));
    gate.open();
}

#[test]
fn a_processor_that_asks_for_it_is_made_anew_and_not_all_the_time_where_it_does_nothing() {
    limit_time();
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let service = ProcessorService::start(1, move || {
        count.fetch_add(1, Ordering::SeqCst);
        let renew = |job: Given, jobs: &mut Jobs<u64, u64>| match job.request() {
            0 => {
                jobs.renew_with_backoff();
                job.give_back();
            }
            n => {
                jobs.renew();
                let n = *n;
                job.settle(n);
            }
        };
        Elsewhere(Box::new(renew))
    });
    let service = service.unwrap();
    let promises = service.queue_requests(1..=20);
    promises.wait_for_all_with(|promise| assert!(promise.wait().is_ok()));
    while made.load(Ordering::SeqCst) < 21 {
        thread::yield_now();
    }
    assert_eq!(service.status().respawns(), 20);
    // One that does nothing waits longer each time.
    let begin = std::time::Instant::now();
    let never = service.queue_request(0);
    while made.load(Ordering::SeqCst) < 26 {
        thread::yield_now();
    }
    let least = std::time::Duration::from_millis(10 + 20 + 40 + 80);
    assert!(begin.elapsed() >= least, "{:?}", begin.elapsed());
    service.shutdown(parallel_workers::Shutdown::Abandon);
    assert!(never.wait().is_err());
}
