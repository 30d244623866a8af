//! Reads for a worker process while it is busy.
//!
//! A request that takes long may be cancelled meanwhile, what waits behind it recalled, and the service may be gone. So a
//! second thread looks now and then whether the same request still runs, and reads in the place of the one that is busy.
//! It costs a look a millisecond or so while there is something to do, and nothing while there is not.

use std::time::Duration;

use crate::blocking::{block_on, block_until};
use crate::process::intake::{Intake, Watched};
use crate::process::serve::fail;
use crate::sync::now;

/// How often it looks.
const TICK: Duration = Duration::from_millis(1);
/// After so many looks in vain it waits to be told.
const PATIENCE: u32 = 50;

/// Watches until the end of the input.
pub(crate) fn watch(intake: &Intake) {
    let mut before = None;
    let mut in_vain = 0;
    loop {
        let watched = if in_vain < PATIENCE {
            wait_a_tick();
            intake.watch(None)
        } else {
            block_on(|waker| Some(intake.watch(Some(waker))).filter(|one| *one != Watched::Idle))
        };
        let begun = match watched {
            Watched::Over => return,
            Watched::Idle => {
                in_vain += 1;
                before = None;
                continue;
            }
            Watched::Busy(begun) => begun,
        };
        in_vain = 0;
        while before == Some(begun) && intake.take_over(begun) {
            if let Err(error) = intake.read() {
                fail(&error);
            }
        }
        before = Some(begun);
    }
}

fn wait_a_tick() {
    let deadline = now() + TICK;
    // Nobody wakes it.
    while now() < deadline {
        block_until::<()>(Some(deadline), |_| None);
    }
}
