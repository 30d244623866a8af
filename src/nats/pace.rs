//! How long to wait before looking again.

use std::cell::Cell;
use std::time::Duration;

use ahash::RandomState;

/// Ever longer pauses, each up to a quarter longer or shorter than it would be, so that not everybody looks at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pause: Duration,
    longest: Duration,
    /// Whatever it begins with.
    dice: u32,
}

/// What was lost is found so soon.
const SHORTEST: Duration = Duration::from_secs(2);
/// What takes long is asked for so seldom.
const LONGEST: Duration = Duration::from_secs(30);

impl Pace {
    /// From two seconds to thirty.
    pub(crate) fn new() -> Self {
        Self::between(SHORTEST, LONGEST)
    }

    pub(crate) fn between(shortest: Duration, longest: Duration) -> Self {
        thread_local! {
            static DICE: Cell<u32> = {
                // Truncated on purpose.
                Cell::new(RandomState::new().hash_one(0) as u32)
            };
        }
        let dice = DICE.with(Cell::get);
        DICE.set(dice.wrapping_add(0x9E37_79B9));
        Self {
            pause: shortest,
            longest,
            dice,
        }
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.dice = self
            .dice
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let part = f64::from(self.dice >> 16) / f64::from(u16::MAX);
        let pause = self.pause.mul_f64(0.75 + part / 2.0);
        self.pause = (self.pause * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_get_longer_and_stay_within_their_bounds() {
        let (shortest, longest) = (Duration::from_millis(10), Duration::from_millis(80));
        let mut pace = Pace::between(shortest, longest);
        let pauses: Vec<_> = (0..20).map(|_| pace.next()).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| *pause >= shortest * 3 / 4 && *pause <= longest * 5 / 4)
        );
        assert!(pauses[3..].iter().all(|pause| *pause >= longest * 3 / 4));
    }
}
