//! Queue a request, get a promise; equal requests share one.
mod sync;

mod blocking;
mod builder;
mod context;
mod counters;
mod current;
mod dispatcher;
mod error;
mod handle;
mod in_flight;
mod job;
mod jobs;
mod lane;
mod map;
mod panic;
mod pool;
mod processor;
mod promise;
mod promise_future;
mod promise_set;
mod queue;
mod ready;
mod record;
mod room;
mod run;
mod service;
mod state;
mod status;
mod subscribers;
mod wakers;
mod worker;

pub use builder::ProcessorServiceBuilder;
pub use context::Context;
pub use dispatcher::Share;
pub use error::{FactoryError, Failure, QueueError, StartError};
pub use handle::{Handle, PromiseOf, PromiseSetOf};
pub use job::Job;
pub use jobs::{Jobs, NextJob};
pub use map::{Map, MapUnordered};
pub use panic::Panic;
pub use processor::{Processor, ProcessorFn, processor_fn};
pub use promise::Promise;
pub use promise_future::{PromiseFuture, PromiseRefFuture};
pub use promise_set::{PromiseSet, Select};
pub use service::ProcessorService;
pub use state::{Abort, State};
pub use status::{
    ServiceStatus, Settled, Shutdown, ShutdownReport, WorkerId, WorkerState, WorkerStatus,
};
