//! Functions called when a promise settles.

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use parallel_workers::{Context, Failure, ProcessorService, Shutdown, WorkerState, processor_fn};
use support::{Alive, echo, gated, runs};

#[test]
fn a_callback_sees_the_outcome_whatever_it_is() {
    let service = ProcessorService::start(1, || {
        processor_fn(|n: &u32, _: &Context<'_>| {
            assert!(*n != 1, "one");
            *n
        })
    })
    .unwrap();
    service.pause();
    let (sender, receiver) = mpsc::channel();
    let promises: Vec<_> = (0..3).map(|n| service.queue_request(n)).collect();
    for promise in &promises {
        let sender = sender.clone();
        promise.on_settled(move |promise| {
            sender
                .send((*promise.request(), promise.try_result().map(|r| r.copied())))
                .unwrap();
        });
    }
    promises[2].abort();
    service.resume();
    service.stop();
    drop(sender);
    let mut seen: Vec<_> = receiver.into_iter().collect();
    seen.sort_by_key(|(n, _)| *n);
    assert_eq!((seen.len(), seen[0].1.clone()), (3, Some(Ok(0))));
    assert!(matches!(&seen[1].1, Some(Err(Failure::Panicked(panic))) if panic.message() == "one"));
    assert_eq!(seen[2].1, Some(Err(Failure::Aborted)));
}

#[test]
fn callbacks_run_on_the_worker_that_settles_or_at_once_on_the_caller_if_it_is_settled() {
    let (service, gated) = gated(1);
    let promise = service.queue_request(1);
    let (sender, receiver) = mpsc::channel();
    let late = sender.clone();
    promise.on_settled(move |_| {
        sender
            .send(thread::current().name().map(str::to_owned))
            .unwrap()
    });
    gated.gate.open();
    assert_eq!(receiver.recv().unwrap().as_deref(), Some("worker-0"));
    promise.on_settled(move |_| {
        late.send(thread::current().name().map(str::to_owned))
            .unwrap()
    });
    assert_eq!(
        receiver.try_recv().unwrap().as_deref(),
        thread::current().name()
    );
}

