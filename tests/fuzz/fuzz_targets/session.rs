//! What a service has sent to a child process, whatever that says: every request comes out once, by an answer, by a
//! recall, or when the process is lost.
//!
//! The input is a script, which ends with the loss of the process.

#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use parallel_workers::process::fuzzing::{Fate, Window};

#[derive(Debug, Arbitrary)]
struct Script {
    concurrency: u8,
    most: u8,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// So many microseconds.
    Pass(u16),
    /// So many requests of so many bytes, as far as there is room.
    Send {
        count: u8,
        length: u8,
    },
    /// The process reads so many bytes of them.
    Read(u16),
    Recall,
    /// The process says this, all at once.
    Hear(Vec<Word>),
}

/// What the process says. A request is named by how many came before it that are not answered.
#[derive(Debug, Arbitrary)]
enum Word {
    Answer(u8),
    Recalled(Vec<u8>),
}

fuzz_target!(|script: Script| {
    let mut model = Model::new(script.concurrency, script.most);
    let mut is_broken = false;
    for step in &script.steps {
        match step {
            // What it had said before it was ended counts.
            Step::Hear(words) => {
                let is_the_rest = is_broken;
                is_broken |= !model.hear(words);
                if is_the_rest {
                    break;
                }
            }
            _ if is_broken => break,
            Step::Pass(micros) => model.now += Duration::from_micros(u64::from(*micros)),
            Step::Send { count, length } => model.send(*count, *length),
            Step::Read(count) => model.read = model.sent.min(model.read + u64::from(*count)),
            Step::Recall => model.recall(),
        }
        model.check();
    }
    model.lose();
});

/// A window, and what is to be in it.
struct Model {
    window: Window,
    concurrency: usize,
    most: usize,
    now: Instant,
    /// Ids rise; what is sent with one is made from it.
    last: u64,
    /// Bytes.
    sent: u64,
    read: u64,
    /// Sent, and not out again, in the order in which it was sent: ids, and where they end.
    inside: Vec<(u64, u64)>,
    /// What has come out.
    came: HashSet<u32>,
    is_asked: bool,
}

/// What is sent with an id.
fn job(id: u64) -> u32 {
    u32::try_from(id).expect("scripts are short") ^ 0xA5A5_A5A5
}

impl Model {
    fn new(concurrency: u8, most: u8) -> Self {
        // Nobody who processes nothing at a time is sent anything.
        let (concurrency, most) = (usize::from(concurrency % 8) + 1, usize::from(most));
        Self {
            window: Window::new(concurrency, most),
            concurrency,
            most: most.max(concurrency),
            now: Instant::now(),
            last: 0,
            sent: 0,
            read: 0,
            inside: Vec::new(),
            came: HashSet::new(),
            is_asked: false,
        }
    }

    fn send(&mut self, count: u8, length: u8) {
        for _ in 0..self.window.room().min(usize::from(count)) {
            self.last += 1;
            self.sent += 1 + u64::from(length);
            let (id, end) = (self.last, self.sent);
            self.window.send(id, end, job(id), self.now);
            self.inside.push((id, end));
        }
    }

    fn recall(&mut self) {
        let stalls_at = self.window.stalls_at();
        if self.window.recall(self.now) {
            assert!(!self.is_asked, "it is asked once");
            assert!(self.inside.len() > self.concurrency, "nothing waits");
            assert!(stalls_at.is_some_and(|stalls| stalls <= self.now));
            self.is_asked = true;
        }
    }

    /// Whether all of that may be said.
    fn hear(&mut self, words: &[Word]) -> bool {
        let before = self.came.len();
        let mut recalled = 0;
        let is_fine = words.iter().all(|word| match word {
            Word::Answer(rank) => self.answer(*rank),
            Word::Recalled(ranks) => {
                let back = self.recalled(ranks);
                recalled += back.unwrap_or(0);
                back.is_some()
            }
        });
        let answered = self.came.len() - before - recalled;
        self.window.answered(answered, self.now);
        is_fine
    }

    fn answer(&mut self, rank: u8) -> bool {
        let id = self.id(rank);
        let position = self.inside.iter().position(|inside| inside.0 == id);
        let position = position.filter(|position| *position < self.concurrency);
        let answered = self.window.answer(id);
        assert_eq!(answered.clone().ok(), position.map(|_| job(id)));
        if let Some(position) = position {
            self.inside.remove(position);
        }
        answered.is_ok_and(|job| self.came(job))
    }

    /// How many have come back, if they may.
    fn recalled(&mut self, ranks: &[u8]) -> Option<usize> {
        let ids: Vec<u64> = ranks.iter().map(|rank| self.id(*rank)).collect();
        let named: HashSet<u64> = ids.iter().copied().collect();
        let inside = self.inside.iter();
        let (back, rest): (Vec<_>, Vec<_>) = inside.partition(|(id, _)| named.contains(id));
        let may_be = self.is_asked && back.len() == ids.len();
        let recalled = self.window.recalled(&ids);
        let expected = may_be.then(|| back.iter().map(|(id, _)| job(*id)).collect::<Vec<_>>());
        assert_eq!(recalled.clone().ok(), expected);
        let jobs = recalled.ok()?;
        (self.inside, self.is_asked) = (rest, false);
        assert!(jobs.iter().all(|job| self.came(*job)));
        Some(jobs.len())
    }

    /// A request that is inside, or another one: it has come out, or was never sent.
    fn id(&self, rank: u8) -> u64 {
        let inside = self.inside.get(usize::from(rank));
        inside.map_or(u64::from(rank), |(id, _)| *id)
    }

    fn came(&mut self, job: u32) -> bool {
        assert!(self.came.insert(job), "it came out twice");
        true
    }

    fn check(&mut self) {
        let (room, length) = (self.window.room(), self.inside.len());
        assert!(length + room <= self.most, "{length} and {room}");
        assert!(!self.is_asked || room == 0, "more is sent than comes back");
        let idle = self.concurrency.saturating_sub(length);
        assert!(self.is_asked || room >= idle, "it idles");

        let begun = self.inside.iter().take(self.concurrency);
        let begun: Vec<_> = begun.map(|(id, _)| (*id, job(*id))).collect();
        assert_eq!(self.window.begun(), begun);
        let is_empty = self.inside.is_empty();
        assert_eq!(self.window.len(), (length, is_empty));
        // What runs can take too long.
        assert_eq!(self.window.stalls_at().is_none(), is_empty);
        assert_eq!(self.window.oldest().is_none(), is_empty);
        assert!(self.window.oldest().is_none_or(|oldest| oldest <= self.now));
    }

    fn lose(mut self) {
        let fate = |position, end| match position < self.concurrency {
            true if end <= self.read => Fate::Begun,
            true => Fate::Unread,
            false if end <= self.read => Fate::Waiting,
            false => Fate::Untouched,
        };
        let inside = self.inside.iter().enumerate();
        let expected = inside.map(|(position, (id, end))| (job(*id), fate(position, *end)));
        let expected: Vec<_> = expected.collect();
        let lost = self.window.lost(self.read);
        assert_eq!(lost, expected);
        assert!(lost.iter().all(|(job, _)| self.came(*job)));
        assert_eq!(self.window.len(), (0, true));
        assert!((1..=self.last).all(|id| self.came.contains(&job(id))));
        assert_eq!(self.came.len() as u64, self.last);
    }
}
