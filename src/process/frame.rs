//! Splits what comes through a pipe into messages, wherever it was cut.

use std::io;

use thiserror::Error;

/// What is between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Before each one its length, in four bytes.
    Length,
    /// After each one a line feed.
    Lines,
}

/// Bytes that are no messages, and never will be, whatever comes behind them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    #[error("a message of {length} bytes is longer than the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("a line is longer than the limit of {limit} bytes")]
    LineTooLong { limit: usize },
    #[error("a message of no bytes")]
    Empty,
}

/// How long the prefix is.
pub(crate) const PREFIX: usize = 4;
/// So much is read at a time, at least.
const LEAST: usize = 64 * 1024;
/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 4 * 1024 * 1024;

/// Takes in bytes as they come, and gives messages. It never has a buffer longer than a message may be, or than
/// twice of what has come: nobody can make it allocate by *announcing* much.
#[derive(Debug)]
pub(crate) struct Decoder {
    framing: Framing,
    limit: usize,
    buffer: Vec<u8>,
    /// What has come and has not been given: from here,
    begin: usize,
    /// to here.
    end: usize,
    /// How much came last.
    last_read: usize,
    /// So many of these bytes are known to hold no line feed.
    scanned: usize,
}

impl Decoder {
    pub(crate) fn new(framing: Framing, limit: usize) -> Self {
        Self {
            framing,
            limit,
            buffer: Vec::new(),
            begin: 0,
            end: 0,
            last_read: 0,
            scanned: 0,
        }
    }

    /// Messages may be so long from now on, or as long as before, if that is longer.
    pub(crate) fn raise_limit(&mut self, limit: usize) {
        self.limit = self.limit.max(limit);
    }

    pub(crate) fn last_read(&self) -> usize {
        self.last_read
    }

    /// Reads once. Gives how much came; 0 is the end.
    pub(crate) fn read(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.make_room();
        let room = &mut self.buffer[self.end..];
        let count = read(room)?.min(room.len());
        self.end += count;
        self.last_read = count;
        Ok(count)
    }

    /// Where the next message lies in [`bytes`](Self::bytes). `None`: it has not come as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Span>, FrameError> {
        match self.framing {
            Framing::Length => self.next_counted(),
            Framing::Lines => self.next_line(),
        }
    }

    /// Where messages lie, until more is read.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        &self.buffer[span.begin..span.end]
    }

    fn next_counted(&mut self) -> Result<Option<Span>, FrameError> {
        let come = &self.buffer[self.begin..self.end];
        let Some((prefix, rest)) = come.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        // It fits: what does not is above any limit.
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > self.limit {
            let limit = self.limit;
            return Err(FrameError::TooLong { length, limit });
        }
        if rest.len() < length {
            return Ok(None);
        }
        let begin = self.begin + PREFIX;
        self.begin = begin + length;
        Ok(Some(Span {
            begin,
            end: self.begin,
        }))
    }

    fn next_line(&mut self) -> Result<Option<Span>, FrameError> {
        loop {
            let come = &self.buffer[self.begin..self.end];
            let found = come[self.scanned..].iter().position(|byte| *byte == b'\n');
            let length = self.scanned + found.unwrap_or(come.len() - self.scanned);
            if length > self.limit {
                let limit = self.limit;
                return Err(FrameError::LineTooLong { limit });
            }
            if found.is_none() {
                self.scanned = length;
                return Ok(None);
            }
            let begin = self.begin;
            self.begin += length + 1;
            self.scanned = 0;
            let is_blank = self.buffer[begin..begin + length].trim_ascii().is_empty();
            if !is_blank {
                let end = begin + length;
                return Ok(Some(Span { begin, end }));
            }
        }
    }

    /// Room for reading, at the end of the buffer.
    fn make_room(&mut self) {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        }
        if self.room() >= LEAST / 2 {
            return;
        }
        self.buffer.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        if self.room() < LEAST / 2 {
            let grown = (2 * self.buffer.len()).max(LEAST).min(self.longest());
            // A vector would double itself, also for the last few bytes of the longest message.
            let more = grown.saturating_sub(self.buffer.len());
            self.buffer.reserve_exact(more);
            self.buffer.resize(grown, 0);
        }
    }

    /// Whether the last read filled it, so that there may be more to read.
    pub(crate) fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// So many bytes are allocated.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn room(&self) -> usize {
        self.buffer.len() - self.end
    }

    /// How long the buffer has to be for the longest message: one byte more tells that one is too long.
    fn longest(&self) -> usize {
        self.limit.saturating_add(PREFIX + 1)
    }
}

