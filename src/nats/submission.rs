//! How a request is submitted: its name and its bytes, as `PROTOCOL.md` has it.

use std::fmt;
use std::str;

use bytes::Bytes;

/// What a submission is called.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name(Bytes);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        // What is none has no dot, and is no name.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(Bytes::copy_from_slice(name.as_bytes()))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Between the name of a submission and the bytes of its request.
const END_OF_NAME: u8 = b'\n';

/// The payload of a request that is submitted under this name.
pub(crate) fn write(submission: &str, request: &[u8]) -> Bytes {
    let mut payload = Vec::with_capacity(submission.len() + 1 + request.len());
    payload.extend_from_slice(submission.as_bytes());
    payload.push(END_OF_NAME);
    payload.extend_from_slice(request);
    payload.into()
}

/// The name and the bytes, which share the payload's memory. `None`: it is no request.
pub(crate) fn read(payload: &Bytes) -> Option<(Name, Bytes)> {
    let end = payload.iter().position(|byte| *byte == END_OF_NAME)?;
    let name = Name(payload.slice(..end));
    // It becomes a part of subjects, and it is one that has two parts.
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let (owner, number) = name.as_str().split_once('.')?;
    let is_name = is_part(owner) && is_part(number);
    is_name.then(|| (name, payload.slice(end + 1..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_is_read_as_it_was_written() {
        for request in [&b""[..], b"a\nb", b"\n"] {
            let payload = write("owner.12", request);
            let (name, bytes) = read(&payload).expect("it is a request");
            assert_eq!((name.as_str(), &bytes[..]), ("owner.12", request));
        }
    }

    #[test]
    fn what_is_none_is_told_from_a_submission() {
        for junk in [
            "",
            "junk",
            "owner.1",
            "owner\n",
            ".1\n",
            "owner.\n",
            "a.b.c\n",
            "a.*\n",
            "\u{e4}.1\n",
        ] {
            assert!(read(&Bytes::from(junk)).is_none(), "{junk:?}");
        }
    }
}
