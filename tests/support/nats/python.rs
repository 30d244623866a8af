use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Process, pip};

/// What is installed where `python3` does not have it.
const PACKAGE: &str = "nats-py";
const RELEASE: &str = "2.16.0";

/// A program in Python that finds the client, and the examples: a worker for a queue.
pub fn python(program: &str, server: &str, queue: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join(program);
    let mut command = Process::command(&["python3".as_ref(), program.as_os_str()]);
    command.args(["--servers", server, "--queue", queue]);
    let folders = [root.join("examples/any_language")].into_iter();
    let folders = folders.chain(client_folder().map(Path::to_owned));
    command.env("PYTHONPATH", std::env::join_paths(folders).unwrap());
    // It would leave a folder beside the examples.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Where Python finds the client, besides where it looks anyway; looked for once.
fn client_folder() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        if has_client(None) {
            return None;
        }
        let works = |folder: &Path| has_client(Some(folder));
        let installed = pip::installed("nats-py", PACKAGE, RELEASE, works);
        Some(installed.unwrap_or_else(|error| {
            panic!(
                "these tests need python3 with {PACKAGE}: have `pip install {PACKAGE}`, or python3 with pip, which they \
                 install it with into target: {error}"
            )
        }))
    });
    found.as_deref()
}

/// Whether Python finds the client, there or where it looks anyway.
fn has_client(folder: Option<&Path>) -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import nats.js"]);
    command.envs(folder.map(|folder| ("PYTHONPATH", folder)));
    command.output().is_ok_and(|output| output.status.success())
}
