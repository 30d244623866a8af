//! Requests that await: what a worker that drives many at a time does with each.

#![cfg(feature = "tokio")]

#[path = "support/futures.rs"]
mod numbers;
mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;

use numbers::{Function, Numbers, PLACES, Place, placed};
use parallel_workers::{
    Abort, Async, AsyncProcessor, Context, Failure, Handle, Loss, ProcessorService, Shutdown,
    processor_fn,
};
use support::{Alive, Gate, Living};

/// One worker whose requests stand at a gate. `with` sets it up.
fn gated(
    place: Place,
    with: impl Fn(Async<Numbers>) -> Async<Numbers> + Send + Sync + 'static,
) -> (ProcessorService<Async<Numbers>>, Gate) {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let gate = inner.clone();
        let function: Function = Rc::new(move |number, _| {
            let passing = gate.passing();
            Box::pin(async move {
                passing.await;
                assert!(number != 13, "unlucky");
                number
            })
        });
        placed(place, with(Async::new(Numbers(function))))
    });
    (service.unwrap(), gate)
}

#[test]
fn one_worker_holds_ten_thousand_requests() {
    for place in PLACES {
        let (service, gate) = gated(place, |worker| worker.concurrency(10_000));
        let promises = service.queue_requests(100..10_100);
        gate.wait_for(10_000);
        let further = service.queue_request(1);
        let status = service.status();
        assert_eq!((status.running, status.queued), (10_000, 1), "{place:?}");
        assert_eq!(status.workers[0].requests.len(), 10_000);
        gate.open();
        assert_eq!(
            promises.select().filter(|one| one.wait().is_ok()).count(),
            10_000
        );
        assert_eq!(further.wait(), Ok(&1));
    }
}

#[test]
fn futures_that_are_not_send_share_their_processor() {
    /// Keeps what only its own thread may touch.
    struct Keeper(Rc<RefCell<HashMap<u32, ThreadId>>>);

    impl AsyncProcessor for Keeper {
        type Request = u32;
        type Output = usize;

        async fn process(&self, number: &u32, _: &Context<'_>) -> usize {
            let kept = Rc::clone(&self.0);
            smol::future::yield_now().await;
            let mut kept = kept.borrow_mut();
            kept.insert(*number, std::thread::current().id());
            kept.values()
                .collect::<std::collections::HashSet<_>>()
                .len()
        }
    }

    let service = ProcessorService::start(1, || Async::new(Keeper(Rc::default()))).unwrap();
    let promises = service.queue_requests(0..100);
    assert!(promises.select().all(|promise| promise.wait() == Ok(&1)));
    let kept = service.broadcast(|keeper| keeper.processor().0.borrow().len());
    assert_eq!(kept.wait()[0].1, Ok(&100));
}

#[test]
fn a_panic_settles_its_own_promise_and_no_other() {
    for place in PLACES {
        let (service, gate) = gated(place, |worker| worker);
        let (unlucky, lucky) = (service.queue_request(13), service.queue_request(7));
        gate.wait_for(2);
        gate.open();
        let Err(Failure::Panicked(panic)) = unlucky.wait() else {
            panic!("{unlucky:?}");
        };
        assert_eq!(panic.message(), "unlucky");
        assert_eq!(lucky.wait(), Ok(&7), "{place:?}");
        let worker = &service.workers()[0];
        assert_eq!((worker.panicked, worker.respawns), (1, 0));
    }
}

/// A future that says when it is dropped, which panics where it is told to.
struct Dropped {
    _living: Living,
    panics: bool,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        assert!(!self.panics, "a drop that panics");
    }
}

