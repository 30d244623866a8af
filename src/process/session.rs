//! What a service has with one child process: the requests that are there, and how they end with it.
//!
//! It is shared by the worker's thread, which sends and receives, and by whoever gives the worker up: he ends the process
//! himself, and settles what it had, whatever that thread is at.

use std::hash::Hash;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::job::Job;
use crate::loss::{Breach, Loss};
use crate::panic::{Panic, catch};
use crate::process::end::{End, broke};
use crate::process::frame::Decoder;
use crate::process::link::Link;
use crate::process::message::{Codec, FromWorker};
use crate::process::sent::Sent;
use crate::process::spawned::Spawned;
use crate::process::window::{Fate, Window};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, now, thread};

/// A process whose output has ended has so long to end itself.
const GRACE: Duration = Duration::from_millis(200);
/// Whoever moves requests between the queue and the window is waited for so long. That takes microseconds, unless he stands in
/// a request's own code, which may be for ever: then he puts them back later, when he finds that the process has been ended.
const MOVING: Duration = Duration::from_millis(200);
/// No pipe holds more than that, as a rule; what comes after it is somebody else's, whom the process has started.
const REST: usize = 1 << 20;
/// How long between two looks whether a process has ended, where its end wakes nobody.
const LOOK: Duration = Duration::from_millis(5);
/// A request that its process did not read goes to so many of them.
const MOST_UNREAD: u32 = 3;

/// The requests of one process.
pub(crate) struct Session<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    state: Mutex<State<R, T>>,
    /// What the operating system calls the process.
    id: u32,
    stdout: OwnedFd,
    codec: Codec,
    /// How many times a request may begin.
    attempts: u32,
    /// Whether the worker's thread has requests that are neither queued nor in the window.
    is_taking: AtomicBool,
}

/// LOCK: held for a few instructions, or while the process is being ended; no foreign code is called under it.
pub(crate) struct State<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) process: Spawned,
    pub(crate) window: Window<Sent<R, T>>,
    /// How many bytes were sent, or may have been.
    pub(crate) sent: u64,
    /// The pipe that they were sent through, until it is closed.
    stdin: Option<OwnedFd>,
    /// Not there while the worker's thread takes answers.
    decoder: Option<Decoder>,
    is_over: bool,
}

/// How a request was answered.
pub(crate) type Answer<T> = Result<T, Panic>;

