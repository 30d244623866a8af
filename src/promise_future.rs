//! Promises as futures, under any executor.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Failure;
use crate::promise::Promise;
use crate::subscribers::Key;

/// Awaiting a promise gives a copy of the outcome.
impl<R, T: Clone> IntoFuture for Promise<R, T> {
    type Output = Result<T, Failure>;
    type IntoFuture = PromiseFuture<R, T>;

    fn into_future(self) -> Self::IntoFuture {
        PromiseFuture {
            promise: self,
            key: None,
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
            key: None,
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
    key: Option<Key>,
}

impl<'a, R, T> Future for PromiseRefFuture<'a, R, T> {
    type Output = Result<&'a T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let promise = self.promise;
        promise
            .poll(&mut self.key, cx.waker())
            .map_or(Poll::Pending, Poll::Ready)
    }
}

impl<R, T> Drop for PromiseRefFuture<'_, R, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.promise.unsubscribe(key);
        }
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
    key: Option<Key>,
}

impl<R, T: Clone> Future for PromiseFuture<R, T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.promise.poll(&mut this.key, cx.waker()) {
            None => Poll::Pending,
            Some(outcome) => Poll::Ready(outcome.cloned()),
        }
    }
}

impl<R, T> Drop for PromiseFuture<R, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.promise.unsubscribe(key);
        }
    }
}

impl<R, T> fmt::Debug for PromiseFuture<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PromiseFuture(..)")
    }
}
