//! An HTTP service that renders something expensive for each path, once however many ask for it.
//!
//! `cargo run --release --example axum --features serde`, then open the address that it prints, or
//! `curl http://127.0.0.1:3000/render/anything`. `-- 8080` chooses the port. Ctrl-C ends it, once what was begun is done.
//!
//! Handlers are async, rendering is not: each handler queues its path and awaits the promise, and two workers render. Equal
//! paths that are in flight are rendered once. A client that goes away has its ticket withdrawn (`abort_on_drop`), and
//! what nobody waits for any more is not rendered. `/status` shows the figures as JSON.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use parallel_workers::{Context, Failure, Processor, ProcessorService, ServiceStatus};

/// What is rendered for a path. Shared by all who asked for it.
type Page = Arc<str>;

/// Renders the Mandelbrot set, with the path above it.
struct Renderer;

impl Processor for Renderer {
    type Request = String;
    type Output = Page;

    fn process(&mut self, path: &String, context: &Context<'_>) -> Page {
        let mut page = format!("{path}, rendered by worker {}\n", context.worker());
        for row in -12..=12 {
            // Nobody waits for the rest.
            if context.is_cancelled() {
                break;
            }
            let y = f64::from(row) / 10.0;
            let shades = (-36..36).map(|column| {
                let steps = escape((f64::from(column) / 24.0 - 0.75, y));
                b" .:-=+*#%@"[steps.min(9)] as char
            });
            page.extend(shades);
            page.push('\n');
        }
        page.into()
    }
}

/// What makes it expensive.
const DEPTH: usize = 100_000;

/// After how many steps a point leaves the circle of radius 2.
fn escape((x, y): (f64, f64)) -> usize {
    let (mut a, mut b) = (0.0_f64, 0.0_f64);
    (0..DEPTH)
        .find(|_| {
            (a, b) = (a * a - b * b + x, 2.0 * a * b + y);
            a * a + b * b > 4.0
        })
        .unwrap_or(DEPTH)
}

/// The routes of a service that renders pages, whatever renders them.
pub(crate) fn routes<P>(service: Arc<ProcessorService<P>>) -> Router
where
    P: Processor<Request = String, Output = Page>,
{
    Router::new()
        .route("/render/{*path}", get(render::<P>))
        .route("/status", get(status::<P>))
        .with_state(service)
}

async fn render<P>(
    State(service): State<Arc<ProcessorService<P>>>,
    Path(path): Path<String>,
) -> Result<String, (StatusCode, String)>
where
    P: Processor<Request = String, Output = Page>,
{
    // Waits for room where the queue is full. The server drops this future when its client has gone.
    let promise = service.queue_request_async(path).await.abort_on_drop();
    match promise.await {
        Ok(page) => Ok(page.to_string()),
        Err(failure) => Err((status_of(&failure), failure.to_string())),
    }
}

fn status_of(failure: &Failure) -> StatusCode {
    match failure {
        Failure::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn status<P>(State(service): State<Arc<ProcessorService<P>>>) -> Json<ServiceStatus>
where
    P: Processor<Request = String, Output = Page>,
{
    Json(service.status())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(3000), |port| port.parse())?;
    let service = ProcessorService::builder()
        .name("renderer")
        .workers(2)
        .capacity(10_000)
        .start(|| Renderer)?;
    let service = Arc::new(service);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("http://{}/render/anything", listener.local_addr()?);
    let ended = async { _ = tokio::signal::ctrl_c().await };
    axum::serve(listener, routes(Arc::clone(&service)))
        .with_graceful_shutdown(ended)
        .await?;
    service.stop_async().await;
    println!("{}", service.status());
    Ok(())
}
