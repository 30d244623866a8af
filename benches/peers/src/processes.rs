//! Child processes: ours, and bare loops over the same pipes. Python's and Node's are in `python` and `node`.

use std::io::{self, Read, Write};
use std::process::{Child as Process, Command, Stdio};
use std::thread;
use std::time::Instant;

use parallel_workers::process::{self, Child};
use parallel_workers::{Context, Processor, ProcessorService, PromiseSet};

use crate::case::{Case, Goal, each, measured, median};
use crate::cases::triples;
use crate::ours::sum;

/// How many requests a child of the floor's has at a time: as many as one of ours.
pub const WINDOW: u64 = 512;
/// Told to a child of the floor's, as an argument.
const FLOOR: &str = "--child-of-the-floor";
/// The same, to one that keeps its answers until it has nothing else to do.
const BATCHES: &str = "--child-of-the-floor-in-batches";

struct Triple;

impl Processor for Triple {
    type Request = u64;
    type Output = u64;

    fn process(&mut self, n: &u64, _: &Context<'_>) -> u64 {
        n.wrapping_mul(3)
    }
}

/// Measures how long a text is.
struct Length;

impl Processor for Length {
    type Request = (u64, String);
    type Output = u64;

    fn process(&mut self, (_, text): &(u64, String), _: &Context<'_>) -> u64 {
        text.len() as u64
    }
}

/// Serves, if this is a child. Whether it was one.
pub fn serve() -> bool {
    process::serve(|| Triple);
    process::serve(|| Length);
    let told = std::env::args().nth(1).unwrap_or_default();
    let in_batches = told == BATCHES;
    let is_child = told == FLOOR || in_batches;
    if is_child {
        answer(in_batches).expect("the pipes work until the end");
    }
    is_child
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("the number is whole");
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    n
}

/// Writes a frame as ours are: the length, the kind, the id, the attempt if it is a request, and the number.
fn put_frame(out: &mut Vec<u8>, id: u64, is_request: bool, n: u64) {
    let begin = out.len();
    out.extend([0; 4]);
    out.push(1);
    put_varint(out, id);
    if is_request {
        out.push(1);
    }
    put_varint(out, n);
    let length = (out.len() - begin - 4) as u32;
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
}

/// The number in an answer: behind its kind and its id.
fn output_of(body: &[u8]) -> u64 {
    let mut body = &body[1..];
    take_varint(&mut body);
    take_varint(&mut body)
}

/// Calls `each` with the body of every frame that is there as a whole. Gives how many bytes these were.
fn frames(bytes: &[u8], mut each: impl FnMut(&[u8])) -> usize {
    let mut begin = 0;
    while let Some((length, rest)) = bytes[begin..].split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(body) = rest.get(..length) else {
            break;
        };
        each(body);
        begin += 4 + length;
    }
    begin
}

/// What comes through a pipe, read as it comes.
struct Buffer {
    bytes: Vec<u8>,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; 4 << 20];
        Self { bytes, end: 0 }
    }

    /// Reads once, and calls `each` with every frame. False: the end.
    fn read(&mut self, from: &mut impl Read, each: impl FnMut(&[u8])) -> io::Result<bool> {
        let count = from.read(&mut self.bytes[self.end..])?;
        self.end += count;
        let taken = frames(&self.bytes[..self.end], each);
        self.bytes.copy_within(taken..self.end, 0);
        self.end -= taken;
        Ok(count > 0)
    }
}

/// The floor's child.
fn answer(in_batches: bool) -> io::Result<()> {
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    let mut buffer = Buffer::new();
    let mut out = Vec::new();
    loop {
        let mut written = Ok(());
        let more = buffer.read(&mut stdin, |mut body| {
            let kind = take_varint(&mut body);
            let id = take_varint(&mut body);
            body = &body[1..];
            // A text is measured, and a number tripled.
            let n = match kind {
                1 => take_varint(&mut body).wrapping_mul(3),
                _ => body.len() as u64,
            };
            put_frame(&mut out, id, false, n);
            if !in_batches && written.is_ok() {
                written = stdout.write_all(&out).and_then(|()| stdout.flush());
                out.clear();
            }
        })?;
        written?;
        stdout.write_all(&out)?;
        stdout.flush()?;
        out.clear();
        if !more {
            return Ok(());
        }
    }
}

