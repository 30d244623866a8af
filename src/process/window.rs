//! What a worker process has been sent and has not answered.
//!
//! The service sends more than the worker processes at a time, so that it need not wait for the pipe between two short
//! requests: as much ahead as the worker does in [`AHEAD`], and no more, for what has been sent cannot be aborted or given
//! to an idle worker at once. Where a request takes longer than [`PATIENCE`], what waits behind it is recalled.
//!
//! A worker begins requests in the order in which they were sent, and writes each answer before it begins the next one. So
//! the first that are not answered, as many as it processes at a time, may have begun, and the others have not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thiserror::Error;

/// So much work is sent ahead.
const AHEAD: Duration = Duration::from_millis(2);
/// So long nothing is answered before what waits is recalled.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2);
/// The longest time between two answers that counts for how many are sent ahead: one slow request is soon forgotten.
const SLOWEST: Duration = Duration::from_millis(20);

/// The requests that one process has. `J`: what they are to the service.
#[derive(Debug)]
pub(crate) struct Window<J> {
    sent: VecDeque<Sent<J>>,
    /// How many it processes at a time.
    concurrency: usize,
    /// How many it may have.
    most: usize,
    /// What it takes for one request, about.
    mean: Option<Duration>,
    /// When it gave an answer, or was sent something, having had nothing.
    since: Option<Instant>,
    recall: Recall,
}

#[derive(Debug)]
struct Sent<J> {
    id: u64,
    /// Where it ends in all that is sent.
    end: u64,
    job: J,
    /// Since when it may have begun.
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recall {
    No,
    /// What waits is to come back, and was asked for then; until it has, nothing is sent.
    Asked(Instant),
    /// It has come back; until there is an answer, nothing is sent ahead.
    Done,
}

/// A worker spoke of requests that it has not, or has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unexpected {
    #[error("it answered request {0}, which it was not sent, or had answered before")]
    Unknown(u64),
    #[error("it answered request {0} before others that had come first")]
    OutOfTurn(u64),
    #[error("it gave back requests, and was not asked to")]
    NotAsked,
}

/// What becomes of a request when its process is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It may have begun.
    Begun,
    /// It would have been the next to begin, and the process has not read it as a whole.
    Unread,
    /// It has read it, and not begun it, if it keeps to the protocol.
    Waiting,
    /// It has not even read it as a whole.
    Untouched,
}

