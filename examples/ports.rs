//! Which ports of this machine answer: a thousand connections at a time, as tasks of a runtime of your choice.
//!
//! `cargo run --example ports --features async`, or with the ports to knock at: `-- 1 65535`.
//!
//! ```text
//! 127.0.0.1:36291 answers
//! 127.0.0.1:41877 answers
//! 127.0.0.1:45619 answers
//! 3 of 1000 ports answer
//! ```
//!
//! Each request is a future that `spawned_by` hands to a runtime, here smol's: any other has such a function, too. Without
//! arguments it opens three ports itself, and knocks at these and at 997 that it has closed again.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use parallel_workers::{Async, AsyncProcessor, Context, ProcessorService};
use smol::future::FutureExt;
use smol::{Timer, net};

/// Knocks at ports.
struct Knocker;

impl AsyncProcessor for Knocker {
    type Request = SocketAddr;
    type Output = bool;

    async fn process(&self, address: &SocketAddr, _: &Context<'_>) -> bool {
        let connected = async { net::TcpStream::connect(address).await.is_ok() };
        let too_late = async {
            Timer::after(Duration::from_secs(1)).await;
            false
        };
        connected.or(too_late).await
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<u16> = std::env::args()
        .skip(1)
        .map(|port| port.parse())
        .collect::<Result<_, _>>()?;
    let (addresses, _open) = match arguments[..] {
        [first, last] => {
            let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            ((first..=last).map(here).collect(), Vec::new())
        }
        _ => own_ports()?,
    };
    let service = ProcessorService::start(1, || {
        Async::new(Knocker)
            .concurrency(1_000)
            .spawned_by(|task| smol::spawn(task.run()).detach())
    })?;
    let promises = service.queue_requests(addresses.iter().copied());
    let mut answering: Vec<_> = promises
        .select()
        .filter(|promise| promise.wait() == Ok(&true))
        .map(|promise| *promise.request())
        .collect();
    answering.sort_unstable();
    for address in &answering {
        println!("{address} answers");
    }
    println!("{} of {} ports answer", answering.len(), addresses.len());
    Ok(())
}

/// A thousand ports, and the three of them that are open for as long as their listeners live.
fn own_ports() -> std::io::Result<(Vec<SocketAddr>, Vec<TcpListener>)> {
    let listeners = (0..1_000).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut listeners = listeners.collect::<Result<Vec<_>, _>>()?;
    let addresses = listeners.iter().map(TcpListener::local_addr);
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    listeners.truncate(3);
    Ok((addresses, listeners))
}
