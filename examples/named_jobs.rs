//! Jobs by name: an enum is the request, one processor dispatches on it, and a name that nobody knows is an error.
//!
//! `cargo run --example named_jobs`
//!
//! ```text
//! {"target": "add", "arguments": {"a": 2, "b": 3}} -> 5
//! {"target": "divide", "arguments": {"a": 7, "b": 2}} -> 3
//! {"target": "divide", "arguments": {"a": 7, "b": 0}} -> error: 7 cannot be divided by 0
//! {"target": "shout", "arguments": {"text": "hello"}} -> HELLO
//! {"target": "whisper", "arguments": {}} -> error: unknown variant `whisper`, expected one of `add`, `divide`, `shout` at line 1 column 20
//! {"target": "add", "arguments": {"a": 2}} -> error: missing field `b` at line 1 column 39
//! processed 4 jobs, 1 of which failed
//! ```

use std::error::Error;

use parallel_workers::{Context, Processor, ProcessorService};
use serde::Deserialize;

/// What can be asked for, with its arguments.
#[derive(Deserialize, Hash, PartialEq, Eq)]
#[serde(tag = "target", content = "arguments", rename_all = "snake_case")]
enum Job {
    Add { a: i64, b: i64 },
    Divide { a: i64, b: i64 },
    Shout { text: String },
}

struct Dispatcher;

impl Processor for Dispatcher {
    type Request = Job;
    type Output = Result<String, String>;

    fn process(&mut self, job: &Job, _: &Context<'_>) -> Self::Output {
        match job {
            Job::Add { a, b } => Ok((a + b).to_string()),
            Job::Divide { a, b: 0 } => Err(format!("{a} cannot be divided by 0")),
            Job::Divide { a, b } => Ok((a / b).to_string()),
            Job::Shout { text } => Ok(text.to_uppercase()),
        }
    }

    fn is_failure(output: &Self::Output) -> bool {
        output.is_err()
    }
}

const ASKED: [&str; 6] = [
    r#"{"target": "add", "arguments": {"a": 2, "b": 3}}"#,
    r#"{"target": "divide", "arguments": {"a": 7, "b": 2}}"#,
    r#"{"target": "divide", "arguments": {"a": 7, "b": 0}}"#,
    r#"{"target": "shout", "arguments": {"text": "hello"}}"#,
    r#"{"target": "whisper", "arguments": {}}"#,
    r#"{"target": "add", "arguments": {"a": 2}}"#,
];

fn main() -> Result<(), Box<dyn Error>> {
    let service = ProcessorService::start(2, || Dispatcher)?;
    for line in ASKED {
        let answer = match serde_json::from_str(line) {
            Ok(job) => service.queue_request(job).wait()?.clone(),
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(answer) => println!("{line} -> {answer}"),
            Err(error) => println!("{line} -> error: {error}"),
        }
    }
    let settled = service.status().settled;
    println!(
        "processed {} jobs, {} of which failed",
        settled.outputs, settled.failed
    );
    Ok(())
}
