//! Programs of others, which may be there.

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
