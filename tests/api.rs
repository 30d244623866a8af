//! What the types promise to the compiler.

use std::fmt::Debug;
use std::rc::Rc;

use parallel_workers::{
    Abort, Context, Failure, Handle, Job, Panic, Processor, ProcessorService, Promise, PromiseOf,
    PromiseSet, PromiseSetOf, QueueError, ServiceStatus, Share, Shutdown, StartError, State,
    WorkerId, WorkerStatus,
};

/// Neither `Send` nor `Sync`.
struct Homely(#[allow(dead_code, reason = "only its type matters")] Rc<()>);

impl Processor for Homely {
    type Request = String;
    type Output = Vec<u8>;

    fn process(&mut self, request: &String, _: &Context<'_>) -> Vec<u8> {
        request.clone().into_bytes()
    }
}

fn is_shareable<T: Send + Sync>() {}
fn is_debug<T: Debug>() {}
fn is_plain<T: Copy + Eq + Debug + Send + Sync>() {}

#[test]
fn services_promises_and_sets_are_send_and_sync_for_any_processor() {
    is_shareable::<ProcessorService<Homely>>();
    is_shareable::<Handle<Homely>>();
    is_shareable::<PromiseOf<Homely>>();
    is_shareable::<PromiseSetOf<Homely>>();
    is_shareable::<Job<String, Vec<u8>>>();
    is_shareable::<Failure>();
    is_shareable::<StartError>();
}

#[test]
fn everything_prints_for_debugging() {
    is_debug::<ProcessorService<Homely>>();
    is_debug::<Handle<Homely>>();
    is_debug::<PromiseOf<Homely>>();
    is_debug::<PromiseSetOf<Homely>>();
    is_debug::<QueueError<Rc<()>>>();
    is_debug::<(ServiceStatus, WorkerStatus, Panic)>();
}

#[test]
fn small_answers_are_plain_values() {
    is_plain::<Abort>();
    is_plain::<State>();
    is_plain::<Share>();
    is_plain::<Shutdown>();
    is_plain::<WorkerId>();
}

#[test]
fn handles_are_small() {
    assert_eq!(size_of::<Promise<String, String>>(), 16);
    assert!(size_of::<Failure>() <= 16);
    // A container, with a buffer of those that have settled, and what its members tell of it.
    assert!(size_of::<PromiseSet<String, String>>() <= 128);
}

#[test]
fn errors_name_their_own_layer_and_give_their_source() {
    use std::error::Error;
    let error = ProcessorService::builder()
        .workers(1)
        .name("clerk")
        .try_start(|| Err::<Homely, _>(std::io::Error::other("no disk")))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the factory failed to make the processor of worker \"clerk-0\""
    );
    assert_eq!(
        error.source().map(ToString::to_string).as_deref(),
        Some("no disk")
    );
}
