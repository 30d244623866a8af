//! What a service and its child processes say to each other, as `PROTOCOL.md` has it.

use std::fmt;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::process::frame::{Framing, PREFIX};

/// The version of the protocol.
pub(crate) const VERSION: u32 = 1;
/// The longest message, unless somebody says otherwise: 64 MiB.
pub(crate) const LIMIT: u32 = 64 << 20;

/// No worker has more requests than that, whatever it asks for.
pub(crate) const MOST_SENT: usize = 1 << 16;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Postcard,
    Json,
}

/// What the service says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceHello {
    pub(crate) version: u32,
    pub(crate) worker: String,
    pub(crate) id: u32,
    pub(crate) limit: u32,
}

/// What a worker says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerHello {
    pub(crate) version: u32,
    #[serde(default = "one")]
    pub(crate) concurrency: u32,
    /// 0: as many as its concurrency.
    #[serde(default)]
    pub(crate) window: u32,
    #[serde(default = "usual_limit")]
    pub(crate) limit: u32,
}

fn one() -> u32 {
    1
}

fn usual_limit() -> u32 {
    LIMIT
}

/// Why there is no output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) location: Option<String>,
}

/// A message of the service's. What is processed is in the codec's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromService<'a> {
    Hello(ServiceHello),
    Request {
        id: u64,
        attempt: u32,
        request: &'a [u8],
    },
    Cancel(u64),
    Recall,
}

/// A message of a worker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromWorker<'a> {
    Hello(WorkerHello),
    Output { id: u64, output: &'a [u8] },
    Panicked { id: u64, report: Report },
    Recalled(Vec<u64>),
}

/// A message that cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum MessageError {
    #[error("{0}")]
    Codec(String),
    #[error("it has {length} bytes, and the other side reads no more than {limit}")]
    TooLong { length: usize, limit: u32 },
    #[error("there are bytes behind its end")]
    Surplus,
    #[error("it is none of the messages that there are")]
    Unknown,
}

fn said(error: impl ToString) -> MessageError {
    MessageError::Codec(error.to_string())
}

/// The head of a message of the service's in postcard. The order is the protocol's.
#[derive(Serialize, Deserialize)]
enum ServiceHead {
    Hello(ServiceHello),
    Request { id: u64, attempt: u32 },
    Cancel(u64),
    Recall,
}

/// The same of a worker's.
#[derive(Serialize, Deserialize)]
enum WorkerHead {
    Hello(WorkerHello),
    Output(u64),
    Panicked { id: u64, report: Report },
    Recalled(#[serde(deserialize_with = "few")] Vec<u64>),
}

/// A message of the service's in JSON: a hello, or what has an id, or one of the others.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct ServiceLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hello: Option<ServiceHello>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(borrow, deserialize_with = "given")]
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recall: bool,
}

/// The same of a worker's.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct WorkerLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hello: Option<WorkerHello>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(borrow, deserialize_with = "given")]
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recalled: Option<Vec<u64>>,
}

/// Ids, of which there are no more than a worker can have: else they would take up more memory than the message does.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST_SENT} ids")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<Vec<u64>, A::Error> {
            let mut few = Vec::new();
            while let Some(id) = ids.next_element()? {
                if few.len() == MOST_SENT {
                    return Err(serde::de::Error::invalid_length(few.len() + 1, &self));
                }
                few.push(id);
            }
            Ok(few)
        }
    }

    deserializer.deserialize_seq(Few)
}

/// A member that is there, also where it is `null`.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What is processed, with whom it belongs to, in JSON.
#[derive(Serialize)]
struct RequestLine<'a, R> {
    id: u64,
    attempt: u32,
    request: &'a R,
}

#[derive(Serialize)]
struct OutputLine<'a, T> {
    id: u64,
    output: &'a T,
}

