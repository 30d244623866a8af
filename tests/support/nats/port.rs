use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports that no system gives to who asks for any: a server that is down for a moment finds its port still free.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A number that no other test on this machine has, and a TCP port that is free.
///
/// The UDP port of the same number is held as long as this lives: servers do not need it, and the system frees it when
/// the program ends, however that ends.
pub struct Port {
    pub number: u16,
    _held: UdpSocket,
}

impl Port {
    pub fn reserve() -> Self {
        // Each program begins elsewhere, so that they seldom ask for what another one has.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let own = u16::try_from(std::process::id() % 1000).unwrap() * 10;
        for _ in 0..COUNT {
            let place = (own + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
            let is_free =
                |port: &Self| TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).is_ok();
            if let Some(port) = Self::hold_place(place).filter(is_free) {
                return port;
            }
        }
        panic!("there is no free port from {FIRST} on");
    }

    /// The number at this place, where nobody has it.
    pub fn hold_place(place: u16) -> Option<Self> {
        let number = FIRST.checked_add(place)?;
        let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self {
            number,
            _held: held,
        })
    }

    /// How many numbers come before this one.
    pub fn place(&self) -> u16 {
        self.number - FIRST
    }
}
