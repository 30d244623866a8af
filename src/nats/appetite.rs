//! How many requests a worker takes from the cluster's queue ahead of need.

use std::time::Duration;

/// How often it is looked how fast requests are done.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Nobody takes more than that ahead.
const MOST: f64 = 512.0;

/// How many requests to take that have not begun: about as many as are done in [`TICK`], so that workers need not wait for
/// the next one, and few wait here that idle workers elsewhere could begin.
///
/// While there is nothing that waits, it grows: workers may take more at a time than is known here.
#[derive(Debug)]
pub(crate) struct Appetite {
    /// How many were done in the last ticks, on average.
    done: f64,
    /// How many were done in this one.
    counted: u32,
    /// What is asked for although nothing of the kind was done yet.
    venture: f64,
}

impl Appetite {
    /// For a service with so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            done: 0.0,
            counted: 0,
            venture: workers.max(1) as f64,
        }
    }

    /// One more is done.
    pub(crate) fn count(&mut self) {
        self.counted = self.counted.saturating_add(1);
    }

    /// A tick is over, at the end of which `waiting` had not begun.
    pub(crate) fn tick(&mut self, waiting: usize) {
        self.done = self.done / 2.0 + f64::from(std::mem::take(&mut self.counted)) / 2.0;
        if waiting > 0 {
            self.venture = 1.0;
        }
    }

    /// Everything that was asked for has come, and has begun at once.
    pub(crate) fn starve(&mut self) {
        self.venture = (self.venture * 2.0).min(MOST);
    }

    /// How many more to ask for, where `waiting` have not begun, and `open` were asked for and are to come. Not before half of
    /// them are gone: a question costs the server as much as a request.
    pub(crate) fn room(&self, waiting: usize, open: usize) -> usize {
        // It has no fraction, and is positive.
        let wanted = self.done.max(self.venture).min(MOST) as usize;
        let there = waiting + open;
        if there <= wanted / 2 {
            wanted - there
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slow_takes_none_ahead_but_one() {
        let mut appetite = Appetite::new(4);
        assert_eq!(appetite.room(0, 0), 4);
        appetite.tick(2);
        assert_eq!((appetite.room(0, 0), appetite.room(1, 0)), (1, 0));
        assert_eq!(appetite.room(0, 1), 0);
    }

    #[test]
    fn who_is_fast_takes_what_is_done_in_a_tick() {
        let mut appetite = Appetite::new(1);
        for _ in 0..10 {
            (0..100).for_each(|_| appetite.count());
            appetite.tick(10);
        }
        assert_eq!((appetite.room(10, 5), appetite.room(40, 20)), (99 - 15, 0));
    }

    #[test]
    fn who_has_many_places_finds_out() {
        let mut appetite = Appetite::new(1);
        (0..20).for_each(|_| appetite.starve());
        assert_eq!(appetite.room(0, 0), 512);
    }
}
