//! A request that nobody wants any more is not processed; one that runs is told so.
//!
//! `cargo run --example abort`
//!
//! ```text
//! queued and not begun: Aborted, the request was aborted before it was processed
//! wanted by somebody else: StillWanted, who gets Ok("lunch")
//! running: Running, and it gave up early: Ok("half of dinner")
//! processed 2 of 3 requests
//! ```

use std::error::Error;
use std::thread::yield_now;

use parallel_workers::{Context, ProcessorService, State, processor_fn};

fn cook(meal: &String, context: &Context<'_>) -> String {
    if meal != "dinner" {
        return meal.clone();
    }
    // Dinner takes as long as anybody wants it.
    while !context.is_cancelled() {
        yield_now();
    }
    format!("half of {meal}")
}

fn main() -> Result<(), Box<dyn Error>> {
    let builder = ProcessorService::builder().workers(1).paused(true);
    let kitchen = builder.start(|| processor_fn(cook))?;
    let order = |meal: &str| kitchen.queue_request(meal.to_string());

    let breakfast = order("breakfast");
    let (abort, outcome) = (breakfast.abort(), breakfast.wait());
    println!("queued and not begun: {abort:?}, {}", outcome.unwrap_err());

    let (mine, yours) = (order("lunch"), order("lunch"));
    let abort = mine.abort();
    kitchen.resume();
    println!(
        "wanted by somebody else: {abort:?}, who gets {:?}",
        yours.wait()
    );

    let dinner = order("dinner");
    while dinner.state() != State::Running {
        yield_now();
    }
    let (abort, outcome) = (dinner.abort(), dinner.wait());
    println!("running: {abort:?}, and it gave up early: {outcome:?}");

    let outputs = kitchen.status().settled.outputs;
    println!("processed {outputs} of 3 requests");
    Ok(())
}
