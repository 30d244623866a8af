//! A queue in a cluster: what callers and workers have to agree on.

use std::time::Duration;

use crate::nats::codec::Codec;
use crate::nats::error::NatsError;

/// The queue that callers and workers of one service share: its name, and how it is kept.
///
/// Whoever comes first, caller or worker, creates it, as it is described here; where it is there and is kept otherwise, that is an
/// error ([`NatsError::Different`]) for whoever comes later. Nothing but the name has to be given:
///
/// ```
/// use parallel_workers::nats::Queue;
/// use std::time::Duration;
///
/// let queue = Queue::named("thumbnails").replicas(3).lease(Duration::from_secs(30));
/// # let _ = queue;
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    name: String,
    prefix: String,
    pub(crate) replicas: usize,
    pub(crate) lease: Duration,
    pub(crate) capacity: u64,
    pub(crate) bytes: u64,
    pub(crate) kept: Duration,
    pub(crate) starts: u32,
    pub(crate) codec: Codec,
}

/// The longest name of a queue, or of a prefix.
const LONGEST_NAME: usize = 32;
/// A lease that is shorter is lost by whoever is late by a pause of the machine's.
const SHORTEST_LEASE: Duration = Duration::from_millis(200);

impl Queue {
    /// A queue with this name: 1 to 32 letters, digits, `-` and `_`.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            prefix: "pw".to_owned(),
            replicas: 1,
            lease: Duration::from_secs(10),
            capacity: 1_000_000,
            bytes: 1 << 30,
            kept: Duration::from_secs(600),
            starts: 3,
            codec: Codec::Postcard,
        }
    }

    /// What all its subjects and streams begin with. Default: `pw`. As a name.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// On how many servers of the cluster it is kept: 1, 3 or 5. Default: 1.
    ///
    /// More than one needs servers of version 2.12.3 or newer: on older ones the copies come apart.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How long after its last sign of life a worker is given up, and its requests go to others. Default: 10 seconds.
    ///
    /// It gives such a sign every third of it, however long its requests take.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How many requests it holds, those that are processed among them. Default: a million.
    ///
    /// When it is full, callers keep what they have: their services' own queues fill up, and where these are
    /// [bounded](crate::ProcessorServiceBuilder::capacity), they give requests back.
    #[must_use]
    pub fn capacity(mut self, requests: u64) -> Self {
        self.capacity = requests;
        self
    }

    /// How many bytes of requests it holds, and how many of outputs, each. Default: 1 GiB. The server keeps as much of its
    /// storage free for it, and refuses a queue for which it has none.
    #[must_use]
    pub fn storage(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// How long outputs are kept for callers who were cut off. Default: 10 minutes.
    ///
    /// Who comes back later has his requests processed once more.
    #[must_use]
    pub fn keep_outputs(mut self, kept: Duration) -> Self {
        self.kept = kept;
        self
    }

    /// How often a request is begun whose worker is lost every time, at least 2: then it is set aside, and its promise settles with
    /// [`Failure::Poisoned`](crate::Failure::Poisoned). Default: 3.
    ///
    /// Starts are counted, not deliveries: what merely waited beside such a request is not punished for it, and the last start
    /// is alone in its process, as far as that can be had within a lease.
    #[must_use]
    pub fn max_starts(mut self, starts: u32) -> Self {
        self.starts = starts;
        self
    }

    /// Requests and outputs are written as JSON, for workers in other languages. Default: `postcard`, which is shorter.
    #[must_use]
    pub fn json(mut self) -> Self {
        self.codec = Codec::Json;
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be had at all.
    pub(crate) fn check(&self) -> Result<(), NatsError> {
        let is_in = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for name in [&self.name, &self.prefix] {
            if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_in) {
                return Err(NatsError::Name { name: name.clone() });
            }
        }
        let unfit = |what: &'static str, why: &'static str| Err(NatsError::Setting { what, why });
        if ![1, 3, 5].contains(&self.replicas) {
            return unfit("replicas", "it is kept on 1, 3 or 5 servers");
        }
        if self.lease < SHORTEST_LEASE {
            return unfit("lease", "a lease is no shorter than 200 milliseconds");
        }
        if self.starts < 2 {
            return unfit(
                "max_starts",
                "a request that was handed to a lost worker may not have begun there: allow 2 or more",
            );
        }
        if self.capacity == 0 || self.bytes == 0 {
            return unfit("capacity", "a queue has room for at least one request");
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> Names {
        Names {
            stream: format!("{}_{}", self.prefix, self.name),
            subject: format!("{}.{}", self.prefix, self.name),
        }
    }
}

/// What its streams and subjects are called, as `PROTOCOL.md` has it.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    stream: String,
    subject: String,
}

/// The consumer that all workers share.
pub(crate) const WORKERS: &str = "workers";

impl Names {
    /// The stream of requests that are not done.
    pub(crate) fn requests(&self) -> String {
        format!("{}_REQUESTS", self.stream)
    }

    /// The stream of results.
    pub(crate) fn results(&self) -> String {
        format!("{}_RESULTS", self.stream)
    }

    /// The stream of what was set aside.
    pub(crate) fn dead(&self) -> String {
        format!("{}_DEAD", self.stream)
    }

    /// Where a request is queued that has this key.
    pub(crate) fn request(&self, key: &str) -> String {
        [&self.subject, ".q.", key].concat()
    }

    /// Where the result of a submission is published.
    pub(crate) fn result(&self, submission: &str) -> String {
        [&self.subject, ".r.", submission].concat()
    }

    /// Where a request is set aside.
    pub(crate) fn dead_letter(&self, key: &str) -> String {
        format!("{}.d.{key}", self.subject)
    }

    /// Where callers say which submissions they want no more.
    pub(crate) fn aborts(&self) -> String {
        format!("{}.abort", self.subject)
    }

    /// Where a caller hears who waits for his submissions, too.
    pub(crate) fn joins(&self, owner: &str) -> String {
        format!("{}.join.{owner}", self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_part_of_a_subject_are_refused() {
        for name in ["", "a.b", "a b", "*", ">", "ä", &"a".repeat(33)] {
            let refused = Queue::named(name).check();
            assert!(matches!(refused, Err(NatsError::Name { .. })), "{name:?}");
            let refused = Queue::named("it").prefix(name).check();
            assert!(matches!(refused, Err(NatsError::Name { .. })), "{name:?}");
        }
        assert!(Queue::named("Thumb-nails_2").check().is_ok());
    }

    #[test]
    fn settings_that_lose_requests_are_refused() {
        let queue = || Queue::named("it");
        for queue in [
            queue().replicas(2),
            queue().lease(Duration::from_millis(1)),
            queue().max_starts(1),
            queue().capacity(0),
            queue().storage(0),
        ] {
            assert!(matches!(queue.check(), Err(NatsError::Setting { .. })));
        }
    }
}
