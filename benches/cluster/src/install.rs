//! What others have written is installed beside what cargo builds, once.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::load::Error;

/// A folder for what is installed.
pub fn folder(name: &str) -> Result<PathBuf, Error> {
    let own = std::env::current_exe()?;
    let target = own
        .ancestors()
        .nth(2)
        .ok_or("this program is in no folder of cargo's")?;
    let folder = target.join("cluster").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs it, and says what it said where it fails. What it prints is no part of the tables.
pub fn run(command: &mut Command) -> Result<(), Error> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}, {said}", output.status).into())
}