impl<R, T> Session<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(
        process: Spawned,
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        decoder: Decoder,
        window: Window<Sent<R, T>>,
        codec: Codec,
        attempts: u32,
    ) -> Self {
        let id = process.id();
        let state = State {
            process,
            window,
            sent: 0,
            stdin,
            decoder: Some(decoder),
            is_over: false,
        };
        Self {
            state: Mutex::new(state),
            id,
            stdout,
            codec,
            attempts,
            is_taking: AtomicBool::new(false),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn stdout(&self) -> &OwnedFd {
        &self.stdout
    }

    /// Looks at what is there, or changes it; `f` calls no foreign code. `None`: the process has been ended.
    pub(crate) fn with<U>(&self, f: impl FnOnce(&mut State<R, T>) -> U) -> Option<U> {
        let mut state = self.state.lock();
        (!state.is_over).then(|| f(&mut state))
    }

    /// The worker's thread begins to move requests between the queue and the window, or all are in one of them.
    ///
    /// ORDERING: SeqCst, here and below. Whoever gives the worker up says so first, and then asks for this; a worker that takes a
    /// request says this first, and then asks whether it was given up. So one of the two sees the other.
    pub(crate) fn set_taking(&self, is_taking: bool) {
        self.is_taking.store(is_taking, Ordering::SeqCst);
    }

    /// Waits until what the worker's thread moves is where it is to be. Not for ever: it may stand in a request's own code.
    fn wait_for_taken(&self) {
        let deadline = now() + MOVING;
        while self.is_taking.load(Ordering::SeqCst) && now() < deadline {
            thread::yield_now();
        }
    }

    /// Reads once, and says whether there may be more. `None`: nothing has come.
    fn read(&self, decoder: &mut Decoder) -> Option<Result<bool, End>> {
        loop {
            let read = decoder.read(|room| Ok(rustix::io::read(&self.stdout, room)?));
            return match read {
                Ok(1..) => Some(Ok(decoder.is_full())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                // The end, or it can be read no more.
                Ok(0) | Err(_) => Some(Err(End::ByItself)),
            };
        }
    }

    /// What is left in the pipe.
    fn read_rest(&self, mut decoder: Decoder) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut most = REST;
        while most > 0
            && let Some(Ok(_)) = self.read(&mut decoder)
        {
            most = most.saturating_sub(decoder.last_read());
            while let Ok(Some(span)) = decoder.next() {
                messages.push(decoder.bytes(span).to_vec());
            }
        }
        messages
    }

    /// Takes the decoder, for as long as `f` needs it; whoever ends the process meanwhile cannot tell what had begun. `None`:
    /// the process has been ended.
    pub(crate) fn with_decoder<U>(&self, f: impl FnOnce(&mut Decoder) -> U) -> Option<U> {
        let mut decoder = self.with(|state| state.decoder.take()).flatten()?;
        let result = f(&mut decoder);
        self.state.lock().decoder = Some(decoder);
        Some(result)
    }

    /// Waits until the process has ended, and kills it if it has not by the deadline. It has no requests any more.
    pub(crate) fn finish(&self, link: &mut Link, deadline: Instant) {
        self.state.lock().stdin = None;
        let is_running = |session: &Self| {
            let ended = session.with(|state| state.process.try_wait().is_some());
            ended == Some(false)
        };
        while is_running(self) {
            let left = deadline.saturating_duration_since(now());
            link.sleeper.look();
            // Its output has ended by then, as a rule, so what is waited for is its own end, or its errors.
            if left.is_zero() || link.wait_for_end(left.min(LOOK)).is_err() {
                break;
            }
        }
        let mut state = self.state.lock();
        state.is_over = true;
        state.process.kill();
        drop(state);
        link.read_stderr();
    }
}

impl<R, T> Session<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: DeserializeOwned + Send + Sync + 'static,
{
    /// Takes in what the process has said, and gives each answer to `settle`.
    ///
    /// # Errors
    ///
    /// What is to be the end of the process.
    pub(crate) fn receive(&self, mut settle: impl FnMut(Job<R, T>, Answer<T>)) -> Result<(), End> {
        self.set_taking(true);
        let received = self.with_decoder(|decoder| {
            while let Some(read) = self.read(decoder) {
                let may_be_more = read?;
                self.take(decoder, &mut settle)?;
                if !may_be_more {
                    break;
                }
            }
            Ok(())
        });
        self.set_taking(false);
        received.unwrap_or(Ok(()))
    }

    /// Takes the messages that have come as a whole.
    fn take(
        &self,
        decoder: &mut Decoder,
        settle: &mut impl FnMut(Job<R, T>, Answer<T>),
    ) -> Result<(), End> {
        let mut spans = Vec::new();
        let framed = loop {
            match decoder.next() {
                Ok(Some(span)) => spans.push(span),
                Ok(None) => break Ok(()),
                Err(error) => break Err(broke(&error)),
            }
        };
        let messages = spans.iter().map(|span| decoder.bytes(*span));
        let Some(understood) = self.with(|state| state.understand(self.codec, messages)) else {
            return Ok(());
        };
        give_back(understood.recalled.into_iter());
        if !understood.answered.is_empty() {
            // Foreign code is called here, and may give this worker up itself.
            self.set_taking(false);
            for (sent, answer) in understood.answered {
                settle(sent.job, self.decode(answer));
            }
            self.set_taking(true);
        }
        understood.result.and(framed)
    }

    fn decode(&self, answer: Raw<'_>) -> Answer<T> {
        match answer {
            Raw::Output(bytes) => self.decode_output(bytes),
            Raw::Panicked(panic) => Err(panic),
        }
    }

    pub(crate) fn decode_output(&self, bytes: &[u8]) -> Answer<T> {
        // The output's own code.
        let decoded = catch(|| self.codec.decode(bytes))?;
        decoded.map_err(|error| {
            Panic::new(
                format!("the worker's output cannot be decoded: {error}"),
                None,
            )
        })
    }

    /// The answer to the only request that the process has, if it has come.
    pub(crate) fn answer_to(
        &self,
        wanted: u64,
        decoder: &mut Decoder,
    ) -> Result<Option<Answer<T>>, End> {
        while let Some(read) = self.read(decoder) {
            read?;
            if let Some(span) = decoder.next().map_err(|error| broke(&error))? {
                let message = self.codec.read_from_worker(decoder.bytes(span));
                match message.map_err(|error| broke(&error))? {
                    FromWorker::Output { id, output } if id == wanted => {
                        return Ok(Some(self.decode_output(output)));
                    }
                    FromWorker::Panicked { id, report } if id == wanted => {
                        let panic = Panic::new(report.message, report.location);
                        return Ok(Some(Err(panic)));
                    }
                    _ => return Err(broke(&"it answered what it was not asked")),
                }
            }
        }
        Ok(None)
    }

    /// Ends the process, and settles all that it had: what it had answered, what it may have begun, and what it had not,
    /// which goes back to the queue. Does nothing if it has been ended. Gives why what it ran has no output.
    pub(crate) fn end(&self, end: End) -> Loss {
        self.wait_for_taken();
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_over, true) {
            drop(state);
            // Somebody else does it, and puts back what had not begun: whoever gives the worker up settles the rest.
            self.wait_for_taken();
            return Loss::Killed;
        }
        let loss = state.end_process(&end);
        // What it said before its end counts.
        let decoder = state.decoder.take();
        // One that broke the protocol may have begun anything that it has read.
        let can_tell = decoder.is_some() && !matches!(loss, Loss::BrokeProtocol(_));
        let said = decoder.map_or_else(Vec::new, |decoder| self.read_rest(decoder));
        let messages = said.iter().map(Vec::as_slice);
        let understood = state.understand(self.codec, messages);
        let read = state.read_of_sent();
        let lost = state.window.lost(read);
        self.set_taking(true);
        drop(state);
        let waits = |fate: &Fate| match fate {
            Fate::Waiting => can_tell,
            Fate::Untouched => true,
            Fate::Begun | Fate::Unread => false,
        };
        let (waiting, first): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|(_, fate)| waits(fate));
        // Each is put in front of what was put back before: the last one first.
        give_back(waiting.into_iter().map(|(sent, _)| sent));
        give_back(understood.recalled.into_iter());
        let begun = self.lose_unread(first, &end, &loss);
        self.set_taking(false);
        self.settle_answered(understood.answered);
        begun
            .into_iter()
            .for_each(|sent| self.lose(sent.job, false, &end, &loss));
        loss
    }

    /// Has those begin again that would have been the next, and were not read. Gives those that may have begun, the last first.
    fn lose_unread(
        &self,
        first: Vec<(Sent<R, T>, Fate)>,
        end: &End,
        loss: &Loss,
    ) -> Vec<Sent<R, T>> {
        let mut begun = Vec::new();
        for (sent, fate) in first.into_iter().rev() {
            match fate {
                Fate::Unread => self.lose(sent.job, true, end, loss),
                _ => begun.push(sent),
            }
        }
        begun
    }

    /// Settles what the process had answered before its end.
    fn settle_answered(&self, answered: Vec<(Sent<R, T>, Raw<'_>)>) {
        for (sent, answer) in answered {
            match self.decode(answer) {
                Ok(output) => sent.job.settle(output),
                Err(panic) => sent.job.panicked(panic),
            }
        }
    }

    /// A process has ended that may have begun this, or, if that is so, would have begun it next.
    fn lose(&self, job: Job<R, T>, is_unread: bool, end: &End, loss: &Loss) {
        let by_itself = matches!(loss, Loss::Ended(_) | Loss::BrokeProtocol(_));
        let attempts = match (is_unread, by_itself) {
            (true, _) => self.attempts.max(MOST_UNREAD),
            (false, true) => self.attempts,
            (false, false) => 0,
        };
        match end {
            End::Unwanted => job.abort(),
            _ if job.context().attempt() < attempts => job.retry(),
            _ => job.lose(loss.clone()),
        }
    }
}

