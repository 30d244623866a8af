//! Queue a request, get a promise; equal requests share one.
//!
//! A [`ProcessorService`] owns workers, each with a [`Processor`] of its own, and processes the requests that it is
//! given: many at once, equal ones in flight only once. Each request gives a [`Promise`], which can be waited
//! for, awaited, called back from and aborted; a [`PromiseSet`] yields promises in the order in which they settle.
//!
//! ```
//! use parallel_workers::{Context, Processor, ProcessorService};
//!
//! struct Greeter;
//!
//! impl Processor for Greeter {
//!     type Request = String;
//!     type Output = String;
//!
//!     fn process(&mut self, name: &String, _: &Context) -> String {
//!         format!("Hello {name}")
//!     }
//! }
//!
//! let service = ProcessorService::start(2, || Greeter)?;
//! let promises = service.queue_requests(["Ada", "Blaise", "Ada"].map(String::from));
//! for promise in promises.select() {
//!     println!("{}", promise.wait()?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is guaranteed
//!
//! 1. **Every promise settles exactly once**, whatever happens: with an output, or with a [`Failure`] that says why
//!    there is none. Nothing accepted is lost in silence, and nothing waits for ever.
//! 2. **One run per key at a time.** A request equal to one that is queued or runs joins it, see [`Share`]. Requests
//!    that are not equal are never mixed up, whatever their hashes.
//! 3. **Remove, then settle, then notify.** Whoever sees an outcome and queues the same request gets a new run
//!    (with [`Share::InFlight`]).
//! 4. **A ticket per caller.** Aborting withdraws one caller's vote; a run is aborted when it has not begun and nobody
//!    is left who wants it. Who joins at that moment never inherits `Aborted`.
//! 5. **Dropping a promise is not aborting.**
//! 6. **Completion order.** A set yields each promise once, as they settle, and frees what it yields.
//! 7. **Callbacks** run exactly once, outside all locks, in the order of registration; one that panics harms nobody.
//! 8. **A panic is a value**, [`Failure::Panicked`]; the worker goes on with a new processor.
//! 9. **Work-conserving.** No request waits while a worker that may run it is idle.
//! 10. **Waiting inside a worker is safe.** A processor may wait for other requests: a spare worker stands in for it
//!     ([`ProcessorServiceBuilder::max_spare_workers`]), and a wait that would close a circle says
//!     [`Failure::Cycle`] instead, also where it leads through what one worker alone can do.
//! 11. **Stopping is a protocol**, see [`ProcessorService::shutdown`]; everybody who is blocked here is woken.
//! 12. **Your code is foreign.** Processors, callbacks, `Hash`, `Eq`, `Clone`, `Drop` and wakers may panic, block and
//!     call back; none of them runs under a lock of this crate, but `Hash` and `Eq`, which poison nothing there.
//! 13. **No unsafe code.**
//!
//! Not promised: that a request which never ends can be ended on a thread (its promise can be settled, see [`Worker::kill`] and
//! [`Shutdown::Abandon`]; in a child process it is), nor that anything survives the end of the process. Where a program is built with
//! `panic = "abort"`, a panic ends it.
//!
//! # A worker is a processor that runs jobs
//!
//! [`Processor::process`] takes one request after another. A processor that batches, runs many requests at once,
//! or sends them elsewhere overrides [`Processor::run`] and takes [`Job`]s from its [`Jobs`] as it likes. A job is
//! settled once, from any thread; dropped unsettled, it settles its promise with [`Failure::WorkerLost`], so
//! whatever becomes of it, nobody is left waiting.
//!
//! # Awaiting
//!
//! Callers under any executor await a [`Promise`], a [`PromiseSet`] is a `Stream`, and what may have to wait has a form
//! that blocks no thread: [`ProcessorService::queue_request_async`], [`stop_async`](ProcessorService::stop_async),
//! [`wait_idle_async`](ProcessorService::wait_idle_async), [`map_async`](ProcessorService::map_async). All of them may
//! be dropped at any time. [`Promise::abort_on_drop`] is for handlers whose being dropped means that nobody waits any more.
//!
//! With the feature `async`, processors await too: `Async` makes a [`Processor`] of an `AsyncProcessor`, and one worker drives
//! thousands of requests at a time, on its own thread, inside tokio or another runtime, or as tasks that a runtime spawns.
//!
//! # Child processes
//!
//! With the feature `process`, `process::Child` has the requests of each worker processed by a process of its own: this program
//! again, another one, or one in any language. What crashes or never ends is one request's matter then, and a kill is a kill.
//!
//! # Many machines
//!
//! With the feature `nats`, `nats::Remote` has requests processed by the workers of a cluster, wherever `nats::serve` runs: NATS
//! JetStream keeps the queue, equal requests of any number of hosts are processed once, and what a lost worker had is begun by another.
//!
//! # Workers
//!
//! Workers are listed, named, added, removed, resized, and killed while the service works; a request can be assigned to
//! one of them, a closure broadcast to all of their processors: [`Worker`], [`ProcessorService::workers`],
//! [`ProcessorService::distribute`], [`ProcessorService::broadcast`].
//!
//! # Watching
//!
//! [`ProcessorService::status`] is a snapshot that prints as a table: what waits and for how long, what each
//! worker holds, how busy it is, how runs ended. [`ProcessorService::subscribe`] tells of each run and each worker as it
//! happens. Three features, all off by default, hand the same on:
//!
//! | feature | what it adds |
//! |---|---|
//! | `serde` | `Serialize` for figures and events, durations as seconds |
//! | `metrics` | meters through the [`metrics`](https://docs.rs/metrics) facade, per service name: `parallel_workers_queued`, `parallel_workers_wait_seconds`, `parallel_workers_run_seconds`, `parallel_workers_settled_total` by `outcome`, `parallel_workers_coalesced_total`, `parallel_workers_respawns_total`. Install the recorder before the service starts |
//! | `tracing` | a span `run` (target `parallel_workers`, level info) per run with `request`, `worker`, `waited`, `ran` and `outcome`: a child of the span in which the request was queued, following from the spans of all who joined |
//!
//! # How a request travels
//!
//! ```text
//! caller -> queue_request -> in-flight table: join or lead -> queue -> worker -> Processor::run -> Job::settle
//!                                                                                                      |
//!              callbacks, blocked threads, tasks, promise sets  <-  subscribers  <-  the run  <--------+
//! ```
//!
//! The source is meant to be read from the bottom of the list of modules up: `sync`, `wakers` and `blocking`; `waits` and `waiting`,
//! with `spares`, for those who wait inside a worker; `service_id`, `status`, `event`,
//! `record` and what else is plain; `state`, `subscribers` and `run`, the one subtle part; `lane`, `inbox`, `hand`, `lanes`, `sleepers` and
//! `idle`, which make up `queue_state` and so `queue`; `in_flight` and `departures`, `parked`, `room`, `observer`; `dispatcher`, where
//! all of these meet, with `entry`, `ending` and `giving_up`; `promise` and `promise_set`; `context`, `desk`, `job`, `jobs`, `renewal`, `processor`, `foreign`, `mail` and `supervisor`; `pool`, `replacement` and `reserve`,
//! `builder`, `service`, `worker`, `assign`, `broadcast`; and `asynchronous`, `nats` and `process`, which know
//! little but `jobs`, and, where they feed a service, its `handle`.

