//! How often a clock has to be read.

/// Reads a clock seldom where things come fast.
///
/// Reading the clock takes about 20 ns, which is much beside a request that does nothing, and nothing beside one that
/// takes a microsecond. So where things come at less than [`FAST`] from each other, the clock is read for every
/// [`STRIDE`]th only, and the others are given the time of the last reading.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The last reading.
    last: u64,
    /// How many were given that time.
    given: u32,
    stride: u32,
}

/// In nanoseconds.
const FAST: u64 = 1_000;
const STRIDE: u32 = 16;

impl Pace {
    /// The time, in nanoseconds: `known`, where the caller has it at hand, or about the time.
    #[inline]
    pub(crate) fn time(&mut self, known: Option<u64>, clock: impl FnOnce() -> u64) -> u64 {
        if known.is_some() || self.given >= self.stride {
            let now = known.unwrap_or_else(clock);
            let is_fast = now.saturating_sub(self.last) < FAST * u64::from(self.given);
            self.stride = if is_fast { STRIDE } else { 1 };
            self.last = now;
            self.given = 0;
        }
        self.given += 1;
        self.last
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
            (now - time, readings)
        };
        for _ in 0..100 {
            assert_eq!(step(2_000).0, 0);
        }
        let before = step(100).1;
        let errors: Vec<_> = (0..1600).map(|_| step(100).0).collect();
        let read = step(100).1 - before;
        assert!((99..=102).contains(&read), "{read} readings");
        assert!(errors.into_iter().all(|error| error < 1_600));
        // The first slow ones may be given a time that is old; then the pace is known.
        assert!((0..u64::from(STRIDE)).any(|_| step(1_000_000).0 == 0));
        assert_eq!(step(1_000_000).0, 0);
    }
}