fn child(told: &str) -> Process {
    let own = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(own);
    command
        .arg(told)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command.spawn().expect("it starts")
}

/// The bare loop: a thread for each of two children, which writes as much as fits the window, reads once, and so on.
fn floor(told: &'static str, n: u64) -> (u64, f64) {
    let children = [child(told), child(told)];
    let begin = Instant::now();
    let threads = children.into_iter().enumerate().map(|(index, mut child)| {
        thread::spawn(move || {
            let mut requests = (0..n).filter(move |n| n % 2 == index as u64);
            let stdin = child.stdin.as_mut().expect("it is piped");
            let stdout = child.stdout.as_mut().expect("it is piped");
            let mut buffer = Buffer::new();
            let (mut out, mut in_flight, mut id, mut sum) = (Vec::new(), 0, 0, 0_u64);
            loop {
                for n in requests.by_ref().take((WINDOW - in_flight) as usize) {
                    put_frame(&mut out, id, true, n);
                    id += 1;
                    in_flight += 1;
                }
                if in_flight == 0 {
                    break;
                }
                stdin.write_all(&out).expect("it reads");
                out.clear();
                let take = |body: &[u8]| {
                    sum = sum.wrapping_add(output_of(body));
                    in_flight -= 1;
                };
                buffer.read(stdout, take).expect("it answers");
            }
            (sum, child)
        })
    });
    let threads: Vec<_> = threads.collect();
    let joined = threads
        .into_iter()
        .map(|thread| thread.join().expect("it does not panic"));
    let (sums, children): (Vec<u64>, Vec<_>) = joined.unzip();
    let nanos = each(begin, n);
    children.into_iter().for_each(end);
    (sums.into_iter().fold(0, u64::wrapping_add), nanos)
}

fn end(mut child: Process) {
    drop(child.stdin.take());
    child.wait().expect("it ends");
}

fn start(workers: usize) -> ProcessorService<Child<Triple>> {
    let builder = ProcessorService::builder().workers(workers);
    let service = builder.try_start(|| Child::<Triple>::this_program().start());
    service.expect("the children start")
}

fn ours(n: u64) -> (u64, f64) {
    let service = start(2);
    let begin = Instant::now();
    let set = PromiseSet::new();
    (0..n).for_each(|n| set.insert(service.queue_request(n)));
    let sum = sum(&set);
    (sum, each(begin, n))
}

fn ours_in_bulk(n: u64) -> (u64, f64) {
    let service = start(2);
    let begin = Instant::now();
    let sum = sum(&service.queue_requests(0..n));
    (sum, each(begin, n))
}

pub fn small() -> Case {
    let contenders = vec![
        measured("ours", ours),
        measured("ours, bulk", ours_in_bulk),
        measured("floor", |n| floor(FLOOR, n)),
        measured("floor, answers in batches (a crash loses them)", |n| {
            floor(BATCHES, n)
        }),
    ];
    let work = "distinct u64, empty job, 2 child processes; without their start";
    let mut case = Case::new("processes", work, 200_000, contenders);
    case.expected = triples;
    case.goals.extend([
        Goal::ratio("ours", 1.3, "floor"),
        Goal::ratio("ours, bulk", 1.3, "floor"),
        // Counts only where it is run.
        Goal::ratio("ours", 1.0 / 30.0, "Python, ProcessPoolExecutor"),
    ]);
    case
}

/// So many bytes in each large request.
const LARGE: usize = 1 << 20;