/// Where a message lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    begin: usize,
    end: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages, if these bytes come in pieces of this length.
    fn split(framing: Framing, bytes: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut decoder = Decoder::new(framing, 100);
        let mut messages = Vec::new();
        let mut rest = bytes;
        loop {
            let read = decoder.read(|room| {
                let count = rest.len().min(piece).min(room.len());
                room[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                Ok(count)
            });
            while let Some(span) = decoder.next()? {
                messages.push(decoder.bytes(span).to_vec());
            }
            if read.expect("a slice can be read") == 0 {
                return Ok(messages);
            }
        }
    }

    #[test]
    fn messages_are_the_same_wherever_they_are_cut() {
        let counted = [
            &[3, 0, 0, 0][..],
            b"abc",
            &[1, 0, 0, 0],
            b"d",
            &[9, 0, 0, 0],
            b"e",
        ]
        .concat();
        for piece in 1..=counted.len() {
            let messages = split(Framing::Length, &counted, piece);
            assert_eq!(messages, Ok(vec![b"abc".to_vec(), b"d".to_vec()]));
            let messages = split(Framing::Lines, b"abc\n\n  \nd\ne", piece);
            assert_eq!(messages, Ok(vec![b"abc".to_vec(), b"d".to_vec()]));
        }
    }

    #[test]
    fn what_is_too_long_or_empty_is_refused_before_it_is_there() {
        for length in [101, u32::MAX] {
            let error = split(Framing::Length, &length.to_le_bytes(), 1);
            let length = length as usize;
            assert_eq!(error, Err(FrameError::TooLong { length, limit: 100 }));
        }
        assert_eq!(split(Framing::Length, &[0; 4], 4), Err(FrameError::Empty));
        let longest = [&100_u32.to_le_bytes()[..], &[7; 100]].concat();
        assert_eq!(split(Framing::Length, &longest, 9), Ok(vec![vec![7; 100]]));
        let line = [&[b'x'; 100][..], b"\n"].concat();
        assert_eq!(split(Framing::Lines, &line, 7), Ok(vec![vec![b'x'; 100]]));
        let error = split(Framing::Lines, &[b'x'; 101], 101);
        assert_eq!(error, Err(FrameError::LineTooLong { limit: 100 }));
    }

    #[test]
    fn a_buffer_grows_with_what_comes_and_not_with_what_is_announced() {
        let mut decoder = Decoder::new(Framing::Length, 1 << 30);
        let announced = u32::to_le_bytes(1 << 30);
        let mut read = |bytes: &[u8]| {
            let count = decoder.read(|room| {
                let count = bytes.len().min(room.len());
                room[..count].copy_from_slice(&bytes[..count]);
                Ok(count)
            });
            assert!(decoder.next().is_ok_and(|span| span.is_none()));
            (count.expect("a slice can be read"), decoder.buffer.len())
        };
        assert_eq!(read(&announced), (4, LEAST));
        let mut come = 4;
        while come < 8 * LEAST {
            let (count, buffer) = read(&[0; 8 * LEAST]);
            come += count;
            assert!(
                count > 0 && buffer <= (4 * come).max(LEAST),
                "{buffer} for {come}"
            );
        }
    }

    #[test]
    fn no_more_is_allocated_than_the_longest_message_needs() {
        let limit = 3 * LEAST;
        let mut decoder = Decoder::new(Framing::Lines, limit);
        let mut come = 0;
        while come < limit {
            let read = decoder.read(|room| Ok(room.len().min(limit - come)));
            come += read.expect("nothing fails");
            assert!(decoder.next().is_ok_and(|span| span.is_none()));
            assert!(decoder.capacity() <= decoder.longest());
        }
    }
}
