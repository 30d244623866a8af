//! Child processes: isolation, real kills, and workers in any language.
//!
//! [`Child`] is a [`Processor`](crate::Processor) that has its requests processed by a process of its own, one for each
//! worker. Nothing changes for callers: requests are shared, promises settle, sets yield them, workers are killed and
//! replaced, as on threads. Only what crosses the pipe needs `serde`: requests are `Serialize`, outputs are `Deserialize`, and in
//! a child the other way round.
//!
//! What a process gives that a thread cannot: a crash, an abort, a stack overflow or a leak is its own; a kill ends what
//! runs; memory can be limited; and the worker may be written in another language. The protocol is on
//! [one page](protocol), from which somebody can write a
//! worker in an afternoon; `examples/any_language` has one in Python and one in Node.
//!
//! For Unix. On Linux, children that [`serve`](fn@serve) are also ended by a signal when their worker's thread is gone, memory can be
//! limited, and the status tells their processor time and memory.

mod builder;
mod child;
mod driver;
mod end;
mod error;
mod frame;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod intake;
mod link;
mod message;
mod running;
mod sent;
mod serve;
mod session;
mod spawned;
mod wake;
mod watcher;
mod window;

#[doc = include_str!("process/PROTOCOL.md")]
pub mod protocol {}

pub use crate::foreign::Foreign;
pub use builder::ChildBuilder;
pub use child::Child;
pub use error::ChildError;
pub use serve::serve;
