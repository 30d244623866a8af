//! A panic as a value: caught where user code is called, with its message and location.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

use crate::sync::process::Mutex;
use crate::sync::{Arc, thread};

/// What a panic said, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic(Arc<Report>);

#[derive(Debug, PartialEq, Eq)]
struct Report {
    message: String,
    location: Option<String>,
}

impl Panic {
    pub(crate) fn new(message: impl Into<String>, location: Option<String>) -> Self {
        Self(Arc::new(Report {
            message: message.into(),
            location,
        }))
    }

    /// The panic's message; for a payload that is no string, a sentence that says so.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened, as `file:line:column`.
    ///
    /// `None` where the location could not be had: another panic hook was installed after the service was
    /// started and does not call the one before it, or the panic was resumed.
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location() {
            Some(location) => write!(f, "{}, at {location}", self.message()),
            None => f.write_str(self.message()),
        }
    }
}

impl Error for Panic {}

/// Calls foreign code; a panic becomes a value.
///
/// The unwind safety is asserted because whatever the code touched is given up by the caller: a processor is
/// rebuilt, a callback is never called again.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = CATCHING
        .try_with(|catching| catching.replace(true))
        .unwrap_or(false);
    let result = catch_unwind(AssertUnwindSafe(f));
    let _ = CATCHING.try_with(|catching| catching.set(outer));
    result.map_err(|payload| {
        let location = LOCATION.try_with(RefCell::take).unwrap_or_default();
        let message = message_of(payload.as_ref());
        discard(payload);
        Panic::new(message, location)
    })
}

/// Drops a foreign value; a panic in its `Drop` ends here, and so does one in the drop of that panic's payload.
#[inline]
pub(crate) fn discard<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        discard_foreign(value);
    }
}

fn discard_foreign<T>(value: T) {
    let mut next: Option<Box<dyn Any + Send>> =
        catch_unwind(AssertUnwindSafe(|| drop(value))).err();
    // A payload may panic when dropped, and so may the payload of that panic. Somebody who goes on for longer
    // than this does it on purpose, and loses the memory.
    for _ in 0..8 {
        match next {
            None => return,
            Some(payload) => next = catch_unwind(AssertUnwindSafe(|| drop(payload))).err(),
        }
    }
    std::mem::forget(next);
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(message) = payload.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message.clone()
    } else {
        "(the panic's payload was no string)".to_owned()
    }
}

thread_local! {
    /// Whether a panic on this thread ends in [`catch`].
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// Where the latest of them happened.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has the location of panics recorded, from now on: the panic hook is the only one who is told. The hook that
/// was there before is still called, so nothing changes in what is printed.
pub(crate) fn record_locations() {
    static RECORDING: Mutex<bool> = Mutex::new(false);
    // A panicking thread may not touch the hook.
    if thread::panicking() {
        return;
    }
    let mut recording = RECORDING.lock();
    if *recording {
        return;
    }
    *recording = true;
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if CATCHING.try_with(Cell::get).unwrap_or(false) {
            let location = info.location().map(ToString::to_string);
            let _ = LOCATION.try_with(|slot| slot.replace(location));
        }
        before(info);
    }));
}
