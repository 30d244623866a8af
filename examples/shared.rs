//! Equal requests in flight are processed once, and all callers get the same output.
//!
//! `cargo run --example shared`
//!
//! ```text
//! five callers ask for /index.html
//! one run: true
//! rendered 1 time, shared by 4 more
//! asked again when it was done: rendered 2 times
//! while it is held: rendered 1 time for 1000 callers
//! ```

use std::error::Error;

use parallel_workers::{Context, ProcessorService, Share, processor_fn};

fn render(path: &String, _: &Context<'_>) -> String {
    format!("<h1>{path}</h1>")
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = || "/index.html".to_string();
    let builder = ProcessorService::builder().workers(2).paused(true);
    let service = builder.start(|| processor_fn(render))?;

    println!("five callers ask for {}", path());
    let promises = [(); 5].map(|()| service.queue_request(path()));
    service.resume();
    service.wait_idle();
    println!(
        "one run: {}",
        promises.iter().all(|one| *one == promises[0])
    );
    let (runs, more) = (service.status().settled.outputs, service.status().coalesced);
    println!("rendered {runs} time, shared by {more} more");

    // By default a request is shared until it settles; the next one is a new run.
    service.queue_request(path()).wait()?;
    service.wait_idle();
    let runs = service.status().settled.outputs;
    println!("asked again when it was done: rendered {runs} times");

    // Or for as long as anybody holds a promise of it.
    let builder = ProcessorService::builder().share(Share::WhileHeld);
    let service = builder.start(|| processor_fn(render))?;
    let held = service.queue_request(path());
    assert!((1..1_000).all(|_| service.queue_request(path()) == held));
    service.wait_idle();
    let runs = service.status().settled.outputs;
    println!("while it is held: rendered {runs} time for 1000 callers");
    Ok(())
}
