//! Who queues a request.

use crate::subscribers::Subscriber;
use crate::trace::Origin;

/// What a caller brings besides the request and its terms. It goes into the run, if there is a new one.
///
/// `S` is a [`Subscriber`] or [`Nobody`]: which, is known when this is compiled, for most callers bring none.
pub(crate) struct Caller<S> {
    pub(crate) origin: Origin,
    /// Who is told when the run settles: asked for before anybody else sees the run, that costs no lock.
    pub(crate) subscriber: S,
}

impl Caller<Nobody> {
    /// The calling thread, which will see to being told later, if at all.
    #[inline]
    pub(crate) fn here() -> Self {
        Self::telling(Nobody)
    }
}

impl<S> Caller<S> {
    /// The calling thread, on behalf of a subscriber.
    pub(crate) fn telling(subscriber: S) -> Self {
        Self {
            origin: Origin::here(),
            subscriber,
        }
    }
}

/// No subscriber.
pub(crate) struct Nobody;

impl From<Nobody> for Option<Subscriber> {
    fn from(_: Nobody) -> Self {
        None
    }
}
