//! A door that requests knock at, in whatever process or machine they run: a socket of the test's.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Requests say a number at it, and stand there until they are let in.
pub(crate) struct Door {
    pub(crate) port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// Who stands there.
    standing: Vec<(u64, TcpStream)>,
    /// How often each number has come.
    came: HashMap<u64, usize>,
    is_open: bool,
}

impl Door {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let door = Self { port, shared };
        let shared = Arc::downgrade(&door.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let mut stream = stream.unwrap();
                let mut number = [0; 8];
                // One that was dropped before it had said it has not come.
                if stream.read_exact(&mut number).is_err() {
                    continue;
                }
                let number = u64::from_le_bytes(number);
                let (state, changed) = &*shared;
                let mut state = state.lock().unwrap();
                *state.came.entry(number).or_default() += 1;
                if state.is_open {
                    let _ = stream.write_all(&[1]);
                } else {
                    state.standing.push((number, stream));
                }
                changed.notify_all();
            }
        });
        door
    }

    /// Waits until a number has come so often.
    pub(crate) fn wait_for(&self, number: u64, times: usize) {
        let (state, changed) = &*self.shared;
        let mut state = state.lock().unwrap();
        while state.came.get(&number).copied().unwrap_or(0) < times {
            state = changed.wait(state).unwrap();
        }
    }

    /// How often a number has come.
    pub(crate) fn times(&self, number: u64) -> usize {
        let state = self.shared.0.lock().unwrap();
        state.came.get(&number).copied().unwrap_or(0)
    }

    /// Lets in those who stand there with this number.
    pub(crate) fn let_in(&self, number: u64) {
        let mut state = self.shared.0.lock().unwrap();
        for (_, stream) in state.standing.extract_if(.., |(one, _)| *one == number) {
            // Who has gone away need not be let in.
            let _ = (&stream).write_all(&[1]);
        }
    }

    /// Lets everybody in, now and later.
    pub(crate) fn open(&self) {
        let mut state = self.shared.0.lock().unwrap();
        state.is_open = true;
        for (_, stream) in state.standing.drain(..) {
            let _ = (&stream).write_all(&[1]);
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.open();
        self.shared = Arc::default();
        // Its thread looks up, and finds that nobody is there.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// What is said at a door.
pub(crate) fn greeting(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// Knocks, and stands there until it is let in.
pub(crate) fn knock(port: u16, number: u64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&greeting(number)).unwrap();
    // A door that is no longer there lets everybody in.
    let _ = stream.read(&mut [0]);
}
