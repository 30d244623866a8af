//! Who wants to know when a run settles: tasks and threads, promise sets, callbacks.
//!
//! Most runs have one subscriber or none, and pay for no more than that. A run with many keeps them so that a
//! caller who leaves is found without asking all of them.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::panic::catch;
use crate::ready::Announcer;
use crate::state::Ticket;
use crate::sync::Arc;
use crate::wakers::wake;

/// One that wants to know, and on whose ticket.
pub(crate) enum Subscriber {
    /// A task, or a blocked thread.
    Waker { ticket: Ticket, waker: Waker },
    /// A member of a promise set.
    Member {
        ticket: Ticket,
        key: u32,
        announcer: Arc<Announcer>,
    },
    /// A function to call.
    Callback {
        ticket: Ticket,
        callback: Box<dyn FnOnce() + Send>,
    },
}

impl Subscriber {
    #[inline]
    fn ticket(&self) -> Ticket {
        match self {
            Self::Waker { ticket, .. }
            | Self::Member { ticket, .. }
            | Self::Callback { ticket, .. } => *ticket,
        }
    }
}

/// Where to find a subscriber again. Good for as long as it is subscribed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    ticket: Ticket,
    serial: u64,
}

impl Key {
    pub(crate) fn new(ticket: Ticket, serial: u64) -> Self {
        Self { ticket, serial }
    }

    pub(crate) fn serial(self) -> u64 {
        self.serial
    }
}

/// The subscribers of one run; kept inside its mutex.
pub(crate) struct Subscribers(List);

enum List {
    Empty,
    /// Its serial number is 0.
    One(Subscriber),
    Many(Box<Many>),
    /// The run has settled. What is kept is who had left before.
    Closed(Option<Box<TicketSet>>),
}

struct Many {
    /// The next serial number; they are in the order of subscription.
    next: u64,
    kept: Kept,
    left: Option<Box<TicketSet>>,
}

/// In the order of serial numbers; or, once somebody leaves where they are many, by ticket and serial number.
enum Kept {
    Listed(Vec<(u64, Subscriber)>),
    Indexed(BTreeMap<(Ticket, u64), Subscriber>),
}

/// How many are searched one by one.
const FEW: usize = 16;

impl Subscribers {
    /// Nobody, or one, whose serial number is 0.
    #[inline]
    pub(crate) fn of(first: Option<Subscriber>) -> Self {
        Self(first.map_or(List::Empty, List::One))
    }

    /// Adds one. It comes back if there is nothing to wait for: the run has settled, or its caller has left.
    #[inline]
    pub(crate) fn subscribe(&mut self, subscriber: Subscriber) -> Result<Key, Subscriber> {
        let ticket = subscriber.ticket();
        match &mut self.0 {
            List::Closed(_) => Err(subscriber),
            List::Empty => {
                // There is nothing in an empty list that would have to be dropped.
                std::mem::forget(std::mem::replace(&mut self.0, List::One(subscriber)));
                Ok(Key { ticket, serial: 0 })
            }
            List::One(_) => {
                let serial = self.many().push(subscriber);
                Ok(Key { ticket, serial })
            }
            List::Many(many) if many.has_left(ticket) => Err(subscriber),
            List::Many(many) => Ok(Key {
                ticket,
                serial: many.push(subscriber),
            }),
        }
    }

    /// Puts another waker in the place of the one under `key`, and gives the old one back; gives `waker` back
    /// where nothing is there any more.
    pub(crate) fn replace_waker(&mut self, key: Key, waker: Waker) -> Waker {
        match self.get_mut(key) {
            Some(Subscriber::Waker { waker: old, .. }) => std::mem::replace(old, waker),
            _ => waker,
        }
    }