impl Codec {
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::Postcard => Framing::Length,
            Self::Json => Framing::Lines,
        }
    }

    /// What a worker is told of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postcard => "postcard",
            Self::Json => "json",
        }
    }

    /// The value of a request or an output.
    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, MessageError> {
        match self {
            Self::Postcard => match postcard::take_from_bytes(bytes).map_err(said)? {
                (value, []) => Ok(value),
                _ => Err(MessageError::Surplus),
            },
            Self::Json => serde_json::from_slice(bytes).map_err(said),
        }
    }

    /// Writes one message behind what is in `out`, as it is in this codec; if that cannot be done, `out` is as it was.
    fn frame(
        self,
        out: &mut Vec<u8>,
        limit: u32,
        in_postcard: &impl Serialize,
        in_json: &impl Serialize,
    ) -> Result<(), MessageError> {
        let begin = out.len();
        let written = match self {
            Self::Postcard => {
                out.extend([0; PREFIX]);
                let written = postcard::to_io(in_postcard, &mut *out);
                written.map(drop).map_err(said)
            }
            Self::Json => serde_json::to_writer(&mut *out, in_json).map_err(said),
        };
        let written = written.and_then(|()| self.finish(out, begin, limit));
        if written.is_err() {
            out.truncate(begin);
        }
        written
    }

    fn finish(self, out: &mut Vec<u8>, begin: usize, limit: u32) -> Result<(), MessageError> {
        let prefix = match self {
            Self::Postcard => PREFIX,
            Self::Json => 0,
        };
        let length = out.len() - begin - prefix;
        let counted = u32::try_from(length).ok().filter(|length| *length <= limit);
        let Some(counted) = counted else {
            return Err(MessageError::TooLong { length, limit });
        };
        match self {
            Self::Postcard => {
                out[begin..begin + PREFIX].copy_from_slice(&counted.to_le_bytes());
            }
            Self::Json => out.push(b'\n'),
        }
        Ok(())
    }

    /// Writes a request, as the service does.
    pub(crate) fn write_request<R: Serialize>(
        self,
        out: &mut Vec<u8>,
        limit: u32,
        id: u64,
        attempt: u32,
        request: &R,
    ) -> Result<(), MessageError> {
        // In postcard, a pair is one after the other.
        let pair = (ServiceHead::Request { id, attempt }, request);
        let line = RequestLine {
            id,
            attempt,
            request,
        };
        self.frame(out, limit, &pair, &line)
    }

    /// Writes an output, as a worker does.
    pub(crate) fn write_output<T: Serialize>(
        self,
        out: &mut Vec<u8>,
        limit: u32,
        id: u64,
        output: &T,
    ) -> Result<(), MessageError> {
        let pair = (WorkerHead::Output(id), output);
        self.frame(out, limit, &pair, &OutputLine { id, output })
    }

    /// Writes what else the service says.
    pub(crate) fn write_from_service(
        self,
        out: &mut Vec<u8>,
        limit: u32,
        message: &FromService<'_>,
    ) -> Result<(), MessageError> {
        let mut line = ServiceLine::default();
        let head = match message.clone() {
            FromService::Hello(hello) => {
                line.hello = Some(hello.clone());
                ServiceHead::Hello(hello)
            }
            // What is in the message is in the codec's form, and has to be written as a value.
            FromService::Request { .. } => return Err(MessageError::Unknown),
            FromService::Cancel(id) => {
                line.cancel = Some(id);
                ServiceHead::Cancel(id)
            }
            FromService::Recall => {
                line.recall = true;
                ServiceHead::Recall
            }
        };
        self.frame(out, limit, &head, &line)
    }

    /// Writes what else a worker says.
    pub(crate) fn write_from_worker(
        self,
        out: &mut Vec<u8>,
        limit: u32,
        message: &FromWorker<'_>,
    ) -> Result<(), MessageError> {
        let mut line = WorkerLine::default();
        let head = match message.clone() {
            FromWorker::Hello(hello) => {
                line.hello = Some(hello);
                WorkerHead::Hello(hello)
            }
            FromWorker::Output { .. } => return Err(MessageError::Unknown),
            FromWorker::Panicked { id, report } => {
                (line.id, line.error) = (Some(id), Some(report.clone()));
                WorkerHead::Panicked { id, report }
            }
            FromWorker::Recalled(ids) => {
                line.recalled = Some(ids.clone());
                WorkerHead::Recalled(ids)
            }
        };
        self.frame(out, limit, &head, &line)
    }

    /// Reads a message of the service's.
    pub(crate) fn read_from_service(self, message: &[u8]) -> Result<FromService<'_>, MessageError> {
        if self == Self::Json {
            return read_service_line(message);
        }
        let (head, rest) = postcard::take_from_bytes(message).map_err(said)?;
        let message = match head {
            ServiceHead::Request { id, attempt } => {
                let request = rest;
                return Ok(FromService::Request {
                    id,
                    attempt,
                    request,
                });
            }
            ServiceHead::Hello(hello) => FromService::Hello(hello),
            ServiceHead::Cancel(id) => FromService::Cancel(id),
            ServiceHead::Recall => FromService::Recall,
        };
        rest.is_empty()
            .then_some(message)
            .ok_or(MessageError::Surplus)
    }

    /// Reads a message of a worker's.
    pub(crate) fn read_from_worker(self, message: &[u8]) -> Result<FromWorker<'_>, MessageError> {
        if self == Self::Json {
            return read_worker_line(message);
        }
        let (head, rest) = postcard::take_from_bytes(message).map_err(said)?;
        let message = match head {
            WorkerHead::Output(id) => return Ok(FromWorker::Output { id, output: rest }),
            WorkerHead::Hello(hello) => FromWorker::Hello(hello),
            WorkerHead::Panicked { id, report } => FromWorker::Panicked { id, report },
            WorkerHead::Recalled(ids) => FromWorker::Recalled(ids),
        };
        rest.is_empty()
            .then_some(message)
            .ok_or(MessageError::Surplus)
    }
}

fn read_service_line(message: &[u8]) -> Result<FromService<'_>, MessageError> {
    let line: ServiceLine<'_> = serde_json::from_slice(message).map_err(said)?;
    match line {
        ServiceLine {
            id: Some(id),
            request: Some(request),
            attempt,
            ..
        } => Ok(FromService::Request {
            id,
            attempt: attempt.unwrap_or(1),
            request: request.get().as_bytes(),
        }),
        ServiceLine {
            hello: Some(hello), ..
        } => Ok(FromService::Hello(hello)),
        ServiceLine {
            cancel: Some(id), ..
        } => Ok(FromService::Cancel(id)),
        ServiceLine { recall: true, .. } => Ok(FromService::Recall),
        _ => Err(MessageError::Unknown),
    }
}

fn read_worker_line(message: &[u8]) -> Result<FromWorker<'_>, MessageError> {
    let line: WorkerLine<'_> = serde_json::from_slice(message).map_err(said)?;
    match line {
        WorkerLine {
            id: Some(id),
            error: Some(report),
            ..
        } => Ok(FromWorker::Panicked { id, report }),
        WorkerLine {
            id: Some(id),
            output: Some(output),
            ..
        } => Ok(FromWorker::Output {
            id,
            output: output.get().as_bytes(),
        }),
        WorkerLine {
            hello: Some(hello), ..
        } => Ok(FromWorker::Hello(hello)),
        WorkerLine {
            recalled: Some(ids),
            ..
        } => Ok(FromWorker::Recalled(ids)),
        _ => Err(MessageError::Unknown),
    }
}
