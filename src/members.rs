//! The promises that a set keeps, by number.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use slab::Slab;

use crate::promise::Promise;
use crate::ready::{Announcer, Ready};
use crate::subscribers::Key;
use crate::sync::Arc;

/// The promises that a set keeps.
pub(crate) struct Members<R, T> {
    all: Slab<Member<R, T>>,
    /// Those that were announced and are still to be yielded.
    pub(crate) settled: VecDeque<u32>,
    /// What the next members tell, and how many more may have this one.
    announcer: Option<Arc<Announcer>>,
    announcer_left: u32,
    /// Whether one was given up before it settled. It may have been announced all the same, and another one may have
    /// its number now.
    gave_up: bool,
}

/// One of them.
pub(crate) struct Member<R, T> {
    promise: Promise<R, T>,
    /// Where to unsubscribe. Short, for a set may have millions of members.
    key: ShortKey,
}

/// One more than the serial number of a subscription, in 32 bits, and never zero: so a free place among the members
/// is told from a taken one without a word for that.
#[derive(Clone, Copy)]
pub(crate) struct ShortKey(NonZeroU32);

impl ShortKey {
    /// The promise was settled when it came. Also for numbers that are too large for this: such a subscription stays
    /// until its run settles, and what is announced then is announced to nobody.
    const NONE: Self = Self(NonZeroU32::MAX);
    /// The first subscriber of a run.
    pub(crate) const FIRST: Self = Self(NonZeroU32::MIN);

    fn serial(self) -> Option<u64> {
        (self.0 != NonZeroU32::MAX).then_some(u64::from(self.0.get()) - 1)
    }
}

impl From<Option<Key>> for ShortKey {
    fn from(key: Option<Key>) -> Self {
        let number = key.and_then(|key| u32::try_from(key.serial() + 1).ok());
        number.and_then(NonZeroU32::new).map_or(Self::NONE, Self)
    }
}

/// How many members tell one thing, see [`Announcer`].
const MEMBERS_OF_AN_ANNOUNCER: u32 = 64;
/// A set that is empty keeps memory for so many.
const KEEP: usize = 1024;

impl<R, T> Member<R, T> {
    /// The promise, whose run does not tell the set any more.
    pub(crate) fn unsubscribed(self) -> Promise<R, T> {
        if let Some(serial) = self.key.serial() {
            self.promise.unsubscribe_member(serial);
        }
        self.promise
    }
}

impl<R, T> Members<R, T> {
    pub(crate) fn new() -> Self {
        Self {
            all: Slab::new(),
            settled: VecDeque::new(),
            announcer: None,
            announcer_left: 0,
            gave_up: false,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn promises(&self) -> impl Iterator<Item = &Promise<R, T>> {
        self.all.iter().map(|(_, member)| &member.promise)
    }

    /// The number of the next member.
    #[inline]
    pub(crate) fn next_number(&self) -> u32 {
        u32::try_from(self.all.vacant_key()).expect("a set holds at most 2^32 promises")
    }

    /// The next member.
    #[inline]
    pub(crate) fn insert(&mut self, promise: Promise<R, T>, key: ShortKey) {
        self.all.insert(Member { promise, key });
    }

    /// What the next member tells when it settles.
    #[inline]
    pub(crate) fn announcer(&mut self, ready: &Arc<Ready>) -> &Arc<Announcer> {
        if self.announcer_left == 0 {
            self.announcer = None;
            self.announcer_left = MEMBERS_OF_AN_ANNOUNCER;
        }
        self.announcer_left -= 1;
        self.announcer.get_or_insert_with(|| Announcer::of(ready))
    }

    /// Takes out one that has not been announced, as a rule.
    pub(crate) fn give_up_one(&mut self) -> Option<Member<R, T>> {
        let number = self.all.iter().next()?.0;
        self.gave_up = true;
        Some(self.all.remove(number))
    }

    /// The next one that has settled.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Promise<R, T>> {
        let member = loop {
            let key = self.settled.pop_front()? as usize;
            if self.gave_up && !self.has_settled(key) {
                continue;
            }
            if let Some(member) = self.all.try_remove(key) {
                break member;
            }
        };
        if self.settled.is_empty() || self.all.is_empty() {
            self.give_back_memory();
        }
        Some(member.promise)
    }

    fn has_settled(&self, key: usize) -> bool {
        let member = self.all.get(key);
        member.is_some_and(|member| member.promise.is_settled())
    }

    /// Memory goes with the last of many.
    fn give_back_memory(&mut self) {
        if self.settled.is_empty() && self.settled.capacity() > KEEP {
            self.settled = VecDeque::new();
        }
        if self.all.is_empty() && self.all.capacity() > KEEP {
            self.all = Slab::new();
        }
    }
}

impl<R, T> IntoIterator for Members<R, T> {
    type Item = Member<R, T>;
    type IntoIter =
        std::iter::Map<slab::IntoIter<Self::Item>, fn((usize, Self::Item)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter().map(|(_, member)| member)
    }
}