    /// Takes one out, to be dropped outside the lock; `None` where it has been told already.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Subscriber> {
        match &mut self.0 {
            List::One(_) if key.serial == 0 => match std::mem::replace(&mut self.0, List::Empty) {
                List::One(subscriber) => Some(subscriber),
                _ => None,
            },
            List::Many(many) => many.remove(key),
            _ => None,
        }
    }

    /// Marks that the caller of `ticket` has left a run that goes on, and takes out who was to be told on his
    /// behalf.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Told {
        self.many().leave(ticket)
    }

    /// Takes out those on `ticket`, to be told.
    pub(crate) fn take_of(&mut self, ticket: Ticket) -> Told {
        match &self.0 {
            List::Empty | List::Closed(_) => Told::Nobody,
            List::One(one) if one.ticket() != ticket => Told::Nobody,
            // Not back to an empty list: its next one would have the serial number of the one that is taken out.
            List::One(_) | List::Many(_) => Told::All(self.many().take_of(ticket)),
        }
    }

    /// Whether the caller of `ticket` has left.
    pub(crate) fn has_left(&self, ticket: Ticket) -> bool {
        match &self.0 {
            List::Many(many) => many.has_left(ticket),
            List::Closed(left) => left.as_ref().is_some_and(|left| left.contains(ticket)),
            List::Empty | List::One(_) => false,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.0, List::Closed(_))
    }

    /// The run has settled: takes all out, and takes nobody in any more.
    #[inline]
    pub(crate) fn close(&mut self) -> Told {
        match std::mem::replace(&mut self.0, List::Closed(None)) {
            List::Empty => Told::Nobody,
            List::One(subscriber) => Told::One(subscriber),
            List::Many(many) => {
                self.0 = List::Closed(many.left);
                Told::All(many.kept.into_order())
            }
            closed @ List::Closed(_) => {
                self.0 = closed;
                Told::Nobody
            }
        }
    }

    fn get_mut(&mut self, key: Key) -> Option<&mut Subscriber> {
        match &mut self.0 {
            List::One(subscriber) if key.serial == 0 => Some(subscriber),
            List::Many(many) => match &mut many.kept {
                Kept::Listed(listed) => {
                    let index = listed.binary_search_by_key(&key.serial, |(serial, _)| *serial);
                    index.ok().map(|index| &mut listed[index].1)
                }
                Kept::Indexed(index) => index.get_mut(&(key.ticket, key.serial)),
            },
            _ => None,
        }
    }

    /// Makes room for more than one.
    fn many(&mut self) -> &mut Many {
        if !matches!(self.0, List::Many(_)) {
            let mut kept = Vec::with_capacity(2);
            if let List::One(subscriber) = std::mem::replace(&mut self.0, List::Empty) {
                kept.push((0, subscriber));
            }
            self.0 = List::Many(Box::new(Many {
                next: 1,
                kept: Kept::Listed(kept),
                left: None,
            }));
        }
        match &mut self.0 {
            List::Many(many) => many,
            _ => unreachable!("it was made just now"),
        }
    }
}

impl Many {
    fn push(&mut self, subscriber: Subscriber) -> u64 {
        let serial = self.next;
        self.next += 1;
        match &mut self.kept {
            Kept::Listed(listed) => listed.push((serial, subscriber)),
            Kept::Indexed(index) => _ = index.insert((subscriber.ticket(), serial), subscriber),
        }
        serial
    }

    fn remove(&mut self, key: Key) -> Option<Subscriber> {
        match self.kept.searchable() {
            Kept::Listed(few) => {
                let index = few.iter().position(|(serial, _)| *serial == key.serial)?;
                Some(few.remove(index).1)
            }
            Kept::Indexed(index) => index.remove(&(key.ticket, key.serial)),
        }
    }

    fn leave(&mut self, ticket: Ticket) -> Told {
        self.left.get_or_insert_default().insert(ticket);
        Told::All(self.take_of(ticket))
    }

    fn take_of(&mut self, ticket: Ticket) -> Vec<Subscriber> {
        match self.kept.searchable() {
            Kept::Listed(few) => few
                .extract_if(.., |(_, one)| one.ticket() == ticket)
                .map(|(_, one)| one)
                .collect(),
            Kept::Indexed(index) => {
                let range = (ticket, 0)..=(ticket, u64::MAX);
                let keys: Vec<_> = index.range(range).map(|(key, _)| *key).collect();
                keys.iter().filter_map(|key| index.remove(key)).collect()
            }
        }
    }

    fn has_left(&self, ticket: Ticket) -> bool {
        self.left.as_ref().is_some_and(|left| left.contains(ticket))
    }
}

impl Kept {
    /// Somebody is to be found: where they are many, by an index, which most runs never need.
    fn searchable(&mut self) -> &mut Self {
        if let Self::Listed(listed) = self
            && listed.len() > FEW
        {
            let listed = std::mem::take(listed).into_iter();
            let indexed = listed.map(|(serial, one)| ((one.ticket(), serial), one));
            *self = Self::Indexed(indexed.collect());
        }
        self
    }

    fn into_order(self) -> Vec<Subscriber> {
        match self {
            Self::Listed(listed) => listed.into_iter().map(|(_, one)| one).collect(),
            Self::Indexed(index) => {
                let mut all: Vec<_> = index
                    .into_iter()
                    .map(|((_, serial), one)| (serial, one))
                    .collect();
                all.sort_unstable_by_key(|(serial, _)| *serial);
                all.into_iter().map(|(_, one)| one).collect()
            }
        }
    }
}

/// Tickets, a bit each.
#[derive(Default)]
struct TicketSet(Vec<u64>);

