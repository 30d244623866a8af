//! How fast a worker's requests come, and what that allows to be done for several at a time.

/// Reads a clock seldom, and has several taken at a time, where things come fast.
///
/// Reading the clock takes about 20 ns, and so does taking something that others want to take as well: much beside a
/// request that does nothing, and nothing beside one that takes a while. So both are done once in [`LAG`], or for
/// each where they come more slowly; those between are given the time of the last reading.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The last reading.
    last: u64,
    /// How many were given that time.
    given: u32,
    /// How many come in [`LAG`].
    stride: u32,
}

/// In nanoseconds.
const LAG: u64 = 16_000;
const LONGEST_STRIDE: u64 = 32;

impl Pace {
    /// The time, in nanoseconds: `known`, where the caller has it at hand, or about the time.
    #[inline]
    pub(crate) fn time(&mut self, known: Option<u64>, clock: impl FnOnce() -> u64) -> u64 {
        if known.is_some() || self.given >= self.stride {
            let now = known.unwrap_or_else(clock);
            let each = now.saturating_sub(self.last) / u64::from(self.given.max(1));
            // At most 32, so it fits.
            self.stride = (LAG / each.max(1)).clamp(1, LONGEST_STRIDE) as u32;
            self.last = now;
            self.given = 0;
        }
        self.given += 1;
        self.last
    }

    /// How many to take at a time; at least one.
    #[inline]
    pub(crate) fn batch(&self) -> usize {
        self.stride.max(1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_for_each_that_is_slow_and_seldom_for_those_that_are_fast() {
        let mut pace = Pace::default();
        let (mut now, mut readings) = (0, 0);
        let mut step = |by: u64| {
            now += by;
            let mut was_read = false;
            let time = pace.time(None, || {
                was_read = true;
                now
            });
            readings += u32::from(was_read);
            (now - time, readings, pace.batch())
        };
        for _ in 0..100 {
            assert_eq!(step(20_000).0, 0);
            assert_eq!(step(20_000).2, 1);
        }
        let before = step(100).1;
        let errors: Vec<_> = (0..3200).map(|_| step(100).0).collect();
        let read = step(100).1 - before;
        assert!((99..=102).contains(&read), "{read} readings");
        assert!(errors.into_iter().all(|error| error < 3_200));
        assert_eq!(step(100).2, 32);
        // The first slow ones may be given a time that is old; then the pace is known.
        assert!((0..LONGEST_STRIDE).any(|_| step(1_000_000).0 == 0));
        assert_eq!(step(1_000_000).0, 0);
        assert_eq!(step(1_000_000).2, 1);
        // In between, no time is older than it may be, once the pace is known.
        let errors: Vec<_> = (0..100).map(|_| step(3_000).0).collect();
        assert!(errors[10..].iter().all(|error| *error < LAG));
    }
}
