//! What is not Rust: programs that measure by themselves, without their start.

use std::process::{Command, Stdio};

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
