//! Node's worker threads with piscina, where there are `node` and `npm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::{Contender, measured};
use crate::elsewhere;
use crate::processes::WINDOW;
use crate::program;

/// Where a worker finds what it is to do.
const WORKER: &str = "module.exports = n => n * 3;\n";

/// Sums stay far below 2^53, so numbers are exact.
const PROGRAM: &str = "
const { join } = require('node:path');
const { Piscina } = require('piscina');
const [n, window] = process.argv.slice(2).map(Number);
async function main() {
    const filename = join(__dirname, 'worker.cjs');
    const pool = new Piscina({ filename, minThreads: 2, maxThreads: 2 });
    // Whoever is least busy takes the next one: one for each, and both have started.
    await Promise.all([pool.run(0), pool.run(0)]);
    let next = 0, sum = 0;
    const one_after_another = async () => {
        while (next < n) {
            const output = await pool.run(next++);
            sum += output;
        }
    };
    const begin = process.hrtime.bigint();
    await Promise.all(Array.from({ length: window }, one_after_another));
    console.log(sum, Number(process.hrtime.bigint() - begin) / n);
    await pool.destroy();
}
main();
";

/// Puts piscina into a folder beside what cargo builds, unless it is there. `None`: that does not work.
fn install() -> Option<PathBuf> {
    let own = std::env::current_exe().expect("this program has a path");
    let folder = own.ancestors().nth(2)?.join("piscina");
    fs::create_dir_all(&folder).expect("the folder for what is built can be written to");
    // npm writes this last.
    if !folder.join("node_modules/.package-lock.json").exists() {
        let mut npm = Command::new("npm");
        npm.arg("install").arg("--prefix").arg(&folder);
        // What it prints is no part of the tables.
        let output = npm.arg("piscina@5").output().expect("there is an npm");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            eprintln!("piscina cannot be installed, and is left out: {said}");
            return None;
        }
    }
    fs::write(folder.join("worker.cjs"), WORKER).expect("the folder can be written to");
    fs::write(folder.join("main.cjs"), PROGRAM).expect("the folder can be written to");
    Some(folder)
}

fn run(folder: &Path, n: u64) -> (u64, f64) {
    let mut command = Command::new("node");
    let command = command.arg(folder.join("main.cjs"));
    elsewhere::run(command.args([n.to_string(), WINDOW.to_string()]))
}

/// Piscina for the case "processes", if it is there or can be installed.
pub fn piscina() -> Option<Contender> {
    if !program::is_there("node") || !program::is_there("npm") {
        return None;
    }
    let folder = install()?;
    let run = move |n| run(&folder, n);
    Some(measured("Node, piscina (threads)", run))
}