#[test]
fn callbacks_are_called_once_each_in_the_order_of_registration() {
    for n in [1, 2, 5, 100] {
        let (service, gated) = gated(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let promises: Vec<_> = (0..3).map(|_| service.queue_request(1)).collect();
        for mark in 0..n {
            let order = Arc::clone(&order);
            promises[mark % 3]
                .on_settled(move |_| order.lock().unwrap().push(mark))
                .on_settled(|promise| assert!(promise.is_settled()));
        }
        gated.gate.open();
        service.stop();
        assert_eq!(*order.lock().unwrap(), (0..n).collect::<Vec<_>>());
        assert_eq!(service.status().callback_panics, 0);
    }
}

#[test]
fn a_callback_that_panics_is_counted_and_the_next_one_is_called() {
    let (service, gated) = gated(2);
    let promise = service.queue_request(1);
    let (sender, receiver) = mpsc::channel();
    let late = sender.clone();
    promise.on_settled(|_| panic!("a callback that panics"));
    promise.on_settled(move |_| sender.send(()).unwrap());
    gated.gate.open();
    receiver.recv().unwrap();
    promise.wait().unwrap();
    promise.on_settled(|_| panic!("another one"));
    promise.on_settled(move |_| late.send(()).unwrap());
    receiver.recv().unwrap();
    service.stop();
    let status = service.status();
    assert_eq!(status.callback_panics, 2);
    assert_eq!(status.settled.panicked, 0);
}

#[test]
fn registering_while_it_settles_calls_back_exactly_once() {
    let (service, _) = echo(2);
    let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
    for n in 0..10_000 {
        let count = Arc::clone(&count);
        service.queue_request(n).on_settled(move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
    }
    service.stop();
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 10_000);
}

#[test]
fn a_callback_may_wait_abort_register_queue_and_stop() {
    let (service, gated) = gated(1);
    let service = Arc::new(service);
    let promise = service.queue_request(1);
    let (sender, receiver) = mpsc::channel();
    let weak = Arc::downgrade(&service);
    promise.on_settled(move |promise| {
        assert_eq!(promise.wait(), Ok(&1));
        promise.abort();
        let sender = sender.clone();
        promise.on_settled(move |promise| sender.send(*promise.request()).unwrap());
        let service = weak.upgrade().unwrap();
        service.queue_request(2);
        service.stop();
        service.shutdown(Shutdown::Discard);
    });
    gated.gate.open();
    assert_eq!(receiver.recv(), Ok(1));
    service.stop();
    assert_eq!(service.status().settled.total(), 2);
}

#[test]
fn a_callback_may_drop_the_last_handle_of_its_service() {
    let (service, gated) = gated(2);
    let promise = service.queue_request(1);
    let others: Vec<_> = (2..20).map(|n| service.queue_request(n)).collect();
    promise.on_settled(move |_| drop(service));
    gated.gate.open();
    for promise in others {
        assert_eq!(promise.wait(), Ok(promise.request()));
    }
    assert_eq!(runs(&gated.runs), 19);
}

#[test]
fn a_chain_of_callbacks_that_queue_does_not_grow_the_stack() {
    let (service, _) = echo(1);
    let (sender, receiver) = mpsc::channel();
    fn next(handle: parallel_workers::Handle<support::Numbers>, n: u32, sender: mpsc::Sender<()>) {
        let promise = handle.queue_request(n);
        promise.on_settled(move |_| match n {
            100_000 => sender.send(()).unwrap(),
            n => next(handle, n + 1, sender),
        });
    }
    next(service.handle(), 0, sender);
    receiver.recv().unwrap();
    assert!(service.status().settled.outputs >= 100_000);
}

#[test]
fn what_a_callback_captures_is_freed_with_it() {
    let alive = Alive::default();
    let (service, gated) = gated(1);
    service.queue_request(0);
    gated.gate.wait_for(1);
    let (settled, aborted) = (service.queue_request(1), service.queue_request(2));
    for promise in [&settled, &aborted] {
        let (living, own) = (alive.make(), promise.clone());
        promise.on_settled(move |_| drop((living, own)));
    }
    assert_eq!(alive.count(), 2);
    aborted.abort();
    assert_eq!(alive.count(), 1);
    gated.gate.open();
    service.wait_idle();
    assert_eq!(alive.count(), 0);
    assert_eq!(settled.into_output().ok(), Some(1));
}

#[test]
fn a_slow_callback_holds_up_neither_waiters_nor_sets_nor_other_workers() {
    let (service, gated) = gated(2);
    let promise = service.queue_request(1);
    let promises = parallel_workers::PromiseSet::from_iter([promise.clone()]);
    let (release, held) = mpsc::channel::<()>();
    promise.on_settled(move |_| held.recv().unwrap());
    gated.gate.open();
    assert_eq!(promise.wait(), Ok(&1));
    assert_eq!(promises.select().count(), 1);
    for n in 2..100 {
        assert_eq!(service.queue_request(n).wait(), Ok(&n));
    }
    let status = service.status();
    let slow = status
        .workers
        .iter()
        .find(|worker| Some(worker.id) == promise.worker())
        .unwrap();
    assert_eq!(
        slow.state,
        WorkerState::Busy,
        "it is busy with its callback"
    );
    release.send(()).unwrap();
    service.wait_idle();
}

#[test]
fn callbacks_of_an_aborted_promise_run_on_the_thread_that_aborts() {
    let (service, gated) = gated(1);
    service.queue_request(0);
    gated.gate.wait_for(1);
    let promise = service.queue_request(1);
    let (sender, receiver) = mpsc::channel();
    promise.on_settled(move |promise| {
        sender
            .send((thread::current().id(), promise.wait().copied()))
            .unwrap();
    });
    promise.abort();
    assert_eq!(
        receiver.try_recv(),
        Ok((thread::current().id(), Err(Failure::Aborted)))
    );
    gated.gate.open();
}
