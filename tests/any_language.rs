//! The workers in other languages, with the real interpreters.

#![cfg(feature = "process")]

#[cfg(feature = "nats")]
#[path = "support/nats.rs"]
mod nats;
mod support;

use std::io::{BufRead, BufReader};
use std::process::Command;

use parallel_workers::process::{Child, Foreign};
use parallel_workers::{Abort, Failure, Loss, ProcessorService};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Job {
    target: String,
    arguments: Value,
}

type Jobs = Foreign<Job, Value>;
type Service = ProcessorService<Child<Jobs>>;

/// The interpreter, and the worker.
const WORKERS: [(&str, &str); 2] = [("python3", "worker.py"), ("node", "worker.js")];

fn start((program, worker): (&'static str, &str), workers: usize) -> Service {
    let path = format!(
        "{}/examples/any_language/{worker}",
        env!("CARGO_MANIFEST_DIR")
    );
    let child = move || {
        let mut command = Command::new(program);
        command.arg(&path);
        Child::<Jobs>::command(command).json().start()
    };
    let builder = ProcessorService::builder().workers(workers);
    builder
        .try_start(child)
        .unwrap_or_else(|error| panic!("is {program} installed? {error:?}"))
}

fn job(target: &str, arguments: Value) -> Job {
    let target = target.to_owned();
    Job { target, arguments }
}

fn ask(service: &Service, target: &str, arguments: Value) -> Result<Value, Failure> {
    service
        .queue_request(job(target, arguments))
        .wait()
        .cloned()
}

#[test]
fn a_worker_does_what_is_named_and_says_what_it_does_not_know() {
    support::limit_time();
    for worker in WORKERS {
        let service = start(worker, 2);
        let sum = ask(&service, "add", json!({ "a": 1.5, "b": 2 }));
        assert_eq!(sum, Ok(json!(3.5)), "{worker:?}");
        let text = "line\nand \u{2028} and \"quote\" and \u{1f980}";
        let greeting = ask(&service, "greet", json!({ "name": text }));
        assert_eq!(greeting, Ok(json!(format!("Hello {text}"))), "{worker:?}");
        let counts = ask(&service, "word_count", json!({ "text": "a b a" }));
        assert_eq!(counts, Ok(json!({ "a": 2, "b": 1 })), "{worker:?}");
        let Err(Failure::Panicked(unknown)) = ask(&service, "fly", json!({})) else {
            panic!("{worker:?} can fly");
        };
        assert_eq!(unknown.message(), "no target named \"fly\"", "{worker:?}");
        let Err(Failure::Panicked(raised)) = ask(&service, "fail", json!({ "message": "no" }))
        else {
            panic!("{worker:?} did not fail");
        };
        assert_eq!(raised.message(), "no", "{worker:?}");
        assert!(raised.location().unwrap().starts_with(worker.1), "{raised}");
        assert_eq!(service.status().respawns(), 0);
    }
}

#[test]
fn equal_requests_are_processed_once_and_many_at_a_time_where_the_worker_can() {
    support::limit_time();
    for worker in WORKERS {
        let service = start(worker, 2);
        // The same request again and again, while it is in flight.
        let slow = job("sleep", json!({ "seconds": 0.3 }));
        let equal = service.queue_requests((0..100).map(|_| slow.clone()));
        equal.wait_for_all_with(|promise| assert_eq!(promise.wait(), Ok(&json!(0.3))));
        assert_eq!(service.status().settled.outputs, 1);
        let many = (0..2_000).map(|n| job("add", json!({ "a": n, "b": n })));
        service.queue_requests(many).wait_for_all_with(|promise| {
            let twice = promise.request().arguments["a"].as_u64().unwrap() * 2;
            assert_eq!(promise.wait(), Ok(&json!(twice)));
        });
    }
}

#[test]
fn a_worker_in_another_language_is_killed_and_replaced() {
    support::limit_time();
    for worker in WORKERS {
        let service = start(worker, 1);
        let endless = service.queue_request(job("sleep", json!({ "seconds": 1_000 })));
        // One that it has not read goes to the next.
        while !endless.is_settled() {
            while endless.worker().is_none() {
                std::thread::yield_now();
            }
            let worker = service.worker(service.workers()[0].id);
            worker.unwrap().kill().unwrap();
        }
        assert_eq!(endless.wait(), Err(Failure::WorkerLost(Loss::Killed)));
        assert_eq!(
            ask(&service, "add", json!({ "a": 1, "b": 2 })),
            Ok(json!(3))
        );
    }
}

#[test]
fn an_asynchronous_worker_hears_that_nobody_wants_a_request() {
    support::limit_time();
    let service = start(WORKERS[1], 1);
    let unwanted = service.queue_request(job("sleep", json!({ "seconds": 1_000 })));
    while unwanted.worker().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(unwanted.abort(), Abort::Running);
    let Err(Failure::Panicked(panic)) = unwanted.wait() else {
        panic!("{unwanted:?}");
    };
    assert_eq!(panic.message(), "cancelled");
}

/// Plays a program whose worker is busy for ever, where it is asked to.
#[test]
fn workers_end_when_their_service_is_killed() {
    support::limit_time();
    for (index, worker) in WORKERS.into_iter().enumerate() {
        if std::env::var("PLAY_THE_SERVICE").is_ok_and(|wanted| wanted == index.to_string()) {
            let service = start(worker, 1);
            let _busy = service.queue_request(job("sleep", json!({ "seconds": 1_000 })));
            eprintln!("{}", service.workers()[0].process.unwrap().id);
            loop {
                std::thread::park();
            }
        }
    }
    if std::env::var("PLAY_THE_SERVICE").is_ok() {
        return;
    }
    for index in 0..WORKERS.len() {
        let mut service = Command::new(std::env::current_exe().unwrap())
            .args(["workers_end_when_their_service_is_killed", "--nocapture"])
            .env("PLAY_THE_SERVICE", index.to_string())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(service.stderr.take().unwrap()).lines();
        let id: i32 = lines.find_map(|line| line.unwrap().parse().ok()).unwrap();
        service.kill().unwrap();
        service.wait().unwrap();
        if let Some(process) = Pid::from_raw(id)
            && let Ok(process) = pidfd_open(process, PidfdFlags::empty())
        {
            poll(&mut [PollFd::new(&process, PollFlags::IN)], None).unwrap();
        }
    }
}

/// The same jobs as those of the child processes, with the same outputs.
#[test]
#[cfg(all(feature = "nats", feature = "serde"))]
fn the_example_asks_a_worker_in_python_through_a_server() {
    support::limit_time();
    let server = nats::Setup::new().limits(256 << 20, 4 << 30).start();
    let program = "examples/any_language/cluster.py";
    let python = nats::python(program, &server.url(), "any_language");
    let _python = nats::Process::start(python);
    let output = Command::new(support::example("any_language"))
        .args(["--nats", &server.url()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let (first, rest) = printed.split_once('\n').unwrap();
    assert_eq!(first, format!("{}:", server.url()));
    let source = include_str!("../examples/any_language.rs");
    let block: String = source
        .lines()
        .skip_while(|line| *line != "//! python3:")
        .skip(1)
        .map_while(|line| {
            line.strip_prefix("//! ")
                .filter(|line| line.starts_with(' '))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(rest, block);
}
