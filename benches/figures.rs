//! What it costs to keep figures: `benches/distinct` as it is, beside itself built without them.
//!
//! `cargo bench --bench figures`, or `-- 32` for so many runs of each. It builds the crate a second time, into
//! `target/without-figures`; the two run in turn, and medians count. On a machine that does something else as well,
//! trust a difference only if it is larger than that between two calls of this.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn build(flags: &str, folder: &str) -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "bench",
            "--bench",
            "distinct",
            "--no-run",
            "--message-format=json",
        ])
        .args(["--target-dir", folder])
        .env("RUSTFLAGS", flags)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    let messages = printed
        .lines()
        .map(serde_json::from_str::<serde_json::Value>);
    let mut programs =
        messages.filter_map(|message| message.ok()?["executable"].as_str().map(PathBuf::from));
    let errors = String::from_utf8_lossy(&output.stderr);
    Ok(programs
        .next_back()
        .ok_or_else(|| format!("it was not built: {errors}"))?)
}

/// Nanoseconds a request, as it prints them.
fn run(program: &PathBuf) -> Result<f64, Box<dyn Error>> {
    let printed = String::from_utf8(Command::new(program).output()?.stdout)?;
    let line = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("queue_request:"));
    let nanos = line.and_then(|line| line.split_whitespace().next());
    Ok(nanos.ok_or("it printed no figure")?.parse()?)
}

fn median(mut nanos: Vec<f64>) -> f64 {
    nanos.sort_by(f64::total_cmp);
    nanos[nanos.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let runs = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(16);
    let with = build("", "target/with-figures")?;
    let without = build("--cfg without_figures", "target/without-figures")?;
    let (mut kept, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        kept.push(run(&with)?);
        bare.push(run(&without)?);
    }
    let (kept, bare) = (median(kept), median(bare));
    println!("with figures {kept:.0} ns a request, without {bare:.0}, medians of {runs} runs");
    println!(
        "keeping them costs {:.1} % of an empty request; at most 5 is the aim",
        100.0 * (kept / bare - 1.0)
    );
    Ok(())
}
