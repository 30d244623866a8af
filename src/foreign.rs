//! A processor in another language.

use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use crate::context::Context;
use crate::processor::Processor;

/// Stands for a processor in another language: it has a request and an output type, and there are none of it in this
/// program.
///
/// For workers that are child processes (`process::Child::command`), and for those of a cluster (`nats::Remote`).
pub struct Foreign<R, T> {
    never: Infallible,
    types: PhantomData<fn(&R) -> T>,
}

impl<R, T> Processor for Foreign<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Request = R;
    type Output = T;

    fn process(&mut self, _: &R, _: &Context<'_>) -> T {
        match self.never {}
    }
}

impl<R, T> fmt::Debug for Foreign<R, T> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.never {}
    }
}
