//! A first-in, first-out lane of which any element can be taken out at once, and which knows how old its head is.
//!
//! Reading the clock takes as long as all the rest of a push, so the lane does not read it for each element: not
//! where they come faster than one in a microsecond, and not more often than 64 times while it grows to twice
//! its length. So what it says of an element's age is at most about two hundredths too much, and exact where
//! elements come slowly and few wait. Whoever needs it exactly gives the time himself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::figures;
use crate::sync;

/// Something that knows where it stands in its lane.
pub(crate) trait Placed {
    /// It stands at `position` now.
    fn place(&self, position: u32);
    /// Where it was placed last.
    fn position(&self) -> u32;
    /// Whether it is the same thing, not merely an equal one.
    fn is_same(&self, other: &Self) -> bool;
}

/// The lane. An element that is taken out from the middle leaves a hole of one word, which goes when the lane
/// comes to it from either end.
#[derive(Debug)]
pub(crate) struct Lane<I> {
    /// The first and the last one are no holes.
    slots: VecDeque<Option<I>>,
    /// The position of the first slot. Positions wrap around; no lane is two thousand million long.
    first: u32,
    live: usize,
    /// When what stands at these positions came: the first of them is at the head or before it.
    stamps: VecDeque<(u32, Instant)>,
    /// The position of the second stamp, or one far ahead.
    second_stamp: u32,
    /// How many more may come without a stamp.
    unstamped: u32,
    /// How many come for each stamp.
    stride: u32,
}

/// A lane that has shrunk to a quarter of its memory gives half of it back, but none below this.
const KEEP: usize = 1024;
/// Elements that come faster are not stamped one by one,
const FAST: Duration = Duration::from_micros(1);
/// but so many at a time.
const FAST_STRIDE: u32 = 16;
/// A lane keeps about so many stamps for each doubling of its length.
const STAMPS: usize = 64;