/// One worker whose requests never end by themselves, and how many of them there are.
fn endless(
    with: impl Fn(Async<Numbers>) -> Async<Numbers> + Send + Sync + 'static,
) -> (ProcessorService<Async<Numbers>>, Gate, Alive) {
    let (gate, alive) = (Gate::new(), Alive::default());
    let (inner, counted) = (gate.clone(), alive.share());
    let service = ProcessorService::start(1, move || {
        let (gate, alive) = (inner.clone(), counted.share());
        let function: Function = Rc::new(move |number, _| {
            let (passing, living) = (gate.passing(), alive.make());
            Box::pin(async move {
                let panics = number == 13;
                let _dropped = Dropped {
                    _living: living,
                    panics,
                };
                passing.await;
                number
            })
        });
        with(Async::new(Numbers(function)))
    });
    (service.unwrap(), gate, alive)
}

#[test]
fn a_killed_worker_drops_what_it_has_begun() {
    for place in PLACES {
        let (service, gate, alive) = endless(move |worker| placed(place, worker).concurrency(3));
        let begun = [1, 13, 3].map(|number| service.queue_request(number));
        gate.wait_for(3);
        let queued = service.queue_request(4);
        service.worker_named("worker-0").unwrap().kill().unwrap();
        for promise in &begun {
            assert_eq!(
                promise.wait(),
                Err(Failure::WorkerLost(Loss::Killed)),
                "{place:?}"
            );
        }
        // The heir has the one that had not begun.
        gate.wait_for(4);
        assert_eq!(service.status().running, 1);
        gate.open();
        assert_eq!(queued.wait(), Ok(&4));
        service.stop();
        // Its thread is not waited for, but it comes to its end.
        while alive.count() > 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_abandoned_service_drops_what_it_has_begun() {
    let (service, gate, alive) = endless(|worker| worker);
    let begun = [1, 13, 3].map(|number| service.queue_request(number));
    gate.wait_for(3);
    service.shutdown(Shutdown::Abandon);
    for promise in &begun {
        assert_eq!(
            promise.try_result(),
            Some(Err(Failure::WorkerLost(Loss::Abandoned)))
        );
    }
    while alive.count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_request_that_nobody_wants_is_dropped_where_the_processor_says_so() {
    for place in PLACES {
        let with = move |worker| placed(place, worker).cancel_on_abort(true);
        let (service, gate, alive) = endless(with);
        let (first, second) = (service.queue_request(1), service.queue_request(1));
        let other = service.queue_request(2);
        let panics = service.queue_request(13);
        gate.wait_for(3);
        assert_eq!(first.abort(), Abort::StillWanted);
        assert_eq!(second.abort(), Abort::Running);
        assert_eq!(second.wait(), Err(Failure::Aborted), "{place:?}");
        assert_eq!(alive.count(), 2, "dropped before anybody is told");
        assert_eq!(panics.abort(), Abort::Running);
        assert_eq!(panics.wait(), Err(Failure::Aborted));
        gate.open();
        assert_eq!(other.wait(), Ok(&2));
        service.stop();
        let settled = service.status().settled;
        assert_eq!(
            (settled.aborted, settled.outputs, settled.total()),
            (2, 1, 3)
        );
    }
}

#[test]
fn an_equal_request_begins_when_the_unwanted_one_has_been_dropped() {
    let (service, gate, _) = endless(|worker| worker.cancel_on_abort(true));
    let unwanted = service.queue_request(1);
    gate.wait_for(1);
    assert_eq!(unwanted.abort(), Abort::Running);
    let again = service.queue_request(1);
    gate.wait_for(2);
    gate.open();
    assert_eq!(again.wait(), Ok(&1));
    assert_eq!(unwanted.wait(), Err(Failure::Aborted));
}

#[test]
fn a_request_may_wait_for_nobody_to_want_it() {
    let begun = Gate::new();
    let inner = begun.clone();
    let service = ProcessorService::start(1, move || {
        let begun = inner.clone();
        let function: Function = Rc::new(move |number, context| {
            let begun = begun.passing();
            Box::pin(async move {
                begun.await;
                context.cancelled().await;
                assert!(context.is_cancelled());
                number
            })
        });
        Async::new(Numbers(function))
    });
    let service = service.unwrap();
    begun.open();
    let promises: Vec<_> = (0..3).map(|_| service.queue_request(7)).collect();
    begun.wait_for(1);
    assert_eq!(promises[0].abort(), Abort::StillWanted);
    assert_eq!(promises[1].abort(), Abort::StillWanted);
    assert_eq!(promises[2].abort(), Abort::Running);
    assert_eq!(
        promises[2].wait(),
        Ok(&7),
        "it has tidied up, and gives its real output"
    );
}

#[test]
fn who_waits_to_be_cancelled_and_gives_up_leaves_no_waker_behind() {
    struct Counting(AtomicUsize);

    impl std::task::Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let waker = Arc::new(Counting(AtomicUsize::new(0)));
    let inner = Arc::clone(&waker);
    let gate = Gate::new();
    let passing = gate.clone();
    let service = ProcessorService::start(1, move || {
        let (gate, counting) = (passing.clone(), Arc::clone(&inner));
        processor_fn(move |number: &u32, context: &Context<'_>| {
            let waker = std::task::Waker::from(Arc::clone(&counting));
            let mut cx = std::task::Context::from_waker(&waker);
            let mut cancelled = Box::pin(context.cancelled());
            assert!(cancelled.as_mut().poll(&mut cx).is_pending());
            assert!(cancelled.as_mut().poll(&mut cx).is_pending());
            drop(cancelled);
            drop(waker);
            // The closure's, the factory's, the test's; and none among those who are told.
            assert_eq!(Arc::strong_count(&counting), 3);
            gate.pass();
            *number
        })
    });
    let service = service.unwrap();
    let promise = service.queue_request(1);
    gate.wait_for(1);
    assert_eq!(promise.abort(), Abort::Running);
    gate.open();
    assert_eq!(promise.wait(), Ok(&1));
    assert_eq!(waker.0.load(Ordering::SeqCst), 0);
}

/// A service whose request 1 waits for request 2, blocking, and request 3 for itself.
fn waiting(
    with: impl Fn(Async<Numbers>) -> Async<Numbers> + Send + Sync + 'static,
) -> (
    ProcessorService<Async<Numbers>>,
    mpsc::Receiver<Result<u32, Failure>>,
) {
    let own: Arc<OnceLock<Handle<Async<Numbers>>>> = Arc::default();
    let inner = Arc::clone(&own);
    let (sender, said) = mpsc::channel();
    let service = ProcessorService::start(1, move || {
        let (own, sender) = (Arc::clone(&inner), sender.clone());
        let function: Function = Rc::new(move |number, _| {
            let (own, sender) = (Arc::clone(&own), sender.clone());
            Box::pin(async move {
                let waits_for = match number {
                    1 => Some(2),
                    3 => Some(3),
                    _ => None,
                };
                if let Some(other) = waits_for {
                    let promise = own.wait().queue_request(other);
                    sender.send(promise.wait().cloned()).unwrap();
                }
                number
            })
        });
        with(Async::new(Numbers(function)))
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    (service, said)
}

#[test]
fn waiting_inside_a_future_is_safe() {
    support::limit_time();
    for place in PLACES {
        let (service, said) = waiting(move |worker| placed(place, worker));
        assert_eq!(service.queue_request(1).wait(), Ok(&1));
        assert_eq!(said.recv(), Ok(Ok(2)), "a spare worker did it, {place:?}");
        assert_eq!(service.queue_request(3).wait(), Ok(&3));
        assert!(
            matches!(said.recv(), Ok(Err(Failure::Cycle(_)))),
            "{place:?}"
        );
    }
}

#[test]
fn waiting_for_what_the_blocked_worker_has_begun_is_a_circle() {
    support::limit_time();
    let gate = Gate::new();
    let inner = gate.clone();
    let own: Arc<OnceLock<Handle<Async<Numbers>>>> = Arc::default();
    let handle = Arc::clone(&own);
    let (sender, said) = mpsc::channel();
    let service = ProcessorService::start(1, move || {
        let (gate, own, sender) = (inner.clone(), Arc::clone(&handle), sender.clone());
        let function: Function = Rc::new(move |number, _| {
            let (gate, own, sender) = (gate.clone(), Arc::clone(&own), sender.clone());
            Box::pin(async move {
                if number == 1 {
                    gate.passing().await;
                } else {
                    let begun = own.wait().queue_request(1);
                    sender.send(begun.wait().cloned()).unwrap();
                }
                number
            })
        });
        Async::new(Numbers(function))
    });
    let service = service.unwrap();
    assert!(own.set(service.handle()).is_ok());
    let begun = service.queue_request(1);
    gate.wait_for(1);
    assert_eq!(service.queue_request(2).wait(), Ok(&2));
    assert!(matches!(said.recv(), Ok(Err(Failure::Cycle(_)))));
    gate.open();
    assert_eq!(begun.wait(), Ok(&1), "it goes on");
}

#[test]
fn timers_of_a_runtime_of_one_thread_work_while_it_runs() {
    support::limit_time();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    let service = ProcessorService::start(1, move || {
        let function: Function = Rc::new(|number, _| {
            Box::pin(async move {
                // Only a timer ends this.
                let endless = std::future::pending::<()>();
                let timed = tokio::time::timeout(std::time::Duration::from_millis(1), endless);
                assert!(timed.await.is_err());
                tokio::spawn(async move { number }).await.unwrap()
            })
        });
        Async::new(Numbers(function)).on(handle.clone())
    });
    let service = service.unwrap();
    let outputs = runtime.block_on(async {
        let mut outputs = Vec::new();
        for promise in (0..10)
            .map(|n| service.queue_request(n))
            .collect::<Vec<_>>()
        {
            outputs.push(promise.await);
        }
        service.stop_async().await;
        outputs
    });
    assert_eq!(outputs, (0..10).map(Ok).collect::<Vec<_>>());
}

#[test]
fn a_worker_that_is_removed_finishes_what_it_has() {
    let (service, gate) = gated(Place::OwnThread, |worker| worker.concurrency(2));
    let begun = [1, 2].map(|number| service.queue_request(number));
    gate.wait_for(2);
    let queued = service.queue_request(3);
    assert!(service.worker_named("worker-0").unwrap().remove());
    gate.open();
    assert!(begun.iter().all(|promise| promise.wait().is_ok()));
    assert!(!queued.is_settled());
    service.add_workers(1).unwrap();
    assert_eq!(queued.wait(), Ok(&3));
}

#[test]
fn what_a_runtime_leaves_unfinished_settles() {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let (gate, begun) = (inner.clone(), Rc::new(std::cell::Cell::new(false)));
        let alive = Alive::default();
        let has_begun = Rc::clone(&begun);
        let function: Function = Rc::new(move |number, _| {
            begun.set(true);
            let (passing, living) = (gate.passing(), alive.make());
            Box::pin(async move {
                let _dropped = Dropped {
                    _living: living,
                    panics: number == 1,
                };
                passing.await;
                number
            })
        });
        let mut calls = 0;
        Async::new(Numbers(function)).inside(move |mut work| {
            calls += 1;
            if calls > 1 {
                return smol::block_on(work);
            }
            // It stops in the middle of the first request.
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            while !has_begun.get() {
                assert!(work.as_mut().poll(&mut cx).is_pending());
            }
        })
    });
    let service = service.unwrap();
    assert_eq!(
        service.queue_request(1).wait(),
        Err(Failure::WorkerLost(Loss::Dropped))
    );
    gate.open();
    assert_eq!(service.queue_request(2).wait(), Ok(&2));
    assert_eq!(
        service.workers()[0].respawns,
        0,
        "a drop that panics harms nobody"
    );
}
