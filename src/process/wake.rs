//! How a thread that waits for pipes is woken: by one more pipe.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::task::Wake;
use std::time::Duration;

use rustix::event::{PollFd, Timespec, poll};

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Arc, now, thread};

/// The thread works, and will look again before it waits.
const AWAKE: u8 = 0;
/// It was woken, and has not looked yet.
const WOKEN: u8 = 1;
/// It waits, or is about to.
const WAITING: u8 = 2;

/// About what it takes to wake a thread.
const LONGEST_LOOKOUT: Duration = Duration::from_micros(50);
const SHORTEST_LOOKOUT: Duration = Duration::from_micros(1);

/// What wakes it.
#[derive(Debug)]
pub(crate) struct Alarm {
    state: AtomicU8,
    ringing: UnixStream,
}

/// The thread's end of it.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) alarm: Arc<Alarm>,
    heard: UnixStream,
    /// For how long it looks out.
    lookout: Duration,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: SeqCst, as in `wait`: either the thread sees that it was woken before it waits, or it is seen to wait
        // here. What it was woken for was done before, and is under locks of its own.
        if self.state.swap(WOKEN, Ordering::SeqCst) == WAITING {
            // A full pipe has a byte in it, which is all that is wanted.
            let _ = (&self.ringing).write(&[0]);
        }
    }
}

impl Sleeper {
    pub(crate) fn new() -> io::Result<Self> {
        let (ringing, heard) = UnixStream::pair()?;
        ringing.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        let alarm = Arc::new(Alarm {
            state: AtomicU8::new(AWAKE),
            ringing,
        });
        Ok(Self {
            alarm,
            heard,
            lookout: SHORTEST_LOOKOUT,
        })
    }

    /// The thread is about to look at everything it may be woken for.
    pub(crate) fn look(&self) {
        self.alarm.state.store(AWAKE, Ordering::SeqCst);
    }

    /// Looks out for being woken for a short while, for longer where that has paid: to wake a thread that sleeps takes longer
    /// than most short requests. See [`blocking`](crate::blocking).
    pub(crate) fn look_out(&mut self) {
        let begin = now();
        loop {
            for _ in 0..32 {
                std::hint::spin_loop();
            }
            if self.alarm.state.load(Ordering::SeqCst) == WOKEN {
                self.lookout = (self.lookout * 2).min(LONGEST_LOOKOUT);
                return;
            }
            if now().saturating_duration_since(begin) >= self.lookout {
                self.lookout = (self.lookout / 2).max(SHORTEST_LOOKOUT);
                return;
            }
            thread::yield_now();
        }
    }

    /// Waits until one of `fds` is ready, or it is woken, or the time is up; at once, if it was woken since it looked.
    pub(crate) fn wait<'a>(
        &'a self,
        fds: &mut Vec<PollFd<'a>>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let begun =
            self.alarm
                .state
                .compare_exchange(AWAKE, WAITING, Ordering::SeqCst, Ordering::SeqCst);
        // Somebody may have read its byte and not its word, or the other way round: both are asked.
        fds.push(PollFd::new(&self.heard, rustix::event::PollFlags::IN));
        let timeout = if begun.is_ok() {
            timeout.map(timespec)
        } else {
            Some(timespec(Duration::ZERO))
        };
        let polled = poll(fds, timeout.as_ref());
        self.look();
        let rang = fds.pop().is_some_and(|heard| !heard.revents().is_empty());
        if rang {
            let _ = (&self.heard).read(&mut [0; 16]);
        }
        match polled {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec {
        tv_sec: i64::MAX,
        tv_nsec: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn who_was_woken_before_does_not_wait() {
        let sleeper = Sleeper::new().expect("a pair of sockets");
        let waker = Waker::from(Arc::clone(&sleeper.alarm));
        sleeper.look();
        waker.wake_by_ref();
        sleeper.wait(&mut Vec::new(), None).expect("a poll");
        let thread = crate::sync::thread::spawn(move || waker.wake());
        // It is woken, whether it waits by then or not.
        sleeper.wait(&mut Vec::new(), None).expect("a poll");
        assert!(thread.join().is_ok());
    }
}
