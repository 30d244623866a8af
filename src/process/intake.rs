//! What a worker process has been sent and has not begun.
//!
//! One thread processes requests. It reads them itself where it has none, so that a request costs no hand-over between
//! threads. While it is busy, another one reads: see [`watcher`](crate::process::watcher).

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Waker;

use rustix::io::Errno;

use crate::blocking::block_on;
use crate::process::frame::Decoder;
use crate::process::message::{Codec, FromService, FromWorker};
use crate::process::running::Running;
use crate::status::WorkerId;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use crate::wakers::wake;

/// A buffer that is no longer is small.
const SMALL: usize = 4096;

/// What the threads of a worker process share.
pub(crate) struct Intake {
    codec: Codec,
    /// The longest message that the service reads.
    limit: u32,
    worker: WorkerId,
    /// LOCK: held while reading, by whoever has said in `inbox` that he reads.
    input: Mutex<Input>,
    /// LOCK: held for a few instructions; no foreign code is called under it.
    inbox: Mutex<Inbox>,
    /// Whether the request that runs is being answered.
    is_answered: AtomicBool,
    /// LOCK: held while one message is written.
    output: Mutex<OwnedFd>,
}

pub(crate) struct Input {
    pub(crate) stdin: OwnedFd,
    pub(crate) decoder: Decoder,
}

struct Inbox {
    waiting: VecDeque<Waiting>,
    /// Buffers of requests that have been processed, for others.
    spare: Vec<Vec<u8>>,
    /// The request that runs.
    current: Option<u64>,
    running: Arc<Running>,
    /// How many have begun, ever.
    begun: u64,
    /// Whether somebody reads.
    is_read: bool,
    /// Whether there will be no more.
    is_over: bool,
    /// Who waits for a request, while somebody else reads.
    idle: Option<Waker>,
    /// Who waits for a request to begin.
    watcher: Option<Waker>,
}

/// A request as it came.
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) request: Vec<u8>,
}

/// What the thread that processes requests is to do.
pub(crate) enum Next {
    Process(Waiting, Arc<Running>),
    Read,
    Leave,
}

/// What the watcher finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Nothing runs.
    Idle,
    /// So many have begun, the last of which runs.
    Busy(u64),
    Over,
}

impl Inbox {
    /// What there is to do, and who is to be told that something begins. `None`: nothing, while somebody else reads.
    fn look(&mut self) -> Option<(Next, Option<Waker>)> {
        if let Some(waiting) = self.waiting.pop_front() {
            self.current = Some(waiting.id);
            self.begun += 1;
            let running = Arc::clone(&self.running);
            return Some((Next::Process(waiting, running), self.watcher.take()));
        }
        if self.is_over {
            return Some((Next::Leave, None));
        }
        if self.is_read {
            return None;
        }
        self.is_read = true;
        Some((Next::Read, None))
    }

    fn finish(&mut self, done: Waiting, worker: WorkerId) {
        self.current = None;
        if self.running.is_cancelled() {
            self.running = Arc::new(Running::new(worker));
        }
        let mut spare = done.request;
        spare.clear();
        // A large one is kept only where it is the only one.
        if spare.capacity() <= SMALL || self.spare.is_empty() {
            self.spare.push(spare);
        }
    }
}

