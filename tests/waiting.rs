//! Waiting inside a worker is safe.

mod support;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use parallel_workers::{
    Abort, Context, Failure, Handle, Processor, ProcessorFn, ProcessorService,
    ProcessorServiceBuilder, PromiseSet, Share, processor_fn,
};
use support::{Gate, limit_time};

type Function = Box<dyn FnMut(&u32, &Context<'_>) -> Result<u64, Failure>>;
type Recursive = ProcessorFn<u32, Result<u64, Failure>, Function>;

/// Starts a service whose requests are processed by `function`, which has a handle of the service.
fn start(
    builder: ProcessorServiceBuilder<Recursive>,
    function: fn(u32, &Handle<Recursive>) -> Result<u64, Failure>,
) -> ProcessorService<Recursive> {
    limit_time();
    let own: Arc<OnceLock<Handle<Recursive>>> = Arc::default();
    let inner = Arc::clone(&own);
    let service = builder.start(move || {
        let own = Arc::clone(&inner);
        let function: Function = Box::new(move |n, _| function(*n, own.wait()));
        processor_fn(function)
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    service
}

fn builder(workers: usize) -> ProcessorServiceBuilder<Recursive> {
    ProcessorService::builder().workers(workers)
}

fn wait_for(n: u32, service: &Handle<Recursive>) -> Result<u64, Failure> {
    service.queue_request(n).wait()?.clone()
}

fn fibonacci(n: u32, service: &Handle<Recursive>) -> Result<u64, Failure> {
    if n < 2 {
        return Ok(u64::from(n));
    }
    Ok(wait_for(n - 1, service)? + wait_for(n - 2, service)?)
}

#[test]
fn requests_that_wait_for_others_need_no_more_than_one_worker() {
    let service = start(builder(1).share(Share::WhileHeld), fibonacci);
    // The last first, so that each waits for the next; and held before the first begins, so that each is computed once.
    service.pause();
    let promises: Vec<_> = (0..=60).rev().map(|n| service.queue_request(n)).collect();
    service.resume();
    assert_eq!(*promises[0].wait().unwrap(), Ok(1_548_008_755_920));
    assert_eq!(service.status().settled.outputs, 61);
    let status = service.status();
    assert_eq!(status.workers.len(), 1);
    service.stop();
    let status = service.status();
    assert_eq!((status.queued, status.running), (0, 0));
}

#[test]
fn past_the_bound_a_wait_says_that_it_would_deadlock() {
    let down = |n: u32, service: &Handle<Recursive>| match n {
        0 => Ok(0),
        n => Ok(1 + wait_for(n - 1, service)?),
    };
    let service = start(builder(1).max_spare_workers(3), down);
    assert_eq!(*service.queue_request(3).wait().unwrap(), Ok(3));
    assert_eq!(
        *service.queue_request(4).wait().unwrap(),
        Err(Failure::WouldDeadlock)
    );
    let none = start(builder(1).max_spare_workers(0), down);
    assert_eq!(
        *none.queue_request(1).wait().unwrap(),
        Err(Failure::WouldDeadlock)
    );
    assert_eq!(*none.queue_request(0).wait().unwrap(), Ok(0));
}

#[test]
fn a_request_that_waits_for_itself_is_told_so() {
    let service = start(builder(2).debug_requests(), wait_for);
    let failure = service
        .queue_request(7)
        .wait()
        .unwrap()
        .clone()
        .unwrap_err();
    let Failure::Cycle(circle) = &failure else {
        panic!("{failure:?}")
    };
    assert_eq!(circle.requests().len(), 1);
    assert_eq!(circle.to_string(), "request 7 would wait for 7");
    assert!(failure.to_string().contains("circle"));
}

#[test]
fn a_circle_of_many_is_told_to_whoever_closes_it_and_only_to_him() {
    /// 1 for 2 for 3 for 4 for 1.
    fn around(n: u32, service: &Handle<Recursive>) -> Result<u64, Failure> {
        match wait_for(n % 4 + 1, service) {
            Err(Failure::Cycle(circle)) => Ok(circle.requests().len() as u64),
            other => Ok(10 * other?),
        }
    }
    for workers in [1, 4] {
        let service = start(builder(workers), around);
        // All are there before the first begins, so that each has one run.
        service.pause();
        let promises = service.queue_requests(1..=4);
        service.resume();
        let mut outputs: Vec<_> = promises
            .select()
            .map(|promise| promise.wait().unwrap().clone().unwrap())
            .collect();
        outputs.sort_unstable();
        assert_eq!(outputs, [4, 40, 400, 4000]);
    }
}

#[test]
fn two_services_may_wait_for_each_other_and_circles_through_both_are_found() {
    limit_time();
    type Two = [OnceLock<Handle<Recursive>>; 2];
    let both: Arc<Two> = Arc::default();
    let services = [0, 1].map(|index| {
        let inner = Arc::clone(&both);
        let service = builder(1).start(move || {
            let both = Arc::clone(&inner);
            let function: Function = Box::new(move |n, _| match n {
                // Counts down from one service to the other.
                0 => Ok(0),
                // And round and round.
                1000 => wait_for(1000, both[1 - index].wait()),
                n => Ok(1 + wait_for(n - 1, both[1 - index].wait())?),
            });
            processor_fn(function)
        });
        let service = service.unwrap();
        assert!(both[index].set(service.handle()).is_ok());
        service
    });
    assert_eq!(*services[0].queue_request(50).wait().unwrap(), Ok(50));
    let around = services[0].queue_request(1000);
    let failure = around.wait().unwrap().clone().unwrap_err();
    assert!(matches!(&failure, Failure::Cycle(circle) if circle.requests().len() == 2));
}

#[test]
fn a_set_inside_a_worker_yields_all_that_can_be_had_and_then_what_cannot() {
    fn select(n: u32, service: &Handle<Recursive>) -> Result<u64, Failure> {
        if n != 100 {
            return Ok(u64::from(n));
        }
        let set: PromiseSet<_, _> = [100, 1, 2]
            .map(|n| service.queue_request(n))
            .into_iter()
            .collect();
        let mut sum = 0;
        for promise in set.select() {
            match promise.wait() {
                Ok(output) => sum += output.clone()?,
                Err(Failure::Cycle(_)) => sum += 1000,
                Err(other) => return Err(other),
            }
        }
        Ok(sum)
    }
    let service = start(builder(1), select);
    assert_eq!(*service.queue_request(100).wait().unwrap(), Ok(1003));
}

#[test]
fn a_map_and_wait_for_all_inside_a_worker_get_on() {
    limit_time();
    struct Mapper(Arc<Mutex<Option<Arc<ProcessorService<Self>>>>>);
    impl Processor for Mapper {
        type Request = u32;
        type Output = u32;
        fn process(&mut self, n: &u32, _: &Context<'_>) -> u32 {
            if *n < 1000 {
                return *n;
            }
            let service = self.0.lock().unwrap().clone().unwrap();
            let mapped = service.map(0..100).map(|promise| *promise.wait().unwrap());
            let all = service.queue_requests(0..100).wait_for_all();
            mapped.sum::<u32>() + all.len() as u32
        }
    }
    let slot = Arc::default();
    let inner = Arc::clone(&slot);
    let service = ProcessorService::start(1, move || Mapper(Arc::clone(&inner))).unwrap();
    let service = Arc::new(service);
    *slot.lock().unwrap() = Some(Arc::clone(&service));
    assert_eq!(service.queue_request(1000).wait(), Ok(&5050));
    *slot.lock().unwrap() = None;
}

#[test]
fn a_timed_wait_inside_a_worker_runs_out_and_leaves_nothing_behind() {
    fn impatient(n: u32, service: &Handle<Recursive>) -> Result<u64, Failure> {
        match n {
            1 => {
                let other = service.queue_request(2);
                let waited = other.wait_timeout(Duration::from_millis(1));
                Ok(u64::from(waited.is_none()))
            }
            _ => {
                // Longer than anybody waits above: until that one has gone on.
                service.queue_request(3).wait()?.clone()
            }
        }
    }
    let gate = Gate::new();
    let own: Arc<OnceLock<Handle<Recursive>>> = Arc::default();
    let (inner, inner_gate) = (Arc::clone(&own), gate.clone());
    let service = builder(1)
        .start(move || {
            let (own, gate) = (Arc::clone(&inner), inner_gate.clone());
            let function: Function = Box::new(move |n, _| {
                if *n == 3 {
                    gate.pass();
                    return Ok(3);
                }
                impatient(*n, own.wait())
            });
            processor_fn(function)
        })
        .unwrap();
    assert!(own.set(service.handle()).is_ok());
    assert_eq!(*service.queue_request(1).wait().unwrap(), Ok(1));
    gate.open();
    assert_eq!(*service.queue_request(2).wait().unwrap(), Ok(3));
}

#[test]
fn a_spare_worker_that_cannot_have_a_processor_is_refused() {
    limit_time();
    let made = Arc::new(Mutex::new(0));
    let own: Arc<OnceLock<Handle<Recursive>>> = Arc::default();
    let inner = Arc::clone(&own);
    let service = builder(1).try_start(move || {
        let mut made = made.lock().unwrap();
        *made += 1;
        if *made > 1 {
            return Err("no more of them");
        }
        let own = Arc::clone(&inner);
        let function: Function = Box::new(move |n, _| match n {
            0 => Ok(0),
            n => wait_for(n - 1, own.wait()),
        });
        Ok(processor_fn(function))
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    assert_eq!(
        *service.queue_request(1).wait().unwrap(),
        Err(Failure::WouldDeadlock)
    );
    assert_eq!(*service.queue_request(0).wait().unwrap(), Ok(0));
}

#[test]
fn what_spare_workers_did_is_counted_and_they_are_gone_afterwards() {
    let service = start(builder(1), fibonacci);
    assert_eq!(*service.queue_request(15).wait().unwrap(), Ok(610));
    service.wait_idle();
    let status = service.status();
    let runs = 1973;
    assert_eq!(status.settled.outputs + status.coalesced, runs);
    assert_eq!(status.workers.len(), 1);
    assert!((1..runs).contains(&status.workers[0].processed));
    service.stop();
    let status = service.status();
    assert_eq!(status.settled.outputs + status.coalesced, runs);
}

#[test]
fn whoever_waits_for_idleness_inside_the_only_worker_does_not_stop_it() {
    limit_time();
    struct Waiter(Arc<Mutex<Option<Arc<ProcessorService<Self>>>>>);
    impl Processor for Waiter {
        type Request = u32;
        type Output = usize;
        fn process(&mut self, n: &u32, _: &Context<'_>) -> usize {
            if *n > 0 {
                return 0;
            }
            let service = self.0.lock().unwrap().clone().unwrap();
            let others = [1, 2].map(|n| service.queue_request(n));
            service.wait_idle();
            others.iter().filter(|other| other.is_settled()).count()
        }
    }
    let slot = Arc::default();
    let inner = Arc::clone(&slot);
    let service = ProcessorService::start(1, move || Waiter(Arc::clone(&inner))).unwrap();
    let service = Arc::new(service);
    *slot.lock().unwrap() = Some(Arc::clone(&service));
    assert_eq!(service.queue_request(0).wait(), Ok(&2));
    *slot.lock().unwrap() = None;
}

/// 1 waits for 4, and 2 for 3.
fn crosswise(n: u32, service: &Handle<Recursive>) -> Result<u64, Failure> {
    match n {
        1 => wait_for(4, service),
        2 => wait_for(3, service),
        n => Ok(n.into()),
    }
}

#[test]
fn a_wait_for_what_was_assigned_to_this_very_worker_closes_a_circle() {
    let service = start(builder(1).debug_requests(), crosswise);
    service.pause();
    let worker = service.worker_named("worker-0").unwrap();
    // It takes turns between what is its own and what is for all: 5, then 1.
    let before = worker.assign(5);
    let assigned = worker.assign(4);
    let waits = service.queue_request(1);
    service.resume();
    let outcome = waits.wait().unwrap().clone();
    let Err(Failure::Cycle(circle)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        circle.to_string(),
        "request 1 would wait for 4, which waits for 1"
    );
    assert_eq!(circle.requests().len(), 2);
    assert_eq!(*before.wait().unwrap(), Ok(5));
    assert_eq!(*assigned.wait().unwrap(), Ok(4));
}

#[test]
fn of_two_workers_that_wait_for_what_was_assigned_to_the_other_one_is_refused() {
    let service = start(builder(2), crosswise);
    service.pause();
    let [x, y] = ["worker-0", "worker-1"].map(|name| service.worker_named(name).unwrap());
    let waits = [x.assign(1), y.assign(2)];
    let assigned = [x.assign(3), y.assign(4)];
    service.resume();
    let outcomes = waits.map(|promise| promise.wait().unwrap().clone());
    let refused = |one: &&Result<u64, Failure>| matches!(one, Err(Failure::Cycle(_)));
    assert_eq!(outcomes.iter().filter(refused).count(), 1, "{outcomes:?}");
    assert!(outcomes.contains(&Ok(3)) || outcomes.contains(&Ok(4)));
    for promise in &assigned {
        assert_eq!(*promise.wait().unwrap(), Ok((*promise.request()).into()));
    }
}

#[test]
fn a_wait_for_a_worker_that_is_free_soon_is_not_refused() {
    // Whoever waits for what another worker alone can do waits for that one's present request, and no more.
    let service = start(builder(2), |n, service| match n {
        1 => wait_for(4, service),
        n => Ok(n.into()),
    });
    let [x, y] = ["worker-0", "worker-1"].map(|name| service.worker_named(name).unwrap());
    for _ in 0..200 {
        service.pause();
        let assigned = [y.assign_unshared(7), y.assign(4)];
        let waits = x.assign(1);
        service.resume();
        assert_eq!(*waits.wait().unwrap(), Ok(4));
        assert!(assigned.iter().all(|one| one.wait().is_ok()));
    }
}

#[test]
fn a_request_that_everybody_left_cannot_wait_for_the_one_that_comes_after_it() {
    limit_time();
    let own: Arc<OnceLock<Handle<Recursive>>> = Arc::default();
    let inner = Arc::clone(&own);
    let gate = Gate::new();
    let stands = gate.clone();
    let service: ProcessorService<Recursive> = builder(1)
        .start(move || {
            let (own, stands) = (Arc::clone(&inner), stands.clone());
            let function: Function = Box::new(move |n, context| {
                stands.pass();
                if context.is_cancelled() {
                    // Equal to itself, and not shared with it any more.
                    return wait_for(*n, own.wait());
                }
                Ok((*n).into())
            });
            processor_fn(function)
        })
        .unwrap();
    assert!(own.set(service.handle()).is_ok());
    let left = service.queue_request(1);
    gate.wait_for(1);
    assert_eq!(left.abort(), Abort::Running);
    gate.open();
    let outcome = left.wait().unwrap().clone();
    assert!(matches!(outcome, Err(Failure::Cycle(_))), "{outcome:?}");
    service.wait_idle();
    assert_eq!(service.status().settled.outputs, 2);
}

/// A request whose `Debug` looks into the set that waits for it.
#[derive(PartialEq, Eq, Hash)]
struct Nosy(u32);

static NOSY: OnceLock<PromiseSet<Nosy, bool>> = OnceLock::new();

impl std::fmt::Debug for Nosy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:?}", self.0, NOSY.get().map(PromiseSet::len))
    }
}

#[test]
fn a_request_is_named_while_no_set_is_locked() {
    limit_time();
    let builder = ProcessorService::builder().workers(1).debug_requests();
    let service = builder.start(|| {
        processor_fn(|n: &Nosy, _: &Context<'_>| {
            // What this worker alone can do is yielded as it is.
            let first = (n.0 == 0).then(|| NOSY.wait().select_next());
            first.flatten().is_some_and(|promise| !promise.is_settled())
        })
    });
    let service = service.unwrap();
    let worker = service.worker_named("worker-0").unwrap();
    service.pause();
    let waits = worker.assign(Nosy(0));
    let set = PromiseSet::new();
    set.insert(worker.assign(Nosy(1)));
    assert!(NOSY.set(set).is_ok());
    service.resume();
    assert_eq!(waits.wait(), Ok(&true));
}
