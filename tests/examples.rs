//! The small examples print what their head comments say.

#[cfg(feature = "nats")]
#[path = "support/nats.rs"]
mod nats;
mod support;
#[path = "support/web.rs"]
mod web;

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
    ($lines:literal lines: $($name:ident),*) => {$(
        #[test]
        fn $name() {
            let source = include_str!(concat!("../examples/", stringify!($name), ".rs"));
            assert_eq!(run(stringify!($name), &[]), expected(source));
            assert!(source.lines().count() < $lines);
        }
    )*};
}

prints_what_it_says!(60 lines: hello, select, callbacks, abort, shared, map);
prints_what_it_says!(80 lines: resource, named_jobs);

#[cfg(feature = "process")]
prints_what_it_says!(60 lines: children);
#[cfg(all(feature = "process", feature = "serde"))]
prints_what_it_says!(120 lines: any_language);

#[cfg(feature = "async")]
#[test]
fn ports_finds_the_three_that_are_open() {
    let printed = run("ports", &[]);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        (lines.len(), lines[3]),
        (4, "3 of 1000 ports answer"),
        "{printed}"
    );
}

#[test]
fn recursive_builds_each_target_once_and_reports_the_circle() {
    let printed = run("recursive", &[]);
    let lines = |start: &str| {
        printed
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(lines("built "), 5, "{printed}");
    assert_eq!(lines("app: 6 built into it"), 1, "{printed}");
    assert_eq!(printed.matches("would wait for").count(), 2, "{printed}");
    assert_eq!(lines("1 workers, "), 1, "{printed}");
}

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

#[test]
#[cfg(all(feature = "metrics", feature = "tracing"))]
fn observed_logs_a_line_for_each_run_and_serves_a_page() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    support::limit_time();
    let mut child = Command::new(support::example("observed"))
        .arg("40")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("page: http://").unwrap();
    let address = address.strip_suffix("/metrics").unwrap();
    // 40 orders are 20 runs; the log has a line for each.
    let runs: Vec<String> = lines
        .map(Result::unwrap)
        .filter(|line| line.contains(":run{request="))
        .take(20)
        .collect();
    let has = |part: &str| runs.iter().filter(|line| line.contains(part)).count();
    assert_eq!(
        (has("client{name=\"A\"}"), has("waited="), has("ran=")),
        (7, 20, 20)
    );
    assert_eq!(
        (has("outcome=\"output\""), has("outcome=\"failed\"")),
        (17, 3)
    );
    let page = web::ask(address, "GET", "/metrics", "", "").1;
    for line in [
        "parallel_workers_settled_total{service=\"shop\",outcome=\"output\"} 17",
        "parallel_workers_coalesced_total{service=\"shop\"} 20",
        "parallel_workers_run_seconds_count{service=\"shop\"} 20",
    ] {
        assert!(page.contains(line), "no {line} in\n{page}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[cfg(feature = "nats")]
fn cluster_counts_on_while_a_worker_is_interrupted_and_ends_in_good_order() {
    use nats::{Process, Setup, wait_until};

    support::limit_time();
    let server = Setup::new().limits(256 << 20, 4 << 30).start();
    let (url, said) = (server.url(), server.folder().join("workers"));
    let serve = || {
        let mut command = Process::command(&[support::example("cluster").as_os_str()]);
        command.args(["--servers", &url, "serve", "--workers=1", "--millis=1"]);
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&said);
        command.stdout(file.unwrap());
        Process::start(command)
    };
    let status = || run("cluster", &["--servers", &url, "status"]);
    let mut workers = [serve(), serve()];
    wait_until("two workers", || {
        let said = std::fs::read_to_string(&said).unwrap_or_default();
        let ready = said.matches("serving; Ctrl-C ends it\n").count();
        if ready == 2 { Ok(()) } else { Err(said) }
    });
    let counting = std::thread::spawn({
        let url = url.clone();
        move || run("cluster", &["--servers", &url, "queue", "1000"])
    });
    wait_until("requests with workers", || match status() {
        idle if idle.contains(", 0 of them with workers;") => Err(idle),
        _ => Ok(()),
    });
    workers[0].signal("INT");
    assert!(workers[0].wait().success());
    let counted = counting.join().unwrap();
    assert!(counted.starts_with("1000 numbers take 59542 steps to 1; "));
    wait_until("nothing to be left", || {
        let now = status();
        let is_done = now.starts_with("0 requests, 0 of them with workers; ")
            && now.ends_with("; 1000 outputs kept; 0 requests set aside\n");
        if is_done { Ok(()) } else { Err(now) }
    });
    workers[1].signal("INT");
    assert!(workers[1].wait().success());
    let said = std::fs::read_to_string(&said).unwrap();
    let ended = "service \"steps\", stopped: 0 queued, 0 running, ";
    assert_eq!(said.matches(ended).count(), 2, "{said}");
}