impl<J> Window<J> {
    pub(crate) fn new(concurrency: usize, most: usize) -> Self {
        Self {
            sent: VecDeque::new(),
            concurrency,
            most: most.max(concurrency),
            mean: None,
            since: None,
            recall: Recall::No,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// How many more may be sent now.
    pub(crate) fn room(&self) -> usize {
        let ahead = match (self.recall, self.mean) {
            (Recall::Asked(_), _) => return 0,
            (Recall::Done, _) | (_, None) => 0,
            (Recall::No, Some(mean)) => {
                let ahead = AHEAD.as_nanos() / mean.as_nanos().max(1);
                usize::try_from(ahead).unwrap_or(usize::MAX)
            }
        };
        let most = self.concurrency.saturating_add(ahead).min(self.most);
        most.saturating_sub(self.sent.len())
    }

    /// A request is on its way, that ends where so many bytes have been sent. Ids rise.
    pub(crate) fn send(&mut self, id: u64, end: u64, job: J, now: Instant) {
        if self.sent.is_empty() {
            self.since = Some(now);
        }
        let since = (self.sent.len() < self.concurrency).then_some(now);
        self.sent.push_back(Sent {
            id,
            end,
            job,
            since,
        });
    }

    /// There is an answer to this request.
    pub(crate) fn answer(&mut self, id: u64) -> Result<J, Unexpected> {
        let position = self.sent.iter().position(|sent| sent.id == id);
        let position = position.ok_or(Unexpected::Unknown(id))?;
        if position >= self.concurrency {
            return Err(Unexpected::OutOfTurn(id));
        }
        let sent = self.sent.remove(position);
        sent.map(|sent| sent.job).ok_or(Unexpected::Unknown(id))
    }

    /// So many answers have come at this time.
    pub(crate) fn answered(&mut self, count: usize, now: Instant) {
        let Ok(count @ 1..) = u32::try_from(count) else {
            return;
        };
        if let Some(since) = self.since {
            let mean = (now.saturating_duration_since(since) / count).min(SLOWEST);
            self.mean = Some(match self.mean {
                Some(before) => (3 * before + mean) / 4,
                None => mean,
            });
        }
        self.since = (!self.sent.is_empty()).then_some(now);
        if self.recall == Recall::Done {
            self.recall = Recall::No;
        }
        let begun = self.sent.iter_mut().take(self.concurrency);
        begun.for_each(|sent| sent.since = sent.since.or(Some(now)));
    }

    /// When what it has begun longest was begun.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        // One that moved up because others came back may have begun since the last answer.
        let since = self.begun().filter_map(|sent| sent.since.or(self.since));
        since.min()
    }

    /// When it has taken too long, if it gives no answer until then.
    pub(crate) fn stalls_at(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// What it may have begun.
    pub(crate) fn begun_jobs(&mut self) -> impl Iterator<Item = (u64, &mut J)> {
        let begun = self.sent.iter_mut().take(self.concurrency);
        begun.map(|sent| (sent.id, &mut sent.job))
    }

    fn begun(&self) -> impl Iterator<Item = &Sent<J>> {
        self.sent.iter().take(self.concurrency)
    }

    /// Whether it is to be asked for what waits, as it has given no answer for so long. It is said once.
    pub(crate) fn recall(&mut self, now: Instant) -> bool {
        let is_due = self.recall == Recall::No
            && self.sent.len() > self.concurrency
            && self.stalls_at().is_some_and(|stalls| now >= stalls);
        if is_due {
            self.recall = Recall::Asked(now);
        }
        is_due
    }

    /// When it was asked for what waits, and has not answered that.
    pub(crate) fn asked(&self) -> Option<Instant> {
        match self.recall {
            Recall::Asked(asked) => Some(asked),
            _ => None,
        }
    }

    /// It has given these back, not begun. They come in the order in which they were sent; where one of them is not to
    /// come, none does.
    pub(crate) fn recalled(&mut self, ids: &[u64]) -> Result<Vec<J>, Unexpected> {
        if !matches!(self.recall, Recall::Asked(_)) {
            return Err(Unexpected::NotAsked);
        }
        if let Some(surplus) = ids.get(self.sent.len()) {
            return Err(Unexpected::Unknown(*surplus));
        }
        // Looked at before any is taken out: what is in the window when this is refused is lost with the process.
        for (count, id) in ids.iter().enumerate() {
            let is_sent = self.sent.iter().any(|sent| sent.id == *id);
            if !is_sent || ids[..count].contains(id) {
                return Err(Unexpected::Unknown(*id));
            }
        }
        let sent = std::mem::take(&mut self.sent).into_iter();
        let (back, rest): (VecDeque<_>, _) = sent.partition(|sent| ids.contains(&sent.id));
        self.sent = rest;
        self.recall = Recall::Done;
        if self.sent.is_empty() {
            (self.since, self.recall) = (None, Recall::No);
        }
        Ok(back.into_iter().map(|sent| sent.job).collect())
    }

    /// The process is lost, and has read so many bytes: what becomes of all that it had, in the order in which that was
    /// sent.
    pub(crate) fn lost(&mut self, read: u64) -> Vec<(J, Fate)> {
        let concurrency = self.concurrency;
        self.since = None;
        let sent = self.sent.drain(..).enumerate();
        let fates = sent.map(|(position, sent)| {
            let fate = match (position < concurrency, sent.end <= read) {
                (true, true) => Fate::Begun,
                (true, false) => Fate::Unread,
                (false, true) => Fate::Waiting,
                (false, false) => Fate::Untouched,
            };
            (sent.job, fate)
        });
        fates.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: Instant, micros: u64) -> Instant {
        now + Duration::from_micros(micros)
    }

    #[test]
    fn as_much_is_sent_ahead_as_is_done_in_two_milliseconds() {
        let now = crate::sync::now();
        let mut window = Window::new(1, 64);
        assert_eq!(window.room(), 1);
        window.send(1, 10, (), now);
        assert_eq!(window.room(), 0);
        window.answer(1).expect("it was sent");
        window.answered(1, at(now, 200));
        assert_eq!(window.room(), 11);
        // One slow request, and it is careful, for a while.
        window.send(2, 20, (), now);
        window.answer(2).expect("it was sent");
        window.answered(1, at(now, 1_000_000));
        assert_eq!(window.room(), 1);
        for id in 3..50 {
            window.send(id, 10 * id, (), now);
            window.answer(id).expect("it was sent");
            window.answered(1, at(now, 1));
        }
        assert_eq!(window.room(), 64);
    }

    #[test]
    fn what_waits_behind_a_slow_request_is_recalled_once() {
        let now = crate::sync::now();
        let mut window = Window::new(1, 64);
        window.mean = Some(Duration::from_micros(1));
        (1..=4).for_each(|id| window.send(id, 10 * id, id, now));
        assert!(!window.recall(at(now, 1999)));
        assert!(window.recall(at(now, 2000)) && !window.recall(at(now, 3000)));
        assert_eq!(window.room(), 0);
        // One of them was begun meanwhile, and answered.
        assert_eq!(window.answer(1), Ok(1));
        assert_eq!(window.recalled(&[4, 3]), Ok(vec![3, 4]));
        assert_eq!(window.room(), 0);
        assert_eq!(window.recalled(&[]), Err(Unexpected::NotAsked));
        assert_eq!(window.answer(2), Ok(2));
        window.answered(1, at(now, 2000));
        // Ahead again, and with care: one of them took long.
        assert_eq!(window.room(), 4);
    }

    #[test]
    fn a_recall_that_is_refused_takes_nothing_with_it() {
        let now = crate::sync::now();
        for ids in [&[3, 2, 9][..], &[3, 2, 3]] {
            let mut window = Window::new(1, 64);
            (1..=3).for_each(|id| window.send(id, 10 * id, id, now));
            assert!(window.recall(at(now, 2000)));
            assert_eq!(window.recalled(ids), Err(Unexpected::Unknown(ids[2])));
            let lost = window.lost(0).into_iter().map(|(id, _)| id);
            assert_eq!(lost.collect::<Vec<_>>(), [1, 2, 3]);
        }
    }

    #[test]
    fn what_is_left_by_a_recall_of_those_before_it_can_take_too_long() {
        let now = crate::sync::now();
        let mut window = Window::new(1, 64);
        (1..=2).for_each(|id| window.send(id, 10 * id, id, now));
        assert!(window.recall(at(now, 2000)));
        assert_eq!(window.recalled(&[1]), Ok(vec![1]));
        assert_eq!(window.oldest(), Some(now));
    }

    #[test]
    fn a_lost_process_had_begun_as_many_as_it_processes_at_a_time() {
        let now = crate::sync::now();
        let mut window = Window::new(2, 64);
        (1..=4).for_each(|id| window.send(id, 10 * id, id, now));
        assert_eq!(window.answer(3), Err(Unexpected::OutOfTurn(3)));
        assert_eq!(window.answer(5), Err(Unexpected::Unknown(5)));
        let fates = [
            (1, Fate::Begun),
            (2, Fate::Unread),
            (3, Fate::Untouched),
            (4, Fate::Untouched),
        ];
        assert_eq!(window.lost(15), fates);
        assert!(window.is_empty());
    }
}
