use std::ops::Range;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::slots::Slots;
use super::{check_stored, connect, number_of, output_subject, request_subject, u64_at};
use crate::cpu::Meter;
use crate::load::{Error, Figures, Load, Stopwatch};

/// Longer than any run takes. A message that is lost is lost: nobody looks again.
const PATIENCE: Duration = Duration::from_secs(300);

const STORED: u8 = 1;
const DONE: u8 = 2;

pub async fn call(address: &str, load: &Load, meter: &Meter) -> Result<Figures, Error> {
    let mut caller = Caller::new(address, load.window).await?;
    let [warm_up, measured] = load.parts();
    timeout(PATIENCE, caller.run(warm_up)).await??;
    let before = meter.read()?;
    let mut figures = timeout(PATIENCE, caller.run(measured)).await??;
    figures.cpu = meter.read()? - before;
    Ok(figures)
}

struct Caller {
    client: Client,
    window: usize,
    /// This one among all callers.
    id: u64,
    /// All outputs that this caller has asked for.
    outputs: Subscriber,
    /// What the server says of each request: one subscription for all, where the client would make a future for each.
    answers: Subscriber,
    inbox: String,
    /// Requests whose answers are to come.
    unstored: Slots<u64>,
}

/// One part of a run.
struct Part {
    stopwatch: Stopwatch,
    first: u64,
    /// What has come for each request; it is over when both have.
    seen: Vec<u8>,
    next: u64,
    over: u64,
}

impl Caller {
    async fn new(address: &str, window: usize) -> Result<Self, Error> {
        let client = connect(address).await?;
        let id = u64::from(std::process::id());
        let outputs = client.subscribe(output_subject(id, "*")).await?;
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await?;
        Ok(Self {
            client,
            window,
            id,
            outputs,
            answers,
            inbox,
            unstored: Slots::new(),
        })
    }

    async fn run(&mut self, requests: Range<u64>) -> Result<Figures, Error> {
        let mut part = Part {
            stopwatch: Stopwatch::new(requests.clone()),
            first: requests.start,
            seen: vec![0; (requests.end - requests.start) as usize],
            next: requests.start,
            over: requests.start,
        };
        while part.over < requests.end {
            while part.next < requests.end && part.next - part.over < self.window as u64 {
                self.send(part.next, &mut part.stopwatch).await?;
                part.next += 1;
            }
            tokio::select! {
                biased;
                Some(output) = self.outputs.next() => {
                    let request = number_of(&output)?;
                    if part.note(request, DONE) {
                        part.stopwatch.done(request, u64_at(&output.payload, 0)?);
                    }
                }
                Some(answer) = self.answers.next() => {
                    check_stored(&answer)?;
                    let request = self.unstored.take(number_of(&answer)?);
                    part.note(request.ok_or("nothing waits for this answer")?, STORED);
                }
                else => return Err("the connection to the server has ended".into()),
            }
        }
        Ok(part.stopwatch.stop())
    }

    async fn send(&mut self, request: u64, stopwatch: &mut Stopwatch) -> Result<(), Error> {
        let mut payload = Vec::with_capacity(16);
        payload.extend(request.to_le_bytes());
        payload.extend(self.id.to_le_bytes());
        let place = self.unstored.put(request);
        let reply = format!("{}.{place}", self.inbox);
        stopwatch.sent(request);
        let subject = request_subject(request);
        let sent = self
            .client
            .publish_with_reply(subject, reply, payload.into());
        Ok(sent.await?)
    }
}

impl Part {
    /// Whether that is new: an output may come twice, and late.
    fn note(&mut self, request: u64, what: u8) -> bool {
        let index = request.wrapping_sub(self.first) as usize;
        let Some(seen) = self.seen.get_mut(index) else {
            return false;
        };
        let is_new = *seen & what == 0;
        *seen |= what;
        if is_new && *seen == STORED | DONE {
            self.over += 1;
        }
        is_new
    }
}
