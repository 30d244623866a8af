//! Bytes that nobody vouches for: frames are the same wherever they are cut, buffers are no longer than what has come
//! allows, and what can be read as a message can be written, and is read again as it was.
//!
//! The first byte of the input picks framing, codec, and how often the rest comes; the second one the limit, and how
//! large the pieces are. The rest is what comes, and says where it is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use parallel_workers::process::fuzzing::{Codec, Decoder};

/// What is read at a time, at least.
const LEAST: usize = 64 * 1024;
/// What a decoder has besides the longest message.
const BESIDES: usize = 8;
/// From nothing at all, by the lengths at which buffers grow, to more than ever comes.
const LIMITS: [usize; 16] = [
    0,
    1,
    4,
    16,
    64,
    100,
    1_000,
    4_096,
    LEAST / 2,
    LEAST - 5,
    LEAST,
    100_000,
    200_000,
    300_000,
    64 << 20,
    u32::MAX as usize,
];
/// So much comes at most.
const MOST: usize = 320_000;

/// All frames, and what ended them.
type Split = (Vec<Vec<u8>>, Option<String>);

fuzz_target!(|input: &[u8]| {
    let [options, sizes, rest @ ..] = input else {
        return;
    };
    let is_lines = options & 1 == 0;
    let codec = Codec::new(options & 2 == 0);
    // Buffers grow only where much comes, and inputs are short.
    let times = match options >> 2 {
        62 => 16,
        63 => 256,
        _ => 1,
    };
    let times = times.min(1 + MOST / (rest.len() + 1));
    let limit = LIMITS[usize::from(sizes & 15)];
    let bytes = rest.repeat(times);

    let scale = times << (sizes >> 5);
    let pieces = rest.iter().map(|size| (usize::from(*size) + 1) * scale);
    let in_pieces = split(is_lines, limit, &bytes, pieces.cycle());
    let as_a_whole = split(is_lines, limit, &bytes, std::iter::repeat(usize::MAX));
    assert_eq!(in_pieces, as_a_whole);
    let (frames, is_refused) = plainly(is_lines, limit, &bytes);
    assert_eq!((&in_pieces.0, in_pieces.1.is_some()), (&frames, is_refused));

    // As many as there are the first time; the others are about the same again.
    for frame in frames.iter().take(frames.len() / times + 2) {
        from_worker(codec, frame);
        from_service(codec, frame);
    }
});

/// What a decoder makes of bytes that come in pieces.
fn split(
    is_lines: bool,
    limit: usize,
    bytes: &[u8],
    mut pieces: impl Iterator<Item = usize>,
) -> Split {
    let mut decoder = Decoder::new(is_lines, limit);
    let (mut frames, mut come, mut piece) = (Vec::new(), 0, 0);
    while come < bytes.len() {
        if piece == 0 {
            piece = pieces.next().expect("they never end");
        }
        let left = &bytes[come..];
        let count = decoder.read(&left[..piece.min(left.len())]);
        let count = count.expect("a slice can be read");
        assert!(count > 0, "there is no room, and no message either");
        (come, piece) = (come + count, piece - count);
        let most = limit.saturating_add(BESIDES).min((4 * come).max(LEAST));
        let capacity = decoder.capacity();
        assert!(
            capacity <= most,
            "{capacity} for {come} bytes, limit {limit}"
        );
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_frame(), Err(error.clone()), "it stays so");
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

/// The same, as one would write it if all were there at once. Gives the frames, and whether the rest is refused.
fn plainly(is_lines: bool, limit: usize, mut bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Vec::new();
    if is_lines {
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
        let unended = lines.pop().unwrap_or_default();
        for line in lines {
            if line.len() > limit {
                return (frames, true);
            }
            if !line.trim_ascii().is_empty() {
                frames.push(line.to_vec());
            }
        }
        return (frames, unended.len() > limit);
    }
    while let Some((prefix, rest)) = bytes.split_first_chunk() {
        let length = u32::from_le_bytes(*prefix) as usize;
        if length == 0 || length > limit {
            return (frames, true);
        }
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(frame.to_vec());
        bytes = rest;
    }
    (frames, false)
}

/// What a worker may say.
fn from_worker(codec: Codec, frame: &[u8]) {
    let Some(said) = codec.read_from_worker(frame) else {
        return;
    };
    let Some((id, output)) = said.output() else {
        let written = codec.write_from_worker(&said);
        let again = only_frame(codec, &written.expect("what was read can be written"));
        assert_eq!(codec.read_from_worker(&again), Some(said));
        return;
    };
    let Some(value) = codec.decode(output) else {
        return;
    };
    let written = codec.write_output(id, &value);
    let again = only_frame(codec, &written.expect("what was read can be written"));
    let said = codec.read_from_worker(&again).expect("it is a message");
    let (same, output) = said.output().expect("it is an output");
    assert_eq!((same, codec.decode(output)), (id, Some(value)));
}

/// What a service may say.
fn from_service(codec: Codec, frame: &[u8]) {
    let Some(said) = codec.read_from_service(frame) else {
        return;
    };
    let Some((id, attempt, request)) = said.request() else {
        let written = codec.write_from_service(&said);
        let again = only_frame(codec, &written.expect("what was read can be written"));
        assert_eq!(codec.read_from_service(&again), Some(said));
        return;
    };
    let Some(value) = codec.decode(request) else {
        return;
    };
    let written = codec.write_request(id, attempt, &value);
    let again = only_frame(codec, &written.expect("what was read can be written"));
    let said = codec.read_from_service(&again).expect("it is a message");
    let (same, attempted, request) = said.request().expect("it is a request");
    let decoded = codec.decode(request);
    assert_eq!((same, attempted, decoded), (id, attempt, Some(value)));
}

/// What was written is one frame, and nothing else.
fn only_frame(codec: Codec, written: &[u8]) -> Vec<u8> {
    let (mut frames, is_refused) = plainly(codec.is_lines(), u32::MAX as usize, written);
    assert!(frames.len() == 1 && !is_refused, "{written:?}");
    let around = if codec.is_lines() { 1 } else { 4 };
    let frame = frames.remove(0);
    assert_eq!(frame.len() + around, written.len());
    frame
}
