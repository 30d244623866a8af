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

/// An environment of Python's with these packages.
pub fn python(name: &str, packages: &[&str]) -> Result<PathBuf, Error> {
    let folder = folder(name)?;
    // Written last.
    let written = folder.join("packages");
    let wanted = packages.join(" ");
    if fs::read_to_string(&written).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    run(pip.args(packages))?;
    fs::write(written, wanted)?;
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
