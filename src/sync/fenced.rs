//! Loom's atomics, made sequentially consistent where that is asked for.
//!
//! Loom takes `SeqCst` for `AcqRel`, and would report orders that cannot come about. Fences it does know, so each
//! such step has one before and one after it. That is somewhat more than the step alone promises: what this crate
//! needs of it is that of two threads that each write one place and then read the other's, one sees the other.

pub(crate) use std::sync::atomic::Ordering;

use loom::sync::atomic::{self, fence};

fn fenced<T>(order: Ordering, step: impl FnOnce() -> T) -> T {
    let is_total = order == Ordering::SeqCst;
    if is_total {
        fence(Ordering::SeqCst);
    }
    let result = step();
    if is_total {
        fence(Ordering::SeqCst);
    }
    result
}

macro_rules! steps {
    ($name:ident, $value:ty: $($step:ident)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(atomic::$name);

        #[allow(dead_code, reason = "not every one of them is used in each way")]
        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                fenced(order, || self.0.load(order))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                fenced(order, || self.0.store(value, order));
            }

            $(
                pub(crate) fn $step(&self, value: $value, order: Ordering) -> $value {
                    fenced(order, || self.0.$step(value, order))
                }
            )*
        }
    };
}

steps!(AtomicBool, bool: swap);
steps!(AtomicI32, i32:);
steps!(AtomicU8, u8: fetch_or fetch_and);
steps!(AtomicU32, u32: fetch_add fetch_sub);
steps!(AtomicU64, u64: fetch_add);
steps!(AtomicUsize, usize: fetch_add fetch_sub);

impl AtomicU64 {
    pub(crate) fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let step = || self.0.compare_exchange_weak(current, new, success, failure);
        fenced(success, step)
    }
}
