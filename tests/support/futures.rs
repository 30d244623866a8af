//! Processors of numbers that await what a test has them await, wherever they run.

#![allow(
    unreachable_pub,
    unnameable_types,
    reason = "it is a part of several tests"
)]

use std::rc::Rc;
use std::sync::OnceLock;

use parallel_workers::{Async, AsyncProcessor, Context};

/// What a test has a request do.
pub type Function = Rc<dyn for<'a> Fn(u32, &'a Context<'a>) -> LocalBoxFuture<'a>>;
pub type LocalBoxFuture<'a> = std::pin::Pin<Box<dyn Future<Output = u32> + 'a>>;

pub struct Numbers(pub Function);

impl AsyncProcessor for Numbers {
    type Request = u32;
    type Output = u32;

    async fn process(&self, number: &u32, context: &Context<'_>) -> u32 {
        (self.0)(*number, context).await
    }
}

/// How a test's worker runs its futures.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    OwnThread,
    Tokio,
    FuturesExecutor,
    SmolExecutor,
}

pub const PLACES: [Place; 4] = [
    Place::OwnThread,
    Place::Tokio,
    Place::FuturesExecutor,
    Place::SmolExecutor,
];

pub fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap());
    runtime.handle().clone()
}

pub fn placed(place: Place, worker: Async<Numbers>) -> Async<Numbers> {
    match place {
        Place::OwnThread => worker,
        Place::Tokio => worker.on(runtime()),
        Place::FuturesExecutor => worker.inside(|work| futures::executor::block_on(work)),
        Place::SmolExecutor => worker.inside(|work| smol::block_on(work)),
    }
}