mod assign;
#[cfg(feature = "async")]
mod asynchronous;
mod broadcast;
mod builder;
mod handle;
mod map;
mod map_async;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(all(feature = "process", unix))]
pub mod process;
mod service;
mod stop_future;
mod worker;

mod alive;
mod beginning;
mod mail;
mod pool;
mod replacement;
mod reserve;
mod supervisor;

mod cancelled;
mod context;
mod desk;
#[cfg(any(feature = "nats", all(feature = "process", unix)))]
mod foreign;
mod job;
mod jobs;
mod next_job;
mod processor;
mod renewal;

mod abort_on_drop;
mod awaiting;
mod members;
mod promise;
mod promise_future;
mod promise_set;
mod queue_future;

mod dispatcher;
mod ending;
mod entry;
mod giving_up;

mod caller;
mod run;
mod subscribers;

mod counters;
mod departures;
mod hand;
mod idle;
mod in_flight;
mod inbox;
mod lane;
mod lanes;
mod observer;
mod parked;
mod queue;
mod queue_state;
mod room;
mod sleepers;
mod terms;

mod meters;
mod trace;

mod current;
mod error;
mod event;
mod events;
mod figures;
mod held;
mod pace;
mod record;
mod request_id;
#[cfg(feature = "serde")]
mod seconds;
mod service_id;
mod share;
mod spares;
mod state;
mod status;
mod task;
mod usage;
mod waiting;
mod waits;

mod blocking;
mod loss;
mod panic;
mod ready;
mod sync;
mod wakers;

pub use abort_on_drop::AbortOnDrop;
#[cfg(feature = "async")]
pub use asynchronous::{Async, AsyncProcessor, Task};
pub use broadcast::Broadcast;
pub use builder::ProcessorServiceBuilder;
pub use cancelled::Cancelled;
pub use context::Context;
pub use error::{Circle, FactoryError, Failure, QueueError, StartError};
pub use event::{Event, Outcome};
pub use events::Events;
pub use handle::{Handle, PromiseOf, PromiseSetOf};
pub use job::Job;
pub use jobs::Jobs;
pub use loss::{Breach, Loss};
pub use map::{Map, MapUnordered};
pub use map_async::{MapAsync, MapUnorderedAsync};
pub use next_job::NextJob;
pub use panic::Panic;
pub use processor::{Processor, ProcessorFn, processor_fn};
pub use promise::Promise;
pub use promise_future::{PromiseFuture, PromiseRefFuture};
pub use promise_set::{PromiseSet, Select};
pub use queue_future::QueueRequest;
pub use request_id::RequestId;
pub use service::ProcessorService;
pub use share::Share;
pub use state::{Abort, State};
pub use status::{
    ProcessStatus, RequestStatus, ServiceStatus, Settled, Shutdown, ShutdownReport, WorkerId,
    WorkerState, WorkerStatus,
};
pub use stop_future::{Stop, WaitIdle};
pub use worker::Worker;

/// The examples of the README are tested with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
