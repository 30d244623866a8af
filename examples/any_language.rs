//! Workers in other languages: named targets with arguments, in Python and in Node.
//!
//! `cargo run --example any_language --features process,serde`
//!
//! ```text
//! python3:
//!   add: 3
//!   greet: "Hello Ada"
//!   word_count: {"be":2,"not":1,"or":1,"to":2}
//!   sleep: 0.1
//!   fail: processing the request panicked: on purpose, at worker.py:36
//!   fly: processing the request panicked: no target named "fly", at worker.py:47
//! node:
//!   add: 3
//!   greet: "Hello Ada"
//!   word_count: {"be":2,"not":1,"or":1,"to":2}
//!   sleep: 0.1
//!   fail: processing the request panicked: on purpose, at worker.js:26
//!   fly: processing the request panicked: no target named "fly", at worker.js:39
//! ```
//!
//! The workers are `examples/any_language/worker.py` and `worker.js`, which need `python3` and `node`, and nothing else. What
//! they say and are told is in `src/process/PROTOCOL.md`.
//!
//! With `--nats URL`, which takes the feature `nats`, workers of a cluster are asked the same: `examples/any_language/cluster.py`,
//! on whatever machines it was started. It needs the package `nats-py`, and follows `src/nats/PROTOCOL.md`.
//!
//! `cargo run --example any_language --features nats,process,serde -- --nats nats://127.0.0.1:4222`

use std::error::Error;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use parallel_workers::process::{Child, Foreign};
use parallel_workers::{Processor, ProcessorService};
use serde::Serialize;
use serde_json::{Value, json};

/// Asks workers in other languages.
#[derive(Parser)]
struct Arguments {
    /// Ask those of a cluster, through this server; needs the feature `nats`
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
}

/// What is asked for: a function of the worker's, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Job {
    target: &'static str,
    arguments: Value,
}

/// Whatever a function gives. One that raises an error settles its promise with `Failure::Panicked`.
type Jobs = Foreign<Job, Value>;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(servers) = Arguments::parse().nats {
        return ask_cluster(servers);
    }
    for (program, worker) in [("python3", "worker.py"), ("node", "worker.js")] {
        println!("{program}:");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/any_language");
        let child = move || {
            let mut command = Command::new(program);
            command.arg(folder.join(worker));
            Child::<Jobs>::command(command).json().start()
        };
        ask(&ProcessorService::builder().workers(2).try_start(child)?);
    }
    Ok(())
}

#[cfg(feature = "nats")]
fn ask_cluster(servers: String) -> Result<(), Box<dyn Error>> {
    use parallel_workers::nats::{Connection, Queue, Remote};

    println!("{servers}:");
    let remote = move || {
        let queue = Queue::named("any_language").json();
        Remote::<Jobs>::to(Connection::to(servers.clone()), queue).connect()
    };
    ask(&ProcessorService::builder().workers(1).try_start(remote)?);
    Ok(())
}

#[cfg(not(feature = "nats"))]
fn ask_cluster(_: String) -> Result<(), Box<dyn Error>> {
    Err("--nats needs the feature nats".into())
}

fn ask<P: Processor<Request = Job, Output = Value>>(service: &ProcessorService<P>) {
    let jobs = [
        ("add", json!({ "a": 1, "b": 2 })),
        ("greet", json!({ "name": "Ada" })),
        ("word_count", json!({ "text": "to be or not to be" })),
        ("sleep", json!({ "seconds": 0.1 })),
        ("fail", json!({ "message": "on purpose" })),
        ("fly", json!({})),
    ];
    let jobs = jobs.map(|(target, arguments)| Job { target, arguments });
    for promise in service.map(jobs) {
        let target = promise.request().target;
        match promise.wait() {
            Ok(output) => println!("  {target}: {output}"),
            Err(failure) => println!("  {target}: {failure}"),
        }
    }
}
