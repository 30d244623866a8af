//! What the source promises about itself: size, layers, no unsafe code, a README that agrees with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The source without its tests.
fn shipped(source: &str) -> &str {
    source.split("#[cfg(test)]").next().unwrap_or(source)
}

#[test]
fn no_file_is_longer_than_five_hundred_lines() {
    for file in ["src", "tests", "examples", "benches"]
        .iter()
        .flat_map(|folder| rust_files(folder))
    {
        let lines = read(&file).lines().count();
        assert!(lines <= 500, "{}: {lines} lines", file.display());
    }
}

/// Modules by layer, as `lib.rs` lists them, the lowest last. A module imports from its own layer and below.
const LAYERS: [&[&str]; 10] = [
    &[
        "assign",
        "asynchronous",
        "broadcast",
        "builder",
        "handle",
        "map",
        "map_async",
        "nats",
        "process",
        "service",
        "stop_future",
        "worker",
    ],
    &[
        "alive",
        "beginning",
        "mail",
        "pool",
        "replacement",
        "reserve",
        "supervisor",
    ],
    &[
        "cancelled",
        "context",
        "desk",
        "foreign",
        "job",
        "jobs",
        "next_job",
        "processor",
        "renewal",
    ],
    &[
        "abort_on_drop",
        "awaiting",
        "members",
        "promise",
        "promise_future",
        "promise_set",
        "queue_future",
    ],
    &["dispatcher", "ending", "entry", "giving_up"],
    &["caller", "run", "subscribers"],
    &[
        "counters",
        "departures",
        "hand",
        "idle",
        "in_flight",
        "inbox",
        "lane",
        "lanes",
        "observer",
        "parked",
        "queue",
        "queue_state",
        "room",
        "sleepers",
        "terms",
    ],
    &["meters", "trace"],
    &[
        "current",
        "error",
        "event",
        "events",
        "figures",
        "held",
        "pace",
        "record",
        "request_id",
        "seconds",
        "service_id",
        "share",
        "spares",
        "state",
        "status",
        "task",
        "usage",
        "waiting",
        "waits",
    ],
    &["blocking", "loss", "panic", "ready", "sync", "wakers"],
];

/// The module that a file is, or is a part of.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.iter().next().unwrap();
    let first = Path::new(first).file_stem().unwrap();
    first.to_string_lossy().into_owned()
}

/// What each module imports from the others.
fn imports() -> BTreeMap<String, Vec<String>> {
    let mut imports: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in rust_files("src") {
        let module = module_of(&file);
        let source = read(&file);
        let code = shipped(&source)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let named: Vec<String> = code
            .flat_map(|line| line.split("crate::").skip(1))
            .filter_map(|rest| {
                rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
            })
            .filter(|name| LAYERS.iter().any(|layer| layer.contains(name)))
            .map(str::to_owned)
            .collect();
        imports.entry(module).or_default().extend(named);
    }
    imports
}

#[test]
fn modules_import_from_their_own_layer_or_below() {
    let layer_of = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    for (module, named) in imports() {
        if module == "lib" {
            continue;
        }
        let own = layer_of(&module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for other in named {
            let layer = layer_of(&other).unwrap();
            assert!(layer >= own, "{module} imports {other}, which is above it");
        }
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    // What imports nothing that is left is taken away, again and again.
    let mut left = imports();
    left.remove("lib");
    loop {
        let modules: Vec<String> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|module, named| {
            named
                .iter()
                .any(|name| name != module && modules.contains(name))
        });
        if left.is_empty() {
            return;
        }
        assert!(left.len() < before, "a circle among {:?}", left.keys());
    }
}

#[test]
fn only_sync_names_the_primitives_of_std() {
    for file in rust_files("src") {
        if module_of(&file) == "sync" {
            continue;
        }
        let source = read(&file);
        for line in shipped(&source)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            assert!(
                !line.contains("std::sync")
                    && !line.contains("std::thread")
                    && !line.contains("Instant::now"),
                "{file:?}: {line}"
            );
        }
    }
}

#[test]
fn nothing_is_unsafe_and_nothing_is_unwrapped() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for file in rust_files("src") {
        for line in read(&file)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            assert!(!line.contains(".unwrap()"), "{file:?}: {line}");
        }
    }
}

/// The names in a section of the manifest.
fn keys(section: &str) -> Vec<String> {
    let manifest = read("Cargo.toml");
    let lines = manifest
        .lines()
        .skip_while(|line| *line != format!("[{section}]"))
        .skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key.trim().to_owned())
        .collect()
}

#[test]
fn the_readme_names_every_dependency_feature_and_example() {
    let readme = read("README.md");
    let dependencies = keys("dependencies");
    assert!(!dependencies.is_empty());
    for name in dependencies.iter().chain(&keys("features")) {
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
    }
    let ci = read(".ci/run");
    for file in fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if file.extension().is_some_and(|extension| extension == "rs") {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(
                readme.contains(&format!("`{name}`")),
                "{name} is not in the README"
            );
            assert!(ci.contains(&name), "{name} is not run by .ci/run");
        }
    }
    assert!(readme.contains("## Changes"));
    let version = keys("package").iter().any(|key| key == "rust-version");
    assert!(version && readme.contains("Minimum Rust version: 1.89."));
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let readme = read("README.md");
    let table = readme.split("| guaranteed |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let source: String = rust_files("tests").iter().map(read).collect();
    let mut named = 0;
    for row in rows {
        // Names stand in backquotes; those with a blank or a sign in them are commands.
        let all = row.split('`').skip(1).step_by(2);
        for name in all.filter(|name| name.chars().all(|c| c == '_' || c.is_alphanumeric())) {
            let is_file = ["tests", "tests/loom"]
                .iter()
                .any(|folder| root().join(folder).join(format!("{name}.rs")).is_file());
            assert!(
                is_file || source.contains(&format!("fn {name}()")),
                "{name}"
            );
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}

/// What people of the libraries that came before look for.
const FORMER_NAMES: [&str; 28] = [
    "processes",
    "worker_pids",
    "pool",
    "add_workers!",
    "assign!",
    "distribute!",
    "distribute_open!",
    "put!",
    "@everywhere",
    "update_userfunc",
    "waitfor",
    "get_return!",
    "execute",
    "send_data",
    "poll",
    "recv_data",
    "get_status",
    "efficiency",
    "sec_per_job",
    "starvation",
    "free",
    "terminate",
    "start",
    "done",
    "error",
    "onThreadStart",
    "Attributes",
    "concurrentJobs",
];

#[test]
fn every_name_of_the_libraries_that_came_before_is_found_in_the_documentation() {
    let source: String = rust_files("src").iter().map(read).collect();
    for name in FORMER_NAMES {
        let alias = format!("#[doc(alias = \"{name}\")]");
        assert!(source.contains(&alias), "nothing is {alias}");
    }
}
