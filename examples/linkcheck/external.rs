//! Links to other sites: which of them are fetched, and what may come of it.
//!
//! Fetching takes an async HTTP client and its runtime: it is there with the feature `tokio`.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "tokio")]
pub(crate) use crate::fetch::Fetching;

/// How to fetch.
#[cfg_attr(
    not(feature = "tokio"),
    expect(dead_code, reason = "nothing is fetched without it")
)]
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// How links begin that are fetched.
    pub(crate) prefix: String,
    pub(crate) per_host: usize,
    /// For an address, all that it sends on to included, once its turn has come.
    pub(crate) timeout: Duration,
}

/// Why a fetched address is no good.
#[cfg_attr(
    not(feature = "tokio"),
    expect(dead_code, reason = "nothing is fetched without it")
)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unreachable {
    Status(u16),
    TooManyRedirects,
    NoAnswer(Duration),
    NotConnected,
    NoAddress,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status {code}"),
            Self::TooManyRedirects => write!(f, "sent on more than {MOST_REDIRECTS} times"),
            Self::NoAnswer(timeout) => write!(f, "no answer within {} s", timeout.as_secs_f64()),
            Self::NotConnected => f.write_str("no connection"),
            Self::NoAddress => f.write_str("no address"),
        }
    }
}

/// How often an address may be sent on.
pub(crate) const MOST_REDIRECTS: usize = 10;

/// A link that leads nowhere: its page, the link, and why.
pub(crate) type Dead = (Rc<str>, Box<str>, Unreachable);

/// Without the feature, nothing is.
#[cfg(not(feature = "tokio"))]
pub(crate) struct Fetching(std::convert::Infallible);

#[cfg(not(feature = "tokio"))]
impl Fetching {
    pub(crate) fn start(_: &Terms) -> Result<Self, Box<dyn std::error::Error>> {
        Err(
            "--external needs the feature tokio: cargo run --features tokio --example linkcheck"
                .into(),
        )
    }

    pub(crate) fn queue(&mut self, _: &Rc<str>, _: Box<str>) {
        match self.0 {}
    }

    pub(crate) fn finish(self) -> Result<(u64, Vec<Dead>), parallel_workers::Failure> {
        match self.0 {}
    }
}
