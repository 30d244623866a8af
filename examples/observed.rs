//! A service that can be watched from outside: a page for Prometheus on loopback, and a log line for each run.
//!
//! `cargo run --example observed --features metrics,tracing`, and `-- 100` for so many requests instead of an endless
//! load. It goes on to serve the page until Ctrl-C.
//!
//! ```text
//! page: http://127.0.0.1:41235/metrics
//! 2026-11-21T08:12:31.002Z  INFO client{name="A"}:run{request=3 worker="shop-1" waited=8.1ms outcome="output" ran=2.2ms}: close ...
//! ```

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use axum::{Router, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use parallel_workers::{Context, Processor, ProcessorService};
use tracing::info_span;
use tracing_subscriber::fmt::format::FmtSpan;

/// Takes some milliseconds for each order; every seventh cannot be filled.
struct Shop;

impl Processor for Shop {
    type Request = u64;
    type Output = Result<u64, &'static str>;

    fn process(&mut self, order: &u64, _: &Context<'_>) -> Self::Output {
        thread::sleep(Duration::from_millis(1 + order % 5));
        if order.is_multiple_of(7) {
            Err("sold out")
        } else {
            Ok(*order)
        }
    }

    fn is_failure(output: &Self::Output) -> bool {
        output.is_err()
    }
}

/// Clients that order, each in a span of its own; often the same thing at the same time.
fn order(service: &ProcessorService<Shop>, orders: u64) {
    let clients = ["A", "B", "C"].map(|name| info_span!("client", name));
    for (n, client) in (0..orders).zip(clients.iter().cycle()) {
        let promise = client.in_scope(|| service.queue_request(n / 2));
        if n % 16 == 15 {
            // Ignored on purpose: the log and the page tell how it ended.
            let _ = promise.wait();
        }
    }
    service.wait_idle();
}

fn main() -> Result<(), Box<dyn Error>> {
    let orders = match std::env::args().nth(1) {
        Some(argument) => argument.parse()?,
        None => u64::MAX,
    };
    // A line for each span that closes: a run's is complete then.
    let log = tracing_subscriber::fmt()
        .with_target(false)
        .with_ansi(false);
    log.with_span_events(FmtSpan::CLOSE).init();
    // Before the service starts, for it finds its meters then. Buckets make histograms of the waits and runs.
    let seconds = Matcher::Suffix("_seconds".into());
    let buckets = [0.000_1, 0.001, 0.01, 0.1, 1.0];
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &buckets)?;
    let page = recorder.install_recorder()?;
    let service = ProcessorService::builder()
        .workers(2)
        .name("shop")
        .capacity(100);
    let service = service.start(|| Shop)?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    println!("page: http://{}/metrics", listener.local_addr()?);
    thread::spawn(move || order(&service, orders));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let site = Router::new().route("/metrics", get(async move || page.render()));
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            served = axum::serve(listener, site) => served?,
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok(())
    })
}
