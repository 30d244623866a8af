//! Promises as futures, under any executor.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::awaiting::Awaiting;
use crate::error::Failure;
use crate::promise::Promise;

/// Awaiting a promise gives a copy of the outcome.
impl<R, T: Clone> IntoFuture for Promise<R, T> {
    type Output = Result<T, Failure>;
    type IntoFuture = PromiseFuture<R, T>;

    fn into_future(self) -> Self::IntoFuture {
        PromiseFuture {
            promise: self,
            awaiting: Awaiting::default(),
        }
    }
}

/// Awaiting a borrowed promise borrows the outcome.
impl<'a, R, T> IntoFuture for &'a Promise<R, T> {
    type Output = Result<&'a T, Failure>;
    type IntoFuture = PromiseRefFuture<'a, R, T>;

    fn into_future(self) -> Self::IntoFuture {
        PromiseRefFuture {
            promise: self,
            awaiting: Awaiting::default(),
        }
    }
}

/// The outcome of a borrowed promise, see [`Promise`].
///
/// # Cancel safety
///
/// Dropped at any time, it leaves nothing behind; the promise can be awaited again.
#[must_use = "futures do nothing unless awaited"]
pub struct PromiseRefFuture<'a, R, T> {
    promise: &'a Promise<R, T>,
    awaiting: Awaiting,
}

impl<'a, R, T> Future for PromiseRefFuture<'a, R, T> {
    type Output = Result<&'a T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let promise = self.promise;
        self.awaiting.poll(promise, cx.waker())
    }
}

impl<R, T> Drop for PromiseRefFuture<'_, R, T> {
    fn drop(&mut self) {
        self.awaiting.leave(self.promise);
    }
}

impl<R, T> fmt::Debug for PromiseRefFuture<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PromiseRefFuture(..)")
    }
}

/// A copy of the outcome of a promise, see [`Promise`].
///
/// # Cancel safety
///
/// Dropped at any time, it leaves nothing behind; a clone of the promise can be awaited again.
#[must_use = "futures do nothing unless awaited"]
pub struct PromiseFuture<R, T> {
    promise: Promise<R, T>,
    awaiting: Awaiting,
}

impl<R, T: Clone> Future for PromiseFuture<R, T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.awaiting.poll(&this.promise, cx.waker());
        polled.map(|outcome| outcome.cloned())
    }
}

impl<R, T> Drop for PromiseFuture<R, T> {
    fn drop(&mut self) {
        self.awaiting.leave(&self.promise);
    }
}

impl<R, T> fmt::Debug for PromiseFuture<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PromiseFuture(..)")
    }
}
