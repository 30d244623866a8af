//! What is not Rust: programs that measure by themselves, without their start.

use std::process::{Command, Stdio};

/// Whether there is such a program. Says so if there is none.
pub fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let is_there = command.status().is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("there is no {program} that works: who needs it is left out");
    }
    is_there
}

/// Runs what prints the sum, and nanoseconds for each request. What it says of its failures is to be seen.
pub fn run(command: &mut Command) -> (u64, f64) {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.expect("the program is there");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    let printed = String::from_utf8_lossy(&output.stdout);
    let figures = printed.trim().split_once(' ').and_then(|(sum, nanos)| {
        let sum = sum.parse().ok()?;
        Some((sum, nanos.parse().ok()?))
    });
    figures.expect("it prints a sum and nanoseconds")
}
