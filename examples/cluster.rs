//! One queue for many machines: start workers wherever you like, and queue from anywhere.
//!
//! ```text
//! nats-server --jetstream
//! cargo run --release --features nats --example cluster -- serve
//! cargo run --release --features nats --example cluster -- queue 100000
//! cargo run --release --features nats --example cluster -- status
//! ```
//!
//! A request is a number, its output how many steps it takes from there to 1: half of an even number, three times an odd one and
//! one more. Ctrl-C ends a worker in good order: it finishes what it has begun, and gives the rest back.

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use parallel_workers::nats::{self, Connection, Queue, Remote, ServeOptions};
use parallel_workers::{Context, Processor, ProcessorService};

/// Counts steps to one, on as many machines as there are.
#[derive(Parser)]
struct Arguments {
    /// Where the NATS servers are
    #[arg(long, default_value = "nats://127.0.0.1:4222", global = true)]
    servers: String,
    /// What the queue is called
    #[arg(long, default_value = "steps", global = true)]
    queue: String,
    /// On how many servers the queue is kept
    #[arg(long, default_value_t = 1, global = true)]
    replicas: usize,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Processes requests until Ctrl-C
    Serve {
        /// How many workers; by default one for each core
        #[arg(long)]
        workers: Option<usize>,
        /// How many milliseconds each request takes, besides
        #[arg(long, default_value_t = 0)]
        millis: u64,
    },
    /// Queues the numbers from 1 on, waits for all outputs, and prints their sum
    Queue {
        /// How many numbers
        numbers: u64,
    },
    /// Prints what the queue holds
    Status,
}

/// Counts the steps from a number to 1.
struct Steps {
    pause: Duration,
}

impl Processor for Steps {
    type Request = u64;
    type Output = u64;

    fn process(&mut self, start: &u64, _: &Context<'_>) -> u64 {
        std::thread::sleep(self.pause);
        let next = |n: &u64| {
            Some(if n.is_multiple_of(2) {
                n / 2
            } else {
                3 * n + 1
            })
        };
        let path = std::iter::successors(Some(*start), next);
        path.take_while(|n| *n > 1).count() as u64
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("cluster: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let connection = Connection::to(arguments.servers);
    let queue = Queue::named(arguments.queue).replicas(arguments.replicas);
    match arguments.command {
        Command::Serve { workers, millis } => {
            let mut options = ServeOptions::of(queue);
            if let Some(workers) = workers {
                options = options.workers(workers);
            }
            serve(&connection, options, Duration::from_millis(millis))
        }
        Command::Queue { numbers } => count(connection, queue, numbers),
        Command::Status => {
            println!("{}", nats::status(&connection, &queue)?);
            Ok(())
        }
    }
}

fn serve(
    connection: &Connection,
    options: ServeOptions,
    pause: Duration,
) -> Result<(), Box<dyn Error>> {
    let (sender, interrupted) = mpsc::channel();
    ctrlc::set_handler(move || _ = sender.send(()))?;
    let serving = nats::serve(connection, options, move || Steps { pause })?;
    println!("serving; Ctrl-C ends it");
    interrupted.recv()?;
    serving.stop();
    println!("{}", serving.service().status());
    Ok(())
}

fn count(connection: Connection, queue: Queue, numbers: u64) -> Result<(), Box<dyn Error>> {
    let service = ProcessorService::builder()
        .workers(1)
        .try_start(move || Remote::<Steps>::to(connection.clone(), queue.clone()).connect())?;
    let start = Instant::now();
    let mut steps = 0;
    for promise in service.queue_requests(1..=numbers).select() {
        steps += promise.wait()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let speed = numbers as f64 / seconds;
    println!("{numbers} numbers take {steps} steps to 1; {seconds:.1} s, {speed:.0} a second");
    Ok(())
}