fn ours_large(n: u64) -> (u64, f64) {
    let builder = ProcessorService::builder().workers(1);
    let service = builder.try_start(|| Child::<Length>::this_program().start());
    let service = service.expect("the child starts");
    let requests: Vec<_> = (0..n).map(|n| (n, "x".repeat(LARGE))).collect();
    let begin = Instant::now();
    let promises = service.queue_requests(requests);
    (sum(&promises), each(begin, n))
}

fn floor_large(n: u64) -> (u64, f64) {
    let mut child = child(FLOOR);
    let texts: Vec<_> = (0..n).map(|_| vec![b'x'; LARGE]).collect();
    let mut stdin = child.stdin.take().expect("it is piped");
    let begin = Instant::now();
    // Who writes does not wait for answers, for these are short.
    let writer = thread::spawn(move || {
        for (id, text) in texts.iter().enumerate() {
            let mut head = vec![0; 4];
            head.push(2);
            put_varint(&mut head, id as u64);
            head.push(1);
            let length = (head.len() - 4 + text.len()) as u32;
            head[..4].copy_from_slice(&length.to_le_bytes());
            stdin.write_all(&head).expect("it reads");
            stdin.write_all(text).expect("it reads");
        }
    });
    let stdout = child.stdout.as_mut().expect("it is piped");
    let mut buffer = Buffer::new();
    let (mut sum, mut answered) = (0, 0);
    while answered < n {
        let take = |body: &[u8]| {
            sum += output_of(body);
            answered += 1;
        };
        buffer.read(stdout, take).expect("it answers");
    }
    let nanos = each(begin, n);
    writer.join().expect("it does not panic");
    end(child);
    (sum, nanos)
}

pub fn large() -> Case {
    let contenders = vec![measured("ours", ours_large), measured("floor", floor_large)];
    let work = "1 MiB of text, whose length is the answer; 1 child process";
    let mut case = Case::new("processes 1 MiB", work, 400, contenders);
    case.expected = |n| n * LARGE as u64;
    case.goals.push(Goal::ratio("ours", 1.25, "floor"));
    case
}

fn ours_one_at_a_time(n: u64) -> (u64, f64) {
    let service = start(1);
    let mut sum = 0_u64;
    let each = (0..n).map(|n| {
        let begin = Instant::now();
        let output = service.queue_request(n).wait().copied();
        sum = sum.wrapping_add(output.expect("nothing fails here"));
        begin.elapsed().as_nanos() as f64
    });
    let each = each.collect();
    (sum, median(each))
}

fn floor_one_at_a_time(n: u64) -> (u64, f64) {
    let mut child = child(FLOOR);
    let stdin = child.stdin.as_mut().expect("it is piped");
    let stdout = child.stdout.as_mut().expect("it is piped");
    let mut buffer = Buffer::new();
    let mut out = Vec::new();
    let mut sum = 0_u64;
    let each = (0..n).map(|n| {
        let begin = Instant::now();
        put_frame(&mut out, n, true, n);
        stdin.write_all(&out).expect("it reads");
        out.clear();
        let take = |body: &[u8]| sum = sum.wrapping_add(output_of(body));
        buffer.read(stdout, take).expect("it answers");
        begin.elapsed().as_nanos() as f64
    });
    let each = each.collect();
    end(child);
    (sum, median(each))
}

pub fn one_at_a_time() -> Case {
    let contenders = vec![
        measured("ours", ours_one_at_a_time),
        measured("floor", floor_one_at_a_time),
    ];
    let work = "one request at a time, from queue to outcome; 1 child process; the median";
    let mut case = Case::new("processes, one at a time", work, 10_000, contenders);
    case.expected = triples;
    case.goals.push(Goal::ratio("ours", 1.15, "floor"));
    case
}

pub fn all() -> Vec<Case> {
    vec![small(), large(), one_at_a_time()]
}
