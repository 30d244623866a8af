//! A first-in, first-out lane of which any element can be taken out at once.

use std::collections::VecDeque;

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
    slots: VecDeque<Option<I>>,
    /// The position of the first slot. Positions wrap around; no lane is four thousand million long.
    first: u32,
    live: usize,
}

/// A lane that has shrunk to a quarter of its memory gives half of it back, but none below this.
const KEEP: usize = 1024;

impl<I: Placed> Lane<I> {
    pub(crate) fn new() -> Self {
        Self {
            slots: VecDeque::new(),
            first: 0,
            live: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    pub(crate) fn push(&mut self, item: I) {
        // Truncated on purpose: positions wrap around.
        item.place(self.first.wrapping_add(self.slots.len() as u32));
        self.slots.push_back(Some(item));
        self.live += 1;
    }

    /// Puts an element back where it was taken from.
    pub(crate) fn push_front(&mut self, item: I) {
        self.first = self.first.wrapping_sub(1);
        item.place(self.first);
        self.slots.push_front(Some(item));
        self.live += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<I> {
        loop {
            let slot = self.slots.pop_front()?;
            self.first = self.first.wrapping_add(1);
            if slot.is_some() {
                self.live -= 1;
                self.shrink();
                return slot;
            }
        }
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
        self.shrink();
        taken
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<I> {
        self.live = 0;
        std::mem::take(&mut self.slots)
            .into_iter()
            .flatten()
            .collect()
    }

    fn shrink(&mut self) {
        let capacity = self.slots.capacity();
        if capacity > KEEP && self.slots.len() < capacity / 4 {
            self.slots.shrink_to(capacity / 2);
        }
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
        items.iter().for_each(|item| lane.push(Rc::clone(item)));
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
            .map(|item| item.0)
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
        lane.push(Rc::clone(&items[7]));
        assert_eq!(lane.pop().map(|item| item.0), Some(7));
    }
}
