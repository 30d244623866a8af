//! How many instructions a request takes, counted by callgrind: repeatable, where times are not.
//!
//! `cargo bench --bench instructions` compares with `benches/instructions.txt`, and fails where a figure is more than a
//! tenth above it, for a twentieth may come of what the compiler puts inline; `-- --write` writes that file anew. Needs
//! valgrind. Instructions are no time: a change that costs some may pay all the same, in memory that is not touched or
//! in locks that are not taken. So this tells of what nobody meant to change.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use parallel_workers::{Context, ProcessorService, PromiseSet, processor_fn};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// Set for the program that is counted: the case, and how many requests.
const CHILD: &str = "INSTRUCTIONS_OF";
const CASES: [&str; 4] = ["distinct", "bulk", "join", "abort"];

/// One step after the other, each on one thread, so that how threads take turns makes no difference.
fn run(case: &str, n: u64) {
    let builder = ProcessorService::builder().workers(1).paused(true);
    let service = builder.start(|| processor_fn(|n: &u64, _: &Context<'_>| n.wrapping_mul(3)));
    let service = service.expect("the service starts");
    let set = match case {
        "bulk" => service.queue_requests(0..n),
        "join" => (0..n).map(|_| service.queue_request(7)).collect(),
        _ => (0..n)
            .map(|request| service.queue_request(request))
            .collect::<PromiseSet<_, _>>(),
    };
    if case == "abort" {
        set.abort_all();
    }
    service.resume();
    service.wait_idle();
    assert_eq!(set.select().count() as u64, n);
}

/// Instructions of a whole program.
fn count(case: &str, n: u64) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .env(CHILD, format!("{case} {n}"))
        .output()
        .map_err(|error| format!("valgrind (Debian's package of that name): {error}"))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let line = printed
        .lines()
        .find_map(|line| line.split("Collected :").nth(1));
    let collected = line.ok_or_else(|| format!("valgrind counted nothing: {printed}"))?;
    Ok(collected.trim().parse()?)
}

/// Instructions of each further request.
fn each(case: &str) -> Result<f64, Box<dyn Error>> {
    let (few, many) = (20_000, 60_000);
    Ok((count(case, many)? - count(case, few)?) / (many - few) as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(asked) = env::var(CHILD) {
        let (case, n) = asked.split_once(' ').ok_or("a case and a number")?;
        run(case, n.parse()?);
        return Ok(());
    }
    let stored = fs::read_to_string(BASELINE).unwrap_or_default();
    let stored = |case: &str| -> Option<f64> {
        let line = stored.lines().find_map(|line| line.strip_prefix(case));
        line.and_then(|number| number.trim().parse().ok())
    };
    let mut written = String::new();
    let mut worse = Vec::new();
    for case in CASES {
        let now = each(case)?;
        let before = stored(case).unwrap_or(f64::INFINITY);
        println!("{case}: {now:.0} instructions a request; before {before:.0}");
        writeln!(written, "{case} {now:.0}")?;
        if now > 1.1 * before || before.is_infinite() {
            worse.push(case);
        }
    }
    if env::args().any(|argument| argument == "--write") {
        return Ok(fs::write(BASELINE, written)?);
    }
    if !worse.is_empty() {
        return Err(
            format!("more than in {BASELINE}: {worse:?}; if that is meant, `-- --write`").into(),
        );
    }
    Ok(())
}
