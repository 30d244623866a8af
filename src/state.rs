//! The state of one run, in one word: how far it is, and how many callers want it.
//!
//! | from | to | who makes the step | when |
//! |---|---|---|---|
//! | queued | running | the worker that takes it | it begins to process |
//! | queued | withdrawn | the last caller that leaves | nobody is left who wants it |
//! | queued | withdrawn | a shutdown, or a worker that cannot be made | nobody will process it |
//! | running | finishing | the job, or whoever gives its worker up | there is an outcome |
//! | running | queued | the worker that has it | it had sent it elsewhere, and it was not begun there |
//!
//! Every step is one compare-and-swap on the word, so each has exactly one winner; a withdrawn or finishing run
//! is settled by whoever made that step, and by nobody else. The votes are in the same word, so that leaving
//! and joining cannot miss each other: a run that its last caller left cannot be joined any more.

use crate::sync::atomic::{AtomicU64, Ordering};

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has begun to process it.
    Queued,
    /// A worker processes it.
    Running,
    /// Its outcome can be read.
    Settled,
}

/// What [`Promise::abort`](crate::Promise::abort) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abort {
    /// The request will never be processed; its promise is settled with `Failure::Aborted`.
    Aborted,
    /// Others want the same run, which goes on. For this caller the promise is settled with
    /// `Failure::Aborted`.
    StillWanted,
    /// Too late: a worker processes it, and the promise will settle with the outcome. If nobody wants it any
    /// more, `Context::is_cancelled` tells the processor that it may stop.
    Running,
    /// Too late: the promise was settled already.
    Settled,
}

/// One caller's vote for a run: the number of its `queue_request` among those that share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u32);

impl Ticket {
    /// The caller who made the run.
    pub(crate) const FIRST: Self = Self(0);
    /// A caller who cannot leave: one who found the run settled, and whoever comes after the first thousand
    /// million, for whom the word has no room.
    pub(crate) const PINNED: Self = Self(u32::MAX);
    /// Not a caller at all, but the run's own processor, which wants to know when nobody wants the output.
    pub(crate) const PROCESSOR: Self = Self(u32::MAX - 1);
}

/// What a step that was not made, or an end, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Queued,
    Running,
    Withdrawn,
    Finishing,
}

/// Whether a request may share a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Yes; this is its vote.
    Joined(Ticket),
    /// No: everybody left while it ran, so its processor may have been told to give up. An equal request is a
    /// new run, to begin when this one has ended.
    Cancelled,
    /// No: it ended without having been processed, or everybody left it and it has ended.
    Over,
}

/// What a caller's leaving came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// He was the last, and the run is his to settle.
    Withdrawn,
    StillWanted,
    Running,
    /// Somebody else withdrew the run and is about to settle it.
    Settling,
}

const PHASE_BITS: u32 = 2;
const COUNT_BITS: u32 = 30;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;
const ONE_TICKET: u64 = 1 << PHASE_BITS;
const ONE_LEFT: u64 = 1 << (PHASE_BITS + COUNT_BITS);
/// Set where the in-flight table does not know the run.
const UNLISTED: u64 = 1 << (PHASE_BITS + 2 * COUNT_BITS);

/// A reading of the word.
#[derive(Clone, Copy)]
pub(crate) struct Reading(u64);

impl Reading {
    pub(crate) fn phase(self) -> Phase {
        match self.0 & PHASE_MASK {
            0 => Phase::Queued,
            1 => Phase::Running,
            2 => Phase::Withdrawn,
            _ => Phase::Finishing,
        }
    }

    fn tickets(self) -> u64 {
        (self.0 >> PHASE_BITS) & COUNT_MAX
    }

    fn left(self) -> u64 {
        (self.0 >> (PHASE_BITS + COUNT_BITS)) & COUNT_MAX
    }

    /// Whether anybody left: only then does it matter who asks.
    pub(crate) fn some_left(self) -> bool {
        self.left() > 0
    }

    /// How many votes are left; of a run with no room to count more of them, too many to ever reach zero.
    fn votes(self) -> u64 {
        let uncounted = u64::from(self.tickets() == COUNT_MAX);
        self.tickets() - self.left() + uncounted
    }

    /// Whether everybody left.
    pub(crate) fn is_cancelled(self) -> bool {
        self.votes() == 0
    }

    pub(crate) fn is_listed(self) -> bool {
        self.0 & UNLISTED == 0
    }

    fn with_phase(self, phase: Phase) -> u64 {
        (self.0 & !PHASE_MASK) | phase as u64
    }
}

/// The word itself.
///
/// ORDERING: what is acted on is published by the outcome's `OnceLock` and the subscribers' mutex, so acquire and
/// release would do, with one exception: a worker that begins a run, then asks whether it was given up, and whoever
/// gives a worker up, then asks which runs it has begun, must not miss each other. So the steps are SeqCst; on the
/// machines at hand a compare-and-swap costs the same either way.
#[derive(Debug)]
pub(crate) struct StateWord(AtomicU64);

impl StateWord {
    /// A queued run with one vote, its maker's.
    #[inline]
    pub(crate) fn new(listed: bool) -> Self {
        Self(AtomicU64::new(
            ONE_TICKET | if listed { 0 } else { UNLISTED },
        ))
    }

    #[inline]
    pub(crate) fn read(&self) -> Reading {
        Reading(self.0.load(Ordering::SeqCst))
    }

    /// Whether nobody wants the output of a run that has begun: everybody left, or it was given up.
    pub(crate) fn is_unwanted(&self) -> bool {
        let reading = self.read();
        reading.phase() != Phase::Running || reading.is_cancelled()
    }

