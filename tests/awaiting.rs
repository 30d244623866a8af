//! Requests that await other requests of their own service.

#![cfg(feature = "tokio")]

#[path = "support/futures.rs"]
mod numbers;
mod support;

use std::rc::Rc;
use std::sync::{Arc, OnceLock, Weak};

use numbers::{Function, Numbers, PLACES, Place, placed};
use parallel_workers::{Async, AsyncProcessor, Context, Failure, Handle, ProcessorService};
use support::Gate;

/// One worker whose requests from 10 on await the one below, and others nothing.
fn stairs(place: Place, concurrency: usize) -> (ProcessorService<Async<Numbers>>, Gate) {
    let gate = Gate::new();
    let (inner, own) = (gate.clone(), Arc::<OnceLock<Handle<_>>>::default());
    let handle = Arc::clone(&own);
    let service = ProcessorService::start(1, move || {
        let (gate, own) = (inner.clone(), Arc::clone(&handle));
        let function: Function = Rc::new(move |number, _| {
            let (passing, own) = (gate.passing(), Arc::clone(&own));
            Box::pin(async move {
                passing.await;
                if number < 10 {
                    return number;
                }
                own.wait().queue_request(number - 1).await.unwrap() + 1
            })
        });
        placed(
            place,
            Async::new(Numbers(function)).concurrency(concurrency),
        )
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    (service, gate)
}

#[test]
fn futures_that_await_others_leave_these_a_place() {
    support::limit_time();
    for place in PLACES {
        let (service, gate) = stairs(place, 1);
        gate.open();
        assert_eq!(service.queue_request(100).wait(), Ok(&100), "{place:?}");
        // All of them, and they do not count any more.
        let promises = service.queue_requests(200..220);
        assert!(
            promises
                .select()
                .all(|promise| promise.wait() == Ok(promise.request()))
        );
    }
}

#[test]
fn a_worker_that_takes_no_more_has_another_do_what_it_awaits() {
    support::limit_time();
    for place in PLACES {
        // A broadcast, a removal and a stop each wait for what has begun; that waits for what has not.
        for what in 0..3 {
            let (service, gate) = stairs(place, 4);
            let promise = service.queue_request(20);
            gate.wait_for(1);
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| match what {
                    0 => _ = service.broadcast(|_| ()).wait(),
                    1 => assert!(
                        service
                            .workers()
                            .iter()
                            .all(|one| service.worker(one.id).unwrap().remove())
                    ),
                    _ => service.stop(),
                });
                gate.open();
                assert_eq!(promise.wait(), Ok(&20), "{place:?}");
                asked.join().unwrap();
            });
        }
    }
}

#[test]
fn a_worker_that_takes_no_more_does_what_only_it_may() {
    support::limit_time();
    for place in PLACES {
        let (service, gate) = stairs(place, 1);
        let promise = service.queue_request(10);
        gate.wait_for(1);
        // Assigned to the one worker, awaited by what it has, and after that comes the broadcast.
        let worker = service.worker_named("worker-0").unwrap();
        let assigned = worker.assign(9);
        let broadcast = service.broadcast(|_| ());
        gate.open();
        assert_eq!(promise.wait(), Ok(&10), "{place:?}");
        assert_eq!(assigned.worker(), Some(worker.id()));
        assert_eq!(broadcast.wait()[0].1, Ok(&()));
    }
}

#[test]
fn awaiting_an_own_answer_to_a_broadcast_is_refused() {
    support::limit_time();
    let own: Arc<OnceLock<Weak<ProcessorService<Async<Numbers>>>>> = Arc::default();
    let handle = Arc::clone(&own);
    let service = ProcessorService::start(1, move || {
        let own = Arc::clone(&handle);
        let function: Function = Rc::new(move |number, _| {
            let service = own.wait().upgrade().unwrap();
            let broadcast = service.broadcast(|_| ());
            Box::pin(async move {
                let answer = (&broadcast[0]).await.cloned();
                number + u32::from(answer == Err(Failure::WouldDeadlock))
            })
        });
        Async::new(Numbers(function))
    });
    let service = Arc::new(service.unwrap());
    assert!(own.set(Arc::downgrade(&service)).is_ok());
    assert_eq!(service.queue_request(1).wait(), Ok(&2));
    service.stop();
}

