//! What callers and workers say to each other, as `PROTOCOL.md` has it.

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::panic::Panic;

/// In the head of what was set aside: which submission it was.
pub(crate) const SUBMISSION: &str = "Pw-Submission";
/// In the head of a result: what it is.
const STATUS: &str = "Pw-Status";
/// How often processing it had begun.
const STARTS: &str = "Pw-Starts";
/// Whether the processor was told that nobody wants it.
const CANCELLED: &str = "Pw-Cancelled";
/// What the server compares before it stores a message: the last sequence of the subject.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// What a message on a result's subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Output,
    Panicked,
    /// It was not processed, because its owner wants it no more.
    Aborted,
    /// It was set aside.
    Dead,
    /// It is no result: how often it has begun.
    Started,
}

const NAMES: [(Status, &str); 5] = [
    (Status::Output, "output"),
    (Status::Panicked, "panicked"),
    (Status::Aborted, "aborted"),
    (Status::Dead, "dead"),
    (Status::Started, "started"),
];

/// A message on a result's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) starts: u32,
    pub(crate) is_cancelled: bool,
    pub(crate) payload: Bytes,
}

/// What a processor's panic said. In JSON, whatever requests are written in.
#[derive(Serialize, Deserialize)]
struct Report {
    message: String,
    #[serde(default)]
    location: Option<String>,
}

impl Answer {
    /// Of a request that was begun for the first time.
    pub(crate) fn new(status: Status, payload: impl Into<Bytes>) -> Self {
        Self {
            status,
            starts: 1,
            is_cancelled: false,
            payload: payload.into(),
        }
    }

    pub(crate) fn panicked(message: &str, location: Option<&str>) -> Self {
        let report = Report {
            message: message.to_owned(),
            location: location.map(str::to_owned),
        };
        let written = serde_json::to_vec(&report);
        Self::new(Status::Panicked, written.unwrap_or_default())
    }

    /// What the panic said that it tells of.
    pub(crate) fn panic(&self) -> Panic {
        match serde_json::from_slice::<Report>(&self.payload) {
            Ok(Report { message, location }) => Panic::new(message, location),
            Err(_) => Panic::new(String::from_utf8_lossy(&self.payload), None),
        }
    }

    /// Whether it is the last word.
    pub(crate) fn is_final(&self) -> bool {
        self.status != Status::Started
    }

    /// What a message says. One that says nothing that is known is a panic that tells so: somebody waits for it.
    pub(crate) fn read(headers: Option<&HeaderMap>, payload: Bytes) -> Self {
        let header =
            |name| headers.and_then(|headers| headers.get(name).map(|value| value.as_str()));
        let said = header(STATUS).unwrap_or_default();
        let Some((status, _)) = NAMES.iter().find(|(_, name)| *name == said) else {
            let message = format!("the worker answered with the status {said:?}, which is none");
            return Self::panicked(&message, None);
        };
        Self {
            status: *status,
            starts: header(STARTS)
                .and_then(|starts| starts.parse().ok())
                .unwrap_or(1),
            is_cancelled: header(CANCELLED).is_some(),
            payload,
        }
    }

    /// The head of the message. It is stored only where the last one on its subject has the sequence `after`; 0: where there is none.
    pub(crate) fn headers(&self, after: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let status = NAMES.iter().find(|(status, _)| *status == self.status);
        headers.insert(
            HeaderName::from_static(STATUS),
            status.map_or("", |(_, name)| name),
        );
        headers.insert(HeaderName::from_static(EXPECTED), after.to_string());
        if self.starts != 1 {
            headers.insert(HeaderName::from_static(STARTS), self.starts.to_string());
        }
        if self.is_cancelled {
            headers.insert(HeaderName::from_static(CANCELLED), "1");
        }
        headers
    }
}

/// What the server says to who stores a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is stored, under this sequence.
    At(u64),
    /// There is one on its subject.
    Taken,
    /// There are as many as the stream holds.
    Full,
    /// The last one on its subject is not the one that was expected.
    Overtaken,
    /// Something else, which may pass: nobody is there who could store it.
    Refused(String),
}

/// An acknowledgement of the server's.
#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    seq: u64,
    error: Option<Trouble>,
}

#[derive(Deserialize)]
struct Trouble {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Stored {
    pub(crate) fn read(message: &async_nats::Message) -> Self {
        if let Some(status) = message.status {
            return Self::Refused(status.to_string());
        }
        match serde_json::from_slice::<Acknowledgement>(&message.payload) {
            Ok(Acknowledgement { seq, error: None }) => Self::At(seq),
            Ok(Acknowledgement {
                error: Some(trouble),
                ..
            }) => Self::refused(trouble),
            Err(error) => Self::Refused(error.to_string()),
        }
    }

    /// Of the refusals of a stream that is full, and of a subject that is, only the text differs.
    fn refused(trouble: Trouble) -> Self {
        const FULL: u64 = 10077;
        const WRONG_LAST_SEQUENCE: [u64; 2] = [10071, 10164];
        if WRONG_LAST_SEQUENCE.contains(&trouble.err_code) {
            Self::Overtaken
        } else if trouble.err_code != FULL {
            Self::Refused(trouble.description)
        } else if trouble.description.contains("per subject") {
            Self::Taken
        } else {
            Self::Full
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        for (status, _) in NAMES {
            let answer = Answer {
                starts: 3,
                is_cancelled: true,
                ..Answer::new(status, "payload")
            };
            let headers = answer.headers(5);
            assert_eq!(headers.get(EXPECTED).map(|value| value.as_str()), Some("5"));
            let read = Answer::read(Some(&headers), answer.payload.clone());
            assert_eq!(read, answer);
            assert_eq!(read.is_final(), status != Status::Started);
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_a_panic_that_says_so() {
        for status in ["", "done"] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(STATUS), status);
            let answer = Answer::read(Some(&headers), Bytes::new());
            assert_eq!(answer.status, Status::Panicked);
            assert!(answer.panic().message().contains("which is none"));
        }
        assert_eq!(Answer::read(None, Bytes::new()).status, Status::Panicked);
    }

    #[test]
    fn a_panic_keeps_its_message_and_its_location() {
        let answer = Answer::panicked("a\nb", Some("work.rs:1:2"));
        assert_eq!(
            answer.panic(),
            Panic::new("a\nb", Some("work.rs:1:2".to_owned()))
        );
        // Whoever writes plain text is understood, too.
        let plain = Answer::new(Status::Panicked, "out of paper");
        assert_eq!(plain.panic(), Panic::new("out of paper", None));
    }

    #[test]
    fn the_servers_refusals_are_told_apart() {
        let read = |text: &str| {
            let trouble = Trouble {
                err_code: 10077,
                description: text.to_owned(),
            };
            Stored::refused(trouble)
        };
        assert_eq!(read("maximum messages per subject exceeded"), Stored::Taken);
        assert_eq!(read("maximum messages exceeded"), Stored::Full);
        assert_eq!(read("maximum bytes exceeded"), Stored::Full);
        let trouble = Trouble {
            err_code: 10071,
            description: "wrong last sequence: 4".to_owned(),
        };
        assert_eq!(Stored::refused(trouble), Stored::Overtaken);
    }
}