impl Intake {
    pub(crate) fn new(
        codec: Codec,
        limit: u32,
        worker: WorkerId,
        input: Input,
        output: OwnedFd,
    ) -> Self {
        let inbox = Inbox {
            waiting: VecDeque::new(),
            spare: Vec::new(),
            current: None,
            running: Arc::new(Running::new(worker)),
            begun: 0,
            is_read: false,
            is_over: false,
            idle: None,
            watcher: None,
        };
        Self {
            codec,
            limit,
            worker,
            input: Mutex::new(input),
            inbox: Mutex::new(inbox),
            is_answered: AtomicBool::new(false),
            output: Mutex::new(output),
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// What to do next, for the thread that processes requests, which is done with this one.
    pub(crate) fn next(&self, done: Option<Waiting>) -> Next {
        let mut inbox = self.inbox.lock();
        if let Some(done) = done {
            inbox.finish(done, self.worker);
            self.is_answered.store(false, Ordering::SeqCst);
        }
        let looked = inbox.look();
        drop(inbox);
        let wait = || {
            block_on(|waker| {
                let mut inbox = self.inbox.lock();
                let looked = inbox.look();
                if looked.is_none() {
                    inbox.idle = Some(waker.clone());
                }
                looked
            })
        };
        let (next, watcher) = looked.unwrap_or_else(wait);
        watcher.into_iter().for_each(wake);
        next
    }

    /// The request that runs is about to be answered: the service may close the input when it has the answer.
    pub(crate) fn answering(&self) {
        // ORDERING: SeqCst; whoever finds the end of the input has it from the service, which has the answer.
        self.is_answered.store(true, Ordering::SeqCst);
    }

    /// What the watcher finds; with a waker, it is woken when a request begins.
    pub(crate) fn watch(&self, waker: Option<&Waker>) -> Watched {
        let mut inbox = self.inbox.lock();
        match (inbox.is_over, inbox.current) {
            (true, _) => Watched::Over,
            (false, Some(_)) => Watched::Busy(inbox.begun),
            (false, None) => {
                inbox.watcher = waker.cloned();
                Watched::Idle
            }
        }
    }

    /// The watcher is to read, if the same request still runs and nobody reads.
    pub(crate) fn take_over(&self, begun: u64) -> bool {
        let mut inbox = self.inbox.lock();
        let takes_over = inbox.begun == begun && inbox.current.is_some() && !inbox.is_read;
        inbox.is_read |= takes_over;
        takes_over
    }

    /// Reads once, and takes in what has come. To be called by whoever was told to read.
    ///
    /// # Errors
    ///
    /// The service broke the protocol, or the pipes are broken.
    pub(crate) fn read(&self) -> io::Result<()> {
        let mut input = self.input.lock();
        let Input { stdin, decoder } = &mut *input;
        let read = loop {
            match decoder.read(|room| Ok(rustix::io::read(&*stdin, room)?)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if read == 0 {
            self.end();
            return Ok(());
        }
        while let Some(span) = decoder.next().map_err(invalid)? {
            let message = self.codec.read_from_service(decoder.bytes(span));
            self.take(message.map_err(invalid)?)?;
        }
        drop(input);
        self.stop_reading();
        Ok(())
    }

    fn stop_reading(&self) {
        let mut inbox = self.inbox.lock();
        inbox.is_read = false;
        let idle = inbox.idle.take();
        drop(inbox);
        idle.into_iter().for_each(wake);
    }

    /// The service says no more, or is gone. Where a request runs, it is gone, for it waits for answers: so there is nobody to
    /// work for.
    fn end(&self) {
        let mut inbox = self.inbox.lock();
        if inbox.current.is_some() && !self.is_answered.load(Ordering::SeqCst) {
            std::process::exit(0);
        }
        inbox.is_over = true;
        drop(inbox);
        self.stop_reading();
    }

    fn take(&self, message: FromService<'_>) -> io::Result<()> {
        match message {
            FromService::Request {
                id,
                attempt,
                request,
            } => {
                let mut inbox = self.inbox.lock();
                let mut buffer = inbox.spare.pop().unwrap_or_default();
                buffer.extend_from_slice(request);
                inbox.waiting.push_back(Waiting {
                    id,
                    attempt,
                    request: buffer,
                });
            }
            FromService::Cancel(id) => {
                let inbox = self.inbox.lock();
                let running = (inbox.current == Some(id)).then(|| Arc::clone(&inbox.running));
                drop(inbox);
                // One that has ended, or has not begun, is answered as it is.
                running.iter().for_each(|running| running.cancel());
            }
            FromService::Recall => {
                let recalled = std::mem::take(&mut self.inbox.lock().waiting);
                let ids = recalled.iter().map(|waiting| waiting.id).collect();
                self.say(&FromWorker::Recalled(ids))?;
            }
            FromService::Hello(_) => return Err(invalid("the service said hello twice")),
        }
        Ok(())
    }

    pub(crate) fn say(&self, message: &FromWorker<'_>) -> io::Result<()> {
        let mut out = Vec::new();
        let written = self.codec.write_from_worker(&mut out, self.limit, message);
        written.map_err(invalid)?;
        self.write(&out)
    }

    /// Writes messages.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let output = self.output.lock();
        while !bytes.is_empty() {
            match rustix::io::write(&*output, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