/// What a process has said.
struct Understood<'a, R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    answered: Vec<(Sent<R, T>, Raw<'a>)>,
    recalled: Vec<Sent<R, T>>,
    /// What is to be its end.
    result: Result<(), End>,
}

/// An answer as it came.
enum Raw<'a> {
    Output(&'a [u8]),
    Panicked(Panic),
}

impl<R, T> State<R, T>
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Takes what is answered out of the window.
    fn understand<'a>(
        &mut self,
        codec: Codec,
        messages: impl Iterator<Item = &'a [u8]>,
    ) -> Understood<'a, R, T> {
        let mut understood = Understood {
            answered: Vec::new(),
            recalled: Vec::new(),
            result: Ok(()),
        };
        for message in messages {
            let read = codec
                .read_from_worker(message)
                .map_err(|error| broke(&error));
            understood.result = read.and_then(|message| self.note(message, &mut understood));
            if understood.result.is_err() {
                break;
            }
        }
        self.window.answered(understood.answered.len(), now());
        understood
    }

    fn note<'a>(
        &mut self,
        message: FromWorker<'a>,
        understood: &mut Understood<'a, R, T>,
    ) -> Result<(), End> {
        let (id, answer) = match message {
            FromWorker::Output { id, output } => (id, Raw::Output(output)),
            FromWorker::Panicked { id, report } => {
                let panic = Panic::new(report.message, report.location);
                (id, Raw::Panicked(panic))
            }
            FromWorker::Recalled(ids) => {
                let recalled = self.window.recalled(&ids).map_err(|error| broke(&error))?;
                understood.recalled.extend(recalled);
                return Ok(());
            }
            FromWorker::Hello(_) => return Err(broke(&"it said hello twice")),
        };
        let sent = self.window.answer(id).map_err(|error| broke(&error))?;
        understood.answered.push((sent, answer));
        Ok(())
    }

    /// How many of the bytes that were sent the process has read: a pipe tells how many are in it.
    fn read_of_sent(&self) -> u64 {
        let stdin = self.stdin.as_ref();
        let unread = stdin.and_then(|stdin| rustix::io::ioctl_fionread(stdin).ok());
        // Where it is not known, all may have been read.
        self.sent.saturating_sub(unread.unwrap_or(0))
    }

    /// Ends the process. Gives why what it runs has no output.
    fn end_process(&mut self, end: &End) -> Loss {
        match end {
            End::ByItself => match self.process.wait_until(now() + GRACE) {
                Some(status) => Loss::Ended(status),
                None => {
                    self.process.kill();
                    let reason = "it closed its standard output, and did not end";
                    Loss::BrokeProtocol(Breach::new(reason))
                }
            },
            End::Unwanted => {
                self.process.kill();
                Loss::Killed
            }
            End::For(loss) => {
                self.process.kill();
                loss.clone()
            }
        }
    }
}

/// Puts requests back into the queue, in the order in which they were.
fn give_back<R, T>(sent: impl DoubleEndedIterator<Item = Sent<R, T>>)
where
    R: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    // Each is put in front of what was put back before.
    sent.rev().for_each(|sent| sent.job.give_back());
}