#[test]
fn a_spare_worker_of_futures_goes_when_it_is_not_needed() {
    let threads = || {
        let all = std::fs::read_dir("/proc/self/task").unwrap();
        let names =
            all.filter_map(|one| std::fs::read_to_string(one.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("going-spare")).count()
    };
    let own: Arc<OnceLock<Handle<Async<Numbers>>>> = Arc::default();
    let handle = Arc::clone(&own);
    let builder = ProcessorService::builder().workers(1).name("going");
    let service = builder.start(move || {
        let own = Arc::clone(&handle);
        let function: Function = Rc::new(move |number, _| {
            let own = Arc::clone(&own);
            Box::pin(async move {
                if number > 0 {
                    own.wait().queue_request(number - 1).wait().unwrap();
                }
                number
            })
        });
        Async::new(Numbers(function))
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    assert_eq!(service.queue_request(3).wait(), Ok(&3));
    assert!(threads() > 0);
    while threads() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(
        service.queue_request(3).wait(),
        Ok(&3),
        "others come when they are needed"
    );
}

/// The same as tasks that smol runs.
struct Stairs(Arc<OnceLock<Handle<Async<Stairs>>>>);

impl AsyncProcessor for Stairs {
    type Request = u32;
    type Output = u32;

    async fn process(&self, number: &u32, _: &Context<'_>) -> u32 {
        if *number == 0 {
            return 0;
        }
        self.0.wait().queue_request(number - 1).await.unwrap() + 1
    }
}

#[test]
fn tasks_that_await_others_leave_these_a_place() {
    support::limit_time();
    let own: Arc<OnceLock<Handle<Async<Stairs>>>> = Arc::default();
    let handle = Arc::clone(&own);
    let service = ProcessorService::start(1, move || {
        Async::new(Stairs(Arc::clone(&handle)))
            .concurrency(1)
            .spawned_by(|task| smol::spawn(task.run()).detach())
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    assert_eq!(service.queue_request(100).wait(), Ok(&100));
    // A stop finishes what has begun, with all that it awaits.
    let promise = service.queue_request(200);
    service.stop();
    assert_eq!(promise.try_result(), Some(Ok(&200)));
}

#[test]
fn a_future_that_waits_for_idleness_or_for_room_takes_no_place_either() {
    support::limit_time();
    let own: Arc<OnceLock<Weak<ProcessorService<Async<Numbers>>>>> = Arc::default();
    let handle = Arc::clone(&own);
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let (own, gate) = (Arc::clone(&handle), inner.clone());
        let function: Function = Rc::new(move |number, _| {
            let (service, passing) = (own.wait().upgrade().unwrap(), gate.passing());
            Box::pin(async move {
                passing.await;
                if number == 1 {
                    service.wait_idle_async().await;
                }
                number
            })
        });
        Async::new(Numbers(function)).concurrency(1)
    });
    let service = Arc::new(service.unwrap());
    assert!(own.set(Arc::downgrade(&service)).is_ok());
    let waits = service.queue_request(1);
    gate.wait_for(1);
    let queued = service.queue_request(2);
    gate.open();
    assert_eq!((waits.wait(), queued.wait()), (Ok(&1), Ok(&2)));
    service.stop();

    // Another service with room for nothing more: who waits for that gives his place up meanwhile.
    let (full, bounded) = (Gate::new(), support::Gated::new());
    let shop = bounded.start(ProcessorService::builder().workers(1).capacity(1));
    let running = shop.queue_request(1);
    bounded.gate.wait_for(1);
    let queued = shop.queue_request(2);
    let (shop, inner) = (shop.handle(), full.clone());
    let service = ProcessorService::start(1, move || {
        let (shop, gate) = (shop.clone(), inner.clone());
        let function: Function = Rc::new(move |number, _| {
            let (shop, passing) = (shop.clone(), gate.passing());
            Box::pin(async move {
                passing.await;
                if number == 1 {
                    return shop.queue_request_async(3).await.await.unwrap();
                }
                number
            })
        });
        Async::new(Numbers(function)).concurrency(1)
    });
    let service = service.unwrap();
    full.open();
    let waits = service.queue_request(1);
    assert_eq!(service.queue_request(2).wait(), Ok(&2));
    bounded.gate.open();
    assert_eq!(
        (running.wait(), queued.wait(), waits.wait()),
        (Ok(&1), Ok(&2), Ok(&3))
    );
}
