//! A live view of a service: one small page, served on loopback, with buttons that steer it.
//!
//! `cargo run --example dashboard --features serde`, then open the address that it prints. `-- 8080` chooses the port.
//! Ctrl-C ends it.
//!
//! The page follows `/live`, a stream of server-sent events, each the `status()` of the service as JSON with the
//! events since the last one, and posts to `/pause`, `/resume`, `/add`, `/remove/ID` and `/kill/ID`. What it serves
//! here is a load that keeps four workers busy, fails, panics, is aborted, and now and then hangs: kill that worker.

#[path = "dashboard/load.rs"]
mod load;

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream;
use parallel_workers::{Events, ProcessorService, Worker};
use serde::Serialize;

use load::Shop;

type Service = Arc<ProcessorService<Shop>>;

/// How often the page is told.
const BEAT: Duration = Duration::from_millis(500);

/// What the page is told.
#[derive(Serialize)]
struct News {
    status: parallel_workers::ServiceStatus,
    paused: bool,
    /// The latest events, as lines.
    log: Vec<String>,
    missed: u64,
}

fn news(service: &Service, events: &Events) -> News {
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
    let latest = told.iter().rev().take(12);
    News {
        status: service.status(),
        paused: service.is_paused(),
        log: latest.map(ToString::to_string).collect(),
        missed: events.missed(),
    }
}

async fn live(State(service): State<Service>) -> impl IntoResponse {
    let events = service.subscribe_with(1000);
    let beats = stream::unfold((service, events), async |(service, events)| {
        tokio::time::sleep(BEAT).await;
        let event = Event::default().json_data(news(&service, &events));
        let event = event.unwrap_or_else(|error| Event::default().comment(error.to_string()));
        Some((Ok::<_, Infallible>(event), (service, events)))
    });
    Sse::new(beats).keep_alive(KeepAlive::default())
}

/// What a button does. What may wait for a worker's processor waits on a thread that may block.
async fn steer(State(service): State<Service>, Path(what): Path<String>) -> StatusCode {
    let done = tokio::task::spawn_blocking(move || {
        match what.as_str() {
            "pause" => service.pause(),
            "resume" => service.resume(),
            "add" => return service.add_workers(1).is_ok(),
            _ => return false,
        }
        true
    });
    answer(done.await.unwrap_or(false))
}

async fn steer_worker(
    State(service): State<Service>,
    Path((what, id)): Path<(String, String)>,
) -> StatusCode {
    let done = tokio::task::spawn_blocking(move || {
        let worker = find(&service, &id);
        worker.is_some_and(|worker| match what.as_str() {
            "remove" => worker.remove(),
            "kill" => worker.kill().is_ok(),
            _ => false,
        })
    });
    answer(done.await.unwrap_or(false))
}

fn find(service: &Service, id: &str) -> Option<Worker<Shop>> {
    let workers = service.workers().into_iter();
    let mut ids = workers.map(|worker| worker.id);
    service.worker(ids.find(|one| one.to_string() == id)?)
}

fn answer(is_done: bool) -> StatusCode {
    if is_done {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

/// Other pages in the same browser can post here too: nothing is done that this page has not asked for, and nobody
/// is answered who calls this machine by another name.
async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let is_local = host.is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name == "127.0.0.1" || name == "localhost"
    });
    let is_ours = request.method() != Method::POST || headers.contains_key("x-dashboard");
    if is_local && is_ours {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        Some(argument) => argument.parse()?,
        None => 0,
    };
    // The load panics on purpose; the page tells of it.
    std::panic::set_hook(Box::new(|_| {}));
    let service = ProcessorService::builder()
        .workers(4)
        .name("shop")
        .capacity(200);
    let service = Arc::new(service.start(Shop::new)?);
    let handle = service.handle();
    thread::spawn(move || load::run(&handle));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    println!("http://{}/", listener.local_addr()?);
    let site = Router::new()
        .route("/", get(async || Html(include_str!("dashboard/page.html"))))
        .route("/live", get(live))
        .route("/{what}", post(steer))
        .route("/{what}/{id}", post(steer_worker))
        .layer(from_fn(guard))
        .with_state(service);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            served = axum::serve(listener, site) => served?,
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    // A request may hang here, so nothing is waited for.
    std::process::exit(0)
}
