//! How a worker's start is waited for.

use std::task::Waker;

use crate::blocking::block_on;
use crate::error::StartError;
use crate::sync::Mutex;
use crate::wakers::wake_all;

/// What became of a worker's start.
#[derive(Default)]
pub(crate) struct Beginning(Mutex<Begun>);

#[derive(Default)]
struct Begun {
    result: Option<Result<(), StartError>>,
    waiting: Option<Waker>,
}

impl Beginning {
    /// The worker has its processor, or there is none for it.
    pub(crate) fn set(&self, result: Result<(), StartError>) {
        let mut begun = self.0.lock();
        begun.result = Some(result);
        let woken = begun.waiting.take();
        drop(begun);
        wake_all(woken);
    }

    /// Waits until it is known.
    pub(crate) fn wait(&self) -> Result<(), StartError> {
        block_on(|waker| {
            let mut begun = self.0.lock();
            begun.waiting = Some(waker.clone());
            begun.result.take()
        })
    }
}
