//! What fuzz targets need of the private modules: thin wrappers, and no checks. The targets are in `tests/fuzz`.

use std::io;
use std::time::Instant;

use crate::process::frame::{self, Framing};
use crate::process::message::{self, MessageError};
use crate::process::window;

/// A request or an output.
pub type Value = (u64, String, Vec<Option<i16>>);

/// Splits bytes into frames.
#[derive(Debug)]
pub struct Decoder(frame::Decoder);

impl Decoder {
    /// Frames are lines, or have their length before them.
    pub fn new(is_lines: bool, limit: usize) -> Self {
        let framing = if is_lines {
            Framing::Lines
        } else {
            Framing::Length
        };
        Self(frame::Decoder::new(framing, limit))
    }

    /// Reads once: as much of this as there is room for. Gives how much that was.
    pub fn read(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.read(|room| {
            let count = bytes.len().min(room.len());
            room[..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        })
    }

    /// The next frame that has come as a whole.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, String> {
        let span = self.0.next().map_err(|error| error.to_string())?;
        Ok(span.map(|span| self.0.bytes(span).to_vec()))
    }

    /// So many bytes are allocated.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

/// What a worker says.
#[derive(Debug, PartialEq, Eq)]
pub struct FromWorker<'a>(message::FromWorker<'a>);

impl FromWorker<'_> {
    /// The request that was processed, and the output in the codec's form, if it is an output.
    pub fn output(&self) -> Option<(u64, &[u8])> {
        match self.0 {
            message::FromWorker::Output { id, output } => Some((id, output)),
            _ => None,
        }
    }
}

/// What a service says.
#[derive(Debug, PartialEq, Eq)]
pub struct FromService<'a>(message::FromService<'a>);

impl FromService<'_> {
    /// The id, the attempt, and the request in the codec's form, if it is a request.
    pub fn request(&self) -> Option<(u64, u32, &[u8])> {
        match self.0 {
            message::FromService::Request {
                id,
                attempt,
                request,
            } => Some((id, attempt, request)),
            _ => None,
        }
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub struct Codec(message::Codec);

impl Codec {
    /// JSON, or postcard.
    pub fn new(is_json: bool) -> Self {
        Self(if is_json {
            message::Codec::Json
        } else {
            message::Codec::Postcard
        })
    }

    /// Whether its frames are lines.
    pub fn is_lines(self) -> bool {
        self.0.framing() == Framing::Lines
    }

    /// What a worker says, if these bytes are a message.
    pub fn read_from_worker(self, bytes: &[u8]) -> Option<FromWorker<'_>> {
        self.0.read_from_worker(bytes).ok().map(FromWorker)
    }

    /// What a service says, if these bytes are a message.
    pub fn read_from_service(self, bytes: &[u8]) -> Option<FromService<'_>> {
        self.0.read_from_service(bytes).ok().map(FromService)
    }

    /// A request or an output, if these bytes are one.
    pub fn decode(self, bytes: &[u8]) -> Option<Value> {
        self.0.decode(bytes).ok()
    }

    /// Writes what a worker says, but for outputs.
    pub fn write_from_worker(self, said: &FromWorker<'_>) -> Result<Vec<u8>, String> {
        written(|out| self.0.write_from_worker(out, u32::MAX, &said.0))
    }

    /// Writes what a service says, but for requests.
    pub fn write_from_service(self, said: &FromService<'_>) -> Result<Vec<u8>, String> {
        written(|out| self.0.write_from_service(out, u32::MAX, &said.0))
    }

    /// Writes an output.
    pub fn write_output(self, id: u64, output: &Value) -> Result<Vec<u8>, String> {
        written(|out| self.0.write_output(out, u32::MAX, id, output))
    }

    /// Writes a request.
    pub fn write_request(self, id: u64, attempt: u32, request: &Value) -> Result<Vec<u8>, String> {
        written(|out| self.0.write_request(out, u32::MAX, id, attempt, request))
    }
}

fn written(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), MessageError>,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let result = write(&mut out).map_err(|error| error.to_string());
    result.map(|()| out)
}

/// What becomes of a request when its process is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may have begun.
    Begun,
    /// It would have been the next to begin, and the process has not read it as a whole.
    Unread,
    /// It has not begun.
    Waiting,
    Untouched,
}

/// The requests that one process has.
#[derive(Debug)]
pub struct Window(window::Window<u32>);

impl Window {
    /// For a process that has so many requests at a time, and may be sent so many.
    pub fn new(concurrency: usize, most: usize) -> Self {
        Self(window::Window::new(concurrency, most))
    }

    /// How many more may be sent now.
    pub fn room(&self) -> usize {
        self.0.room()
    }

    /// A request is on its way, that ends where so many bytes have been sent.
    pub fn send(&mut self, id: u64, end: u64, job: u32, now: Instant) {
        self.0.send(id, end, job, now);
    }

    /// There is an answer to this request.
    pub fn answer(&mut self, id: u64) -> Result<u32, String> {
        self.0.answer(id).map_err(|error| error.to_string())
    }

    /// So many answers have come at this time.
    pub fn answered(&mut self, count: usize, now: Instant) {
        self.0.answered(count, now);
    }

    /// When what has begun longest was begun.
    pub fn oldest(&self) -> Option<Instant> {
        self.0.oldest()
    }

    /// When it has taken too long.
    pub fn stalls_at(&self) -> Option<Instant> {
        self.0.stalls_at()
    }

    /// What may have begun: ids, and what was sent.
    pub fn begun(&mut self) -> Vec<(u64, u32)> {
        self.0.begun_jobs().map(|(id, job)| (id, *job)).collect()
    }

    /// Whether what waits is to be asked for.
    pub fn recall(&mut self, now: Instant) -> bool {
        self.0.recall(now)
    }

    /// These have come back.
    pub fn recalled(&mut self, ids: &[u64]) -> Result<Vec<u32>, String> {
        self.0.recalled(ids).map_err(|error| error.to_string())
    }

    /// The process is lost, and has read so many bytes.
    pub fn lost(&mut self, read: u64) -> Vec<(u32, Fate)> {
        let lost = self.0.lost(read).into_iter();
        let fates = lost.map(|(job, fate)| match fate {
            window::Fate::Begun => (job, Fate::Begun),
            window::Fate::Unread => (job, Fate::Unread),
            window::Fate::Waiting => (job, Fate::Waiting),
            window::Fate::Untouched => (job, Fate::Untouched),
        });
        fates.collect()
    }

    /// How many there are, and whether there is none.
    pub fn len(&self) -> (usize, bool) {
        (self.0.len(), self.0.is_empty())
    }
}
