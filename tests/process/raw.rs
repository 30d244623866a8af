//! Workers that speak the protocol by hand, and break it. They triple numbers, but the unlucky one.

use std::fs::OpenOptions;
use std::io::{BufRead, Read, Write, stdin, stdout};
use std::process::Command;

use parallel_workers::ProcessorService;
use parallel_workers::process::{Child, ChildBuilder, Foreign};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use crate::door::knock;
use crate::worker::How;

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

/// The same, that ends so when it has done so.
pub(crate) fn command_that_ends(what: &[&str], how: How) -> Command {
    let mut command = command(what[0]);
    command.args(&what[1..]).arg(how.word());
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
        let rest = rest.iter().map(String::as_str);
        let words: Vec<&str> = [what.as_str()].into_iter().chain(rest).collect();
        play_raw(&words);
    }
}

/// Says hello, before anything else comes.
fn greet(hello: &Value) {
    hear();
    say_hello(hello);
}

fn play_raw(words: &[&str]) -> ! {
    let usual = json!({ "version": 1 });
    match words {
        ["version"] => say_hello(&json!({ "version": 2 })),
        ["nothing"] => say_hello(&json!({ "version": 1, "concurrency": 0 })),
        ["together"] => together(),
        ["ahead"] => triple_ahead(&["deaf"]),
        ["ahead", words @ ..] => triple_ahead(words),
        ["cut postcard", bytes, how] => cut_postcard(bytes.parse().unwrap(), How::from_word(how)),
        ["idle", how, file] => {
            greet(&usual);
            end_once(how, file);
            triple(&[]);
        }
        ["unread", how, file] => {
            greet(&usual);
            let stdin = stdin();
            poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None).unwrap();
            end_once(how, file);
            triple(&[]);
        }
        ["halfway", file] => {
            greet(&usual);
            stdin().read_exact(&mut vec![0; 100_000]).unwrap();
            count(file);
            std::process::exit(4);
        }
        words => {
            greet(&usual);
            triple(words);
        }
    }
    wait_for_ever();
}

/// Ends, if nobody has come here before.
fn end_once(how: &str, file: &str) {
    if count(file) == 1 {
        How::from_word(how).end();
    }
}

/// Asks for more than it processes at a time, and gives nothing back while it is busy.
fn triple_ahead(words: &[&str]) -> ! {
    greet(&json!({ "version": 1, "window": 100 }));
    triple(words)
}

fn triple(words: &[&str]) -> ! {
    loop {
        let message = hear();
        if message["recall"] == true {
            // All that came before it has been answered.
            say(&json!({ "recalled": [] }));
            continue;
        }
        let number = message["request"].as_u64().unwrap();
        let answer = json!({ "id": message["id"], "output": number * 3 });
        if number == UNLUCKY {
            answer_unlucky(words, &answer);
        } else {
            say(&answer);
        }
    }
}

/// Does what it is for, in the place of this answer.
fn answer_unlucky(words: &[&str], answer: &Value) {
    match words {
        ["cut", bytes, how] => {
            let line = format!("{answer}\n");
            let part = &line.as_bytes()[..bytes.parse().unwrap()];
            stdout().write_all(part).unwrap();
            stdout().flush().unwrap();
            How::from_word(how).end();
        }
        ["deaf"] => wait_for_ever(),
        ["door", port] => {
            knock(port.parse().unwrap(), UNLUCKY);
            say(answer);
        }
        ["junk"] => stdout()
            .write_all(b"Traceback (most recent call last):\n")
            .unwrap(),
        ["bytes"] => stdout().write_all(b"\xff\xfe\n").unwrap(),
        ["empty"] => say(&json!({})),
        ["hello"] => say_hello(&json!({ "version": 1 })),
        ["other"] => say(&json!({ "id": 1_000, "output": 39 })),
        ["twice"] => {
            say(answer);
            say(answer);
        }
        ["recalled"] => say(&json!({ "recalled": [answer["id"]] })),
        ["long"] => say(&json!({ "id": answer["id"], "output": "x".repeat(2_000) })),
        ["closed"] => {
            rustix::stdio::dup2_stdout(std::fs::File::open("/dev/null").unwrap()).unwrap();
        }
        _ => say(answer),
    }
    stdout().flush().unwrap();
}

/// The same in postcard, by hand: what is small is a byte each.
fn cut_postcard(bytes: usize, how: How) -> ! {
    let read = |length: usize| {
        let mut bytes = vec![0; length];
        if stdin().read_exact(&mut bytes).is_err() {
            std::process::exit(0);
        }
        bytes
    };
    let hear = || {
        let length = read(4).try_into().unwrap();
        read(u32::from_le_bytes(length) as usize)
    };
    let say = |message: &[u8], bytes: usize| {
        let length = u32::try_from(message.len()).unwrap();
        let frame = [&length.to_le_bytes(), message].concat();
        stdout()
            .write_all(&frame[..bytes.min(frame.len())])
            .unwrap();
        stdout().flush().unwrap();
    };
    hear();
    // A hello: version, concurrency, window, limit.
    say(&[0, 1, 1, 1, 100], usize::MAX);
    loop {
        let [1, id, _attempt, number] = hear()[..] else {
            panic!("that is no request");
        };
        let answer = [1, id, number * 3];
        if u64::from(number) == UNLUCKY {
            say(&answer, bytes);
            how.end();
        }
        say(&answer, usize::MAX);
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
