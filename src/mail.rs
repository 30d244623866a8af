//! What is to be done with a worker's processor between two jobs.

use std::collections::VecDeque;

use crate::error::Failure;
use crate::loss::Loss;
use crate::record::WorkerRecord;
use crate::sync::Mutex;

/// Something to be done with a processor, once.
pub(crate) trait Order<P>: Send {
    /// Does it. False: it panicked, and the processor may be in any state.
    fn carry_out(self: Box<Self>, processor: &mut P) -> bool;

    /// It will not be done, and this is why.
    fn give_up(self: Box<Self>, failure: Failure);
}

/// One worker's orders, in the order in which they came. Closed when the worker has come to its end.
pub(crate) struct Mail<P>(Mutex<Option<VecDeque<Box<dyn Order<P>>>>>);

impl<P> Mail<P> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(VecDeque::new())))
    }

    /// Puts an order in for `worker`, whose mail this is, or gives it up. The worker is to be recalled then.
    pub(crate) fn post(&self, worker: &WorkerRecord, order: Box<dyn Order<P>>) {
        let mut orders = self.0.lock();
        let refused = match &mut *orders {
            Some(orders) => {
                orders.push_back(order);
                None
            }
            None => Some(order),
        };
        drop(orders);
        // After the order is there: whoever sees the mark finds it. One mark too many does no harm.
        worker.set_mail(true);
        if let Some(order) = refused {
            order.give_up(Failure::WorkerLost(Loss::Left));
        }
    }

    /// The next order.
    pub(crate) fn take(&self) -> Option<Box<dyn Order<P>>> {
        self.0.lock().as_mut()?.pop_front()
    }

    /// Gives up what is there, and whatever may come.
    pub(crate) fn close(&self, failure: &Failure) {
        let orders = self.0.lock().take();
        // LOCK: released above; promises settle here.
        give_up(orders.unwrap_or_default(), failure);
    }

    /// Gives up what is there: no processor can be made.
    pub(crate) fn give_up(&self, failure: &Failure) {
        let orders = self.0.lock().as_mut().map(std::mem::take);
        give_up(orders.unwrap_or_default(), failure);
    }
}

fn give_up<P>(orders: VecDeque<Box<dyn Order<P>>>, failure: &Failure) {
    for order in orders {
        order.give_up(failure.clone());
    }
}
