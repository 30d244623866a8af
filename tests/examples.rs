//! The small examples print what their head comments say.

mod support;

use std::process::Command;

/// Runs an example that `cargo test` has built, and gives what it printed.
fn run(name: &str, arguments: &[&str]) -> String {
    support::limit_time();
    let example = support::example(name);
    let output = Command::new(&example).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build it with `cargo build --examples`",
            example.display()
        )
    });
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The expected output in an example's head comment.
fn expected(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let block = lines.skip_while(|line| line.trim() != "```text").skip(1);
    block
        .take_while(|line| line.trim() != "```")
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect()
}

macro_rules! prints_what_it_says {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            let source = include_str!(concat!("../examples/", stringify!($name), ".rs"));
            assert_eq!(run(stringify!($name), &[]), expected(source));
            assert!(source.lines().count() < 60);
        }
    )*};
}

prints_what_it_says!(hello, select, callbacks, abort, shared, map);

#[test]
fn million_settles_every_request_it_queued() {
    let printed = run("million", &["20000"]);
    let expected = "queued 20000, called back 20000: 20000 outputs (0 failed), ";
    assert!(printed.starts_with(expected), "{printed}");
    assert!(include_str!("../examples/million.rs").lines().count() < 60);
}

#[test]
#[cfg(unix)]
fn million_settles_everything_and_ends_when_it_is_interrupted() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    support::limit_time();
    let child = Command::new(support::example("million"))
        .arg("1000000000")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It cannot be done with a thousand million; interrupt it once it works, which its processor time tells.
    let stat = format!("/proc/{}/stat", child.id());
    let ticks = || -> Option<u64> {
        std::fs::read_to_string(&stat)
            .ok()?
            .split_whitespace()
            .nth(13)?
            .parse()
            .ok()
    };
    while ticks().is_some_and(|ticks| ticks < 30) {
        std::thread::yield_now();
    }
    let interrupted = Instant::now();
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let (took, printed) = (
        interrupted.elapsed(),
        String::from_utf8(output.stdout).unwrap(),
    );
    assert!(output.status.success(), "{printed}");
    let figures: Vec<u64> = printed
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|figure| figure.parse().ok())
        .collect();
    let [
        queued,
        called_back,
        outputs,
        _failed,
        _panicked,
        aborted,
        ..,
    ] = figures[..]
    else {
        panic!("{printed}")
    };
    assert_eq!((called_back, outputs + aborted), (queued, queued));
    // Within a second, on a machine that may be busy with other tests.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
