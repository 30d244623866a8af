//! Workers that speak the protocol by hand, and break it. They triple numbers, but the unlucky one.

use std::fs::OpenOptions;
use std::io::{BufRead, Read, Write, stdin, stdout};
use std::process::Command;

use parallel_workers::ProcessorService;
use parallel_workers::process::{Child, ChildBuilder, Foreign};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

/// With this one, they do what they are for.
pub(crate) const UNLUCKY: u64 = 13;

pub(crate) type Triples = Foreign<u64, u64>;
pub(crate) type Lengths = Foreign<String, u64>;

/// A worker that does `what` when it is asked for the unlucky number.
pub(crate) fn command(what: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--raw", what]);
    command
}

pub(crate) fn start(
    what: &'static str,
    options: impl Fn(ChildBuilder<Triples>) -> ChildBuilder<Triples> + Send + Sync + 'static,
) -> ProcessorService<Child<Triples>> {
    let child = move || options(Child::command(command(what)).json()).start();
    ProcessorService::builder()
        .workers(1)
        .try_start(child)
        .unwrap()
}

fn say(message: &Value) {
    let mut line = message.to_string();
    line.push('\n');
    stdout().write_all(line.as_bytes()).unwrap();
    stdout().flush().unwrap();
}

fn say_hello(hello: &Value) {
    say(&json!({ "hello": hello }));
}

fn hear() -> Value {
    let mut line = String::new();
    if stdin().lock().read_line(&mut line).unwrap() == 0 {
        std::process::exit(0);
    }
    serde_json::from_str(&line).unwrap()
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Notes that it has been here; gives how often, this time included.
fn count(file: &str) -> u64 {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .unwrap();
    file.write_all(b"x").unwrap();
    file.metadata().unwrap().len()
}

/// Plays the part that it was started for, if that is one of these.
pub(crate) fn play() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, raw, what, rest @ ..] = &arguments[..] else {
        return;
    };
    if raw == "--raw" {
        let words: Vec<&str> = what
            .split(' ')
            .chain(rest.iter().map(String::as_str))
            .collect();
        play_raw(&words);
    }
}

fn play_raw(words: &[&str]) -> ! {
    match words {
        ["version"] => say_hello(&json!({ "version": 2 })),
        ["nothing"] => say_hello(&json!({ "version": 1, "concurrency": 0 })),
        ["together"] => together(),
        ["ahead"] => {
            hear();
            say_hello(&json!({ "version": 1, "window": 100 }));
            triple(&["deaf"]);
        }
        ["unread", file] => {
            // Before anything else comes.
            hear();
            say_hello(&json!({ "version": 1 }));
            let stdin = stdin();
            poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None).unwrap();
            if count(file) == 1 {
                std::process::exit(3);
            }
            triple(&[]);
        }
        ["halfway", file] => {
            // Before anything else comes.
            hear();
            say_hello(&json!({ "version": 1 }));
            stdin().read_exact(&mut vec![0; 100_000]).unwrap();
            count(file);
            std::process::exit(4);
        }
        words => {
            // Before anything else comes.
            hear();
            say_hello(&json!({ "version": 1 }));
            triple(words);
        }
    }
    wait_for_ever();
}

fn triple(words: &[&str]) -> ! {
    loop {
        let message = hear();
        let (id, number) = (&message["id"], message["request"].as_u64().unwrap());
        let answer = json!({ "id": id, "output": number * 3 });
        if number != UNLUCKY {
            say(&answer);
            continue;
        }
        match words {
            ["cut", bytes] => {
                let line = format!("{answer}\n");
                let part = &line.as_bytes()[..bytes.parse().unwrap()];
                stdout().write_all(part).unwrap();
                stdout().flush().unwrap();
                std::process::exit(5);
            }
            ["deaf"] => wait_for_ever(),
            ["junk"] => stdout()
                .write_all(b"Traceback (most recent call last):\n")
                .unwrap(),
            ["bytes"] => stdout().write_all(b"\xff\xfe\n").unwrap(),
            ["empty"] => say(&json!({})),
            ["hello"] => say_hello(&json!({ "version": 1 })),
            ["other"] => say(&json!({ "id": 1_000, "output": 39 })),
            ["twice"] => {
                say(&answer);
                say(&answer);
            }
            ["recalled"] => say(&json!({ "recalled": [id] })),
            ["long"] => say(&json!({ "id": id, "output": "x".repeat(2_000) })),
            ["closed"] => {
                rustix::stdio::dup2_stdout(std::fs::File::open("/dev/null").unwrap()).unwrap()
            }
            _ => say(&answer),
        }
        stdout().flush().unwrap();
    }
}

/// Takes three, and answers the last one first.
fn together() -> ! {
    say_hello(&json!({ "version": 1, "concurrency": 3 }));
    hear();
    loop {
        let three: Vec<Value> = (0..3).map(|_| hear()).collect();
        for message in three.iter().rev() {
            let number = message["request"].as_u64().unwrap();
            say(&json!({ "id": message["id"], "output": number * 3 }));
        }
    }
}