    /// A worker takes the run. False: it was withdrawn.
    #[inline]
    pub(crate) fn start(&self) -> bool {
        self.step(|word| match word.phase() {
            Phase::Queued => Ok(word.with_phase(Phase::Running)),
            _ => Err(()),
        })
        .is_ok()
    }

    /// The run was not begun after all, and is to be taken again. False: it has been settled, or nobody wants it.
    pub(crate) fn give_back(&self) -> bool {
        self.step(|word| match word.phase() {
            Phase::Running if !word.is_cancelled() => Ok(word.with_phase(Phase::Queued)),
            _ => Err(()),
        })
        .is_ok()
    }

    /// There is an outcome for a running run. `None`: it has been settled, as by a kill.
    #[inline]
    pub(crate) fn finish(&self) -> Option<Reading> {
        self.step(|word| match word.phase() {
            Phase::Running => Ok(word.with_phase(Phase::Finishing)),
            _ => Err(()),
        })
        .ok()
    }

    /// Nobody will process the queued run, whoever wants it. False: it has begun, or was withdrawn.
    pub(crate) fn withdraw(&self) -> bool {
        self.step(|word| match word.phase() {
            Phase::Queued => Ok(word.with_phase(Phase::Withdrawn)),
            _ => Err(()),
        })
        .is_ok()
    }

    /// As [`withdraw`](Self::withdraw), provided that nobody has joined its maker.
    pub(crate) fn withdraw_unshared(&self) -> bool {
        self.step(|word| match (word.phase(), word.tickets()) {
            (Phase::Queued, 1) => Ok(word.with_phase(Phase::Withdrawn)),
            _ => Err(()),
        })
        .is_ok()
    }

    /// A caller wants to share the run.
    #[inline]
    pub(crate) fn join(&self) -> Join {
        let joined = self.step(|word| match word.phase() {
            Phase::Withdrawn => Err(Join::Over),
            Phase::Running if word.is_cancelled() => Err(Join::Cancelled),
            Phase::Finishing if word.is_cancelled() => Err(Join::Over),
            _ if word.tickets() == COUNT_MAX => Err(Join::Joined(Ticket::PINNED)),
            _ => Ok(word.0 + ONE_TICKET),
        });
        match joined {
            // The count is below 2^30, so it fits the ticket.
            Ok(before) => Join::Joined(Ticket(before.tickets() as u32)),
            Err(refusal) => refusal,
        }
    }

    /// A caller takes his vote back. To be called once for a ticket, except that it may be asked again after
    /// it said `Running`.
    pub(crate) fn leave(&self) -> Leave {
        let left = self.step(|word| match word.phase() {
            Phase::Queued if word.votes() == 1 => Ok(word.with_phase(Phase::Withdrawn)),
            Phase::Running if word.is_cancelled() => Err(Leave::Running),
            Phase::Queued | Phase::Running => Ok(word.0 + ONE_LEFT),
            Phase::Finishing => Err(Leave::Running),
            Phase::Withdrawn => Err(Leave::Settling),
        });
        match left {
            Err(refusal) => refusal,
            Ok(before) => match (before.phase(), before.votes() == 1) {
                (Phase::Queued, true) => Leave::Withdrawn,
                (_, true) => Leave::Running,
                (_, false) => Leave::StillWanted,
            },
        }
    }

    #[inline]
    fn step<E>(&self, next: impl Fn(Reading) -> Result<u64, E>) -> Result<Reading, E> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let wanted = next(Reading(word))?;
            match self
                .0
                .compare_exchange_weak(word, wanted, Ordering::SeqCst, Ordering::Acquire)
            {
                Ok(_) => return Ok(Reading(word)),
                Err(found) => word = found,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_caller_to_leave_a_queued_run_withdraws_it() {
        let word = StateWord::new(true);
        assert_eq!(word.join(), Join::Joined(Ticket(1)));
        assert_eq!(word.leave(), Leave::StillWanted);
        assert_eq!(word.leave(), Leave::Withdrawn);
        assert_eq!(word.join(), Join::Over);
        assert!(!word.start());
    }

    #[test]
    fn a_running_run_that_everybody_left_is_cancelled_and_takes_nobody() {
        let word = StateWord::new(true);
        assert!(word.start());
        assert_eq!(word.leave(), Leave::Running);
        assert!(word.read().is_cancelled());
        assert_eq!(word.leave(), Leave::Running);
        assert_eq!(word.join(), Join::Cancelled);
        assert!(word.finish().is_some_and(Reading::is_cancelled));
        assert_eq!(word.join(), Join::Over);
        assert!(word.finish().is_none());
    }

    #[test]
    fn a_run_that_is_given_back_is_queued_again_unless_everybody_left() {
        let word = StateWord::new(true);
        assert!(!word.give_back());
        assert!(word.start());
        assert!(word.give_back());
        assert_eq!(word.read().phase(), Phase::Queued);
        assert!(word.start());
        assert_eq!(word.leave(), Leave::Running);
        assert!(!word.give_back());
        assert!(word.finish().is_some());
        assert!(!word.give_back());
    }

    #[test]
    fn a_run_with_no_room_for_tickets_is_joined_and_never_left() {
        let word = StateWord(AtomicU64::new(COUNT_MAX << PHASE_BITS));
        assert_eq!(word.join(), Join::Joined(Ticket::PINNED));
        let almost_all_left = StateWord(AtomicU64::new(
            word.0.into_inner() + (COUNT_MAX - 1) * ONE_LEFT,
        ));
        assert_eq!(almost_all_left.leave(), Leave::StillWanted);
        assert!(!almost_all_left.read().is_cancelled());
    }

    #[test]
    fn a_refused_run_is_taken_back_only_while_nobody_shares_it() {
        let word = StateWord::new(true);
        word.join();
        assert!(!word.withdraw_unshared());
        assert!(word.withdraw());
        assert!(!word.withdraw());
    }
}
