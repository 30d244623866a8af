//! Two workers greet four people, two by two.
//!
//! `cargo run --example hello`
//!
//! ```text
//! greeter-0 and greeter-1 greet together
//! Ada: hello from one of two workers
//! Blaise: hello from one of two workers
//! Charles: hello from one of two workers
//! Dorothy: hello from one of two workers
//! 4 greetings, 2 rounds
//! ```

use std::error::Error;
use std::sync::{Arc, Barrier};

use parallel_workers::{Context, Processor, ProcessorService};

/// Greets whoever it is given, as soon as its colleague greets somebody too.
struct Greeter(Arc<Barrier>);

impl Processor for Greeter {
    type Request = String;
    type Output = String;

    fn process(&mut self, name: &String, _: &Context<'_>) -> String {
        self.0.wait();
        format!("{name}: hello from one of two workers")
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let together = Arc::new(Barrier::new(2));
    let builder = ProcessorService::builder().workers(2).name("greeter");
    let service = builder.start(move || Greeter(Arc::clone(&together)))?;
    let workers = service.status().workers;
    println!("{} and {} greet together", workers[0].name, workers[1].name);

    let names = ["Ada", "Blaise", "Charles", "Dorothy"];
    let promises = names.map(|name| service.queue_request(name.to_string()));
    for promise in &promises {
        println!("{}", promise.wait()?);
    }
    let greetings = service.status().settled.outputs;
    println!("{greetings} greetings, {} rounds", greetings / 2);
    Ok(())
}