impl<I: Placed> Lane<I> {
    pub(crate) fn new() -> Self {
        Self {
            slots: VecDeque::new(),
            first: 0,
            live: 0,
            stamps: VecDeque::new(),
            second_stamp: i32::MAX as u32,
            unstamped: 0,
            stride: 1,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Puts an element at the end; `now`, where the caller has the time at hand.
    #[inline]
    pub(crate) fn push(&mut self, item: I, now: Option<Instant>) {
        // Truncated on purpose: positions wrap around.
        let position = self.first.wrapping_add(self.slots.len() as u32);
        if figures::ARE_KEPT {
            if self.unstamped == 0 || self.live == 0 || now.is_some() {
                self.stamp(position, now);
            }
            self.unstamped -= 1;
        }
        item.place(position);
        self.slots.push_back(Some(item));
        self.live += 1;
    }

    /// Puts an element back where it was taken from, with the time at which it came.
    pub(crate) fn push_front(&mut self, item: I, came: Option<Instant>) {
        self.first = self.first.wrapping_sub(1);
        item.place(self.first);
        let came = came.unwrap_or_else(sync::now);
        self.stamps.push_front((self.first, came));
        self.note_second_stamp();
        self.slots.push_front(Some(item));
        self.live += 1;
    }

    /// The first element, and when it came.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(I, Option<Instant>)> {
        let item = self.slots.pop_front()??;
        let came = self.stamps.front().map(|(_, came)| *came);
        self.first = self.first.wrapping_add(1);
        self.live -= 1;
        self.tidy_head();
        Some((item, came))
    }

    /// Takes `item` out, wherever it stands; `None` where it is not in the lane.
    pub(crate) fn remove(&mut self, item: &I) -> Option<I> {
        let index = item.position().wrapping_sub(self.first) as usize;
        let slot = self.slots.get_mut(index)?;
        if !slot.as_ref().is_some_and(|found| found.is_same(item)) {
            return None;
        }
        let taken = slot.take();
        self.live -= 1;
        while let Some(None) = self.slots.back() {
            self.slots.pop_back();
        }
        self.tidy_head();
        taken
    }

    /// As [`remove`](Self::remove), with when it came, if somebody wants to know.
    pub(crate) fn remove_timed(
        &mut self,
        item: &I,
        wants_time: bool,
    ) -> Option<(I, Option<Instant>)> {
        let came = wants_time.then(|| self.came(item)).flatten();
        Some((self.remove(item)?, came))
    }

    /// When `item`, which is in the lane, came.
    fn came(&self, item: &I) -> Option<Instant> {
        let index = |position: u32| position.wrapping_sub(self.first) as i32;
        let mine = index(item.position());
        let later = self
            .stamps
            .partition_point(|(position, _)| index(*position) <= mine);
        let stamp = self.stamps.get(later.saturating_sub(1));
        stamp.map(|(_, came)| *came)
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<I> {
        self.live = 0;
        self.stamps.clear();
        std::mem::take(&mut self.slots)
            .into_iter()
            .flatten()
            .collect()
    }

    /// Puts the elements of another lane before the first.
    pub(crate) fn prepend(&mut self, mut other: Self) {
        // Truncated on purpose, as in `push`.
        let first = self.first.wrapping_sub(other.slots.len() as u32);
        while let Some((position, came)) = other.stamps.pop_back() {
            let moved = position.wrapping_sub(other.first).wrapping_add(first);
            self.stamps.push_front((moved, came));
        }
        while let Some(slot) = other.slots.pop_back() {
            self.first = self.first.wrapping_sub(1);
            if let Some(item) = &slot {
                item.place(self.first);
            }
            self.slots.push_front(slot);
        }
        self.live += other.live;
        self.note_second_stamp();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &I> {
        self.slots.iter().flatten()
    }

    /// When the first element came.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        if self.live == 0 {
            return None;
        }
        self.stamps.front().map(|(_, came)| *came)
    }

    #[cold]
    fn stamp(&mut self, position: u32, now: Option<Instant>) {
        let now = now.unwrap_or_else(sync::now);
        let came = self.stride - self.unstamped;
        let is_fast = self
            .stamps
            .back()
            .is_some_and(|(_, last)| now.saturating_duration_since(*last) < FAST * came.max(1));
        if self.live == 0 {
            self.stamps.clear();
        }
        let for_speed = if is_fast { FAST_STRIDE } else { 1 };
        let for_length = u32::try_from(self.live / STAMPS).unwrap_or(u32::MAX);
        self.stride = for_speed.max(for_length);
        self.unstamped = self.stride;
        self.stamps.push_back((position, now));
        self.note_second_stamp();
    }

    fn note_second_stamp(&mut self) {
        // Without one, so far ahead that looking again when the head comes to it costs nothing.
        let far = self.first.wrapping_add(i32::MAX as u32);
        let second = self.stamps.get(1);
        self.second_stamp = second.map_or(far, |(position, _)| *position);
    }

    /// Lets go of holes at the head, of stamps that no element needs any more, and of memory.
    #[inline]
    fn tidy_head(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        // As a signed distance, for positions wrap around: the second stamp serves the head too.
        if self.first.wrapping_sub(self.second_stamp) as i32 >= 0 {
            self.drop_stamps();
        }
        let capacity = self.slots.capacity();
        if capacity > KEEP && self.slots.len() < capacity / 4 {
            self.slots.shrink_to(capacity / 2);
        }
    }

    #[cold]
    fn drop_stamps(&mut self) {
        while let Some((second, _)) = self.stamps.get(1)
            && self.first.wrapping_sub(*second) as i32 >= 0
        {
            self.stamps.pop_front();
        }
        self.note_second_stamp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    struct Item(u32, Cell<u32>);

    impl Placed for Rc<Item> {
        fn place(&self, position: u32) {
            self.1.set(position);
        }
        fn position(&self) -> u32 {
            self.1.get()
        }
        fn is_same(&self, other: &Self) -> bool {
            Rc::ptr_eq(self, other)
        }
    }

    fn filled(n: u32) -> (Lane<Rc<Item>>, Vec<Rc<Item>>) {
        let items: Vec<_> = (0..n).map(|i| Rc::new(Item(i, Cell::new(0)))).collect();
        let mut lane = Lane::new();
        lane.first = u32::MAX - 1;
        items
            .iter()
            .for_each(|item| lane.push(Rc::clone(item), None));
        (lane, items)
    }

    #[test]
    fn what_is_taken_out_is_skipped_and_the_rest_keeps_its_order() {
        let (mut lane, items) = filled(6);
        for index in [0, 3, 5] {
            assert!(lane.remove(&items[index]).is_some());
            assert!(lane.remove(&items[index]).is_none());
        }
        assert_eq!(lane.len(), 3);
        let rest: Vec<_> = std::iter::from_fn(|| lane.pop())
            .map(|(item, _)| item.0)
            .collect();
        assert_eq!(rest, [1, 2, 4]);
        assert!(lane.remove(&items[1]).is_none());
    }

    #[test]
    fn taking_out_everything_backwards_leaves_no_memory_behind() {
        let (mut lane, items) = filled(100_000);
        for item in items.iter().rev() {
            assert!(lane.remove(item).is_some());
        }
        assert!(lane.is_empty() && lane.slots.is_empty() && lane.slots.capacity() <= KEEP);
        lane.push(Rc::clone(&items[7]), None);
        assert_eq!(lane.pop().map(|(item, _)| item.0), Some(7));
    }

    #[test]
    fn what_is_put_before_keeps_its_order_and_can_still_be_taken_out() {
        let (mut lane, _) = filled(2);
        let (mut other, items) = filled(5);
        assert!(other.remove(&items[2]).is_some());
        lane.prepend(other);
        assert_eq!(lane.len(), 6);
        assert!(lane.remove(&items[3]).is_some());
        let rest: Vec<_> = std::iter::from_fn(|| lane.pop())
            .map(|(item, _)| item.0)
            .collect();
        assert_eq!(rest, [0, 1, 4, 0, 1]);
    }

    #[test]
    fn times_that_are_given_are_kept_for_each_element() {
        let (mut lane, items) = (Lane::new(), filled(40).1);
        let start = Instant::now();
        let at = |index: usize| start + Duration::from_nanos(index as u64);
        for (index, item) in items.iter().enumerate() {
            lane.push(Rc::clone(item), Some(at(index)));
        }
        assert_eq!(lane.came(&items[30]), Some(at(30)));
        assert!(lane.remove(&items[0]).is_some());
        assert_eq!(lane.oldest(), Some(at(1)));
        for index in 1..20 {
            assert_eq!(lane.pop().map(|(_, came)| came), Some(Some(at(index))));
        }
        lane.push_front(Rc::clone(&items[19]), Some(at(19)));
        let mut all = Lane::new();
        all.push(Rc::clone(&items[0]), Some(at(100)));
        all.prepend(lane);
        for index in (19..40).chain([100]) {
            assert_eq!(all.pop().map(|(_, came)| came), Some(Some(at(index))));
        }
        assert_eq!(all.oldest(), None);
    }

    #[test]
    fn times_that_the_lane_reads_are_right_within_two_hundredths_of_its_length() {
        let n = 100_000;
        let items: Vec<_> = (0..n).map(|i| Rc::new(Item(i, Cell::new(0)))).collect();
        let mut lane = Lane::new();
        let mut pushed = Vec::new();
        for item in &items {
            lane.push(Rc::clone(item), None);
            pushed.push(Instant::now());
        }
        assert!(lane.stamps.len() < 2000, "{} stamps", lane.stamps.len());
        // Each is said to have come with one of those that came a little earlier.
        for index in 0..n {
            let came = lane.pop().and_then(|(_, came)| came);
            let came = came.expect("each has a time");
            let earlier = index.saturating_sub(FAST_STRIDE.max(index / STAMPS as u32) + 1);
            assert!(came <= pushed[index as usize]);
            assert!(
                index < 64 || came >= pushed[earlier.saturating_sub(1) as usize],
                "{index}"
            );
        }
    }
}