impl TicketSet {
    fn insert(&mut self, ticket: Ticket) {
        let (word, bit) = Self::place(ticket);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    fn contains(&self, ticket: Ticket) -> bool {
        let (word, bit) = Self::place(ticket);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(ticket: Ticket) -> (usize, u64) {
        (ticket.0 as usize / 64, 1 << (ticket.0 % 64))
    }
}

/// Subscribers that were taken out, to be told once no lock is held.
#[must_use = "a subscriber that is not told waits for ever"]
pub(crate) enum Told {
    Nobody,
    One(Subscriber),
    All(Vec<Subscriber>),
}

type Callback = Box<dyn FnOnce() + Send>;

impl Told {
    /// Wakes those who wait, and gives back the callbacks, in the order in which they were registered.
    #[inline]
    pub(crate) fn wake(self) -> Notified {
        let mut notified = Notified {
            callbacks: Callbacks::None,
            has_woken: false,
        };
        match self {
            Self::Nobody => {}
            Self::One(one) => notified.tell(one),
            Self::All(all) => notified.tell_all(all),
        }
        notified
    }
}

/// What is left to do once subscribers have been told.
#[must_use = "a callback is owed its call"]
pub(crate) struct Notified {
    pub(crate) callbacks: Callbacks,
    /// Whether somebody waited for this.
    pub(crate) has_woken: bool,
}

impl Notified {
    #[inline]
    fn tell(&mut self, subscriber: Subscriber) {
        match subscriber {
            Subscriber::Waker { waker, .. } => self.wake(waker),
            Subscriber::Member { key, announcer, .. } => {
                self.has_woken |= announcer.announce([key])
            }
            Subscriber::Callback { callback, .. } => self.callbacks.add(callback),
        }
    }

    fn tell_all(&mut self, all: Vec<Subscriber>) {
        // Of many, most are members of one set, which is told of all of them at once.
        let mut members: Option<(Arc<Announcer>, Vec<u32>)> = None;
        for one in all {
            match one {
                Subscriber::Member { key, announcer, .. } => match &mut members {
                    Some((last, keys)) if last.is_of_the_set_of(&announcer) => keys.push(key),
                    _ => {
                        if let Some((last, keys)) = members.replace((announcer, vec![key])) {
                            self.has_woken |= last.announce(keys);
                        }
                    }
                },
                other => self.tell(other),
            }
        }
        if let Some((last, keys)) = members {
            self.has_woken |= last.announce(keys);
        }
    }

    fn wake(&mut self, waker: Waker) {
        wake(waker);
        self.has_woken = true;
    }
}

/// Callbacks that are due.
#[must_use = "a callback is owed its call"]
pub(crate) enum Callbacks {
    None,
    One(Callback),
    Many(Vec<Callback>),
}

impl Callbacks {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Calls them, and says how many panicked.
    pub(crate) fn call(self) -> u64 {
        match self {
            Self::None => 0,
            Self::One(callback) => call(callback),
            Self::Many(callbacks) => callbacks.into_iter().map(call).sum(),
        }
    }

    fn add(&mut self, callback: Callback) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(callback),
            Self::One(first) => Self::Many(vec![first, callback]),
            Self::Many(mut all) => {
                all.push(callback);
                Self::Many(all)
            }
        };
    }
}

fn call(callback: Callback) -> u64 {
    u64::from(catch(callback).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    fn callback(log: &Arc<Mutex<Vec<u32>>>, ticket: u32, mark: u32) -> Subscriber {
        let log = Arc::clone(log);
        let callback = Box::new(move || log.lock().push(mark));
        Subscriber::Callback {
            ticket: Ticket(ticket),
            callback,
        }
    }

    #[test]
    fn few_and_many_are_told_in_the_order_of_subscription() {
        for n in [0, 1, 2, 16, 17, 100] {
            let log = Arc::new(Mutex::new(Vec::new()));
            let mut subscribers = Subscribers::of(None);
            for mark in 0..n {
                assert!(
                    subscribers
                        .subscribe(callback(&log, n - mark, mark))
                        .is_ok()
                );
            }
            assert_eq!(subscribers.close().wake().callbacks.call(), 0);
            assert_eq!(*log.lock(), (0..n).collect::<Vec<_>>());
            assert!(subscribers.subscribe(callback(&log, 0, 0)).is_err());
        }
    }

    #[test]
    fn who_leaves_takes_exactly_his_own_subscribers_along() {
        for n in [3, 40] {
            let log = Arc::new(Mutex::new(Vec::new()));
            let mut subscribers = Subscribers::of(None);
            for mark in 0..n {
                assert!(
                    subscribers
                        .subscribe(callback(&log, mark % 3, mark))
                        .is_ok()
                );
            }
            assert_eq!(subscribers.leave(Ticket(1)).wake().callbacks.call(), 0);
            assert_eq!(
                *log.lock(),
                (0..n).filter(|mark| mark % 3 == 1).collect::<Vec<_>>()
            );
            assert!(subscribers.has_left(Ticket(1)) && !subscribers.has_left(Ticket(2)));
            assert!(subscribers.subscribe(callback(&log, 1, 0)).is_err());
            let _ = subscribers.close();
            assert!(subscribers.has_left(Ticket(1)) && !subscribers.has_left(Ticket(2)));
        }
    }

    #[test]
    fn a_subscriber_that_is_removed_is_not_told() {
        for n in [1, 2, 30] {
            let log = Arc::new(Mutex::new(Vec::new()));
            let mut subscribers = Subscribers::of(None);
            let keys: Vec<_> = (0..n)
                .filter_map(|mark| subscribers.subscribe(callback(&log, 0, mark)).ok())
                .collect();
            for key in &keys {
                assert!(subscribers.remove(*key).is_some());
                assert!(subscribers.remove(*key).is_none());
            }
            assert_eq!(subscribers.close().wake().callbacks.call(), 0);
            assert!(log.lock().is_empty());
        }
    }
}
