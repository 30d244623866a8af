//! The example `linkcheck` reports the same when child processes read the pages.

#![cfg(all(feature = "process", unix))]

#[path = "support/reports.rs"]
mod reports;
mod support;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use reports::SITE;

/// The example that `cargo test` has built.
fn linkcheck() -> Command {
    support::limit_time();
    Command::new(support::example("linkcheck"))
}

/// What is printed with `--processes` and without: the same in all but time.
fn both<A: AsRef<OsStr>>(arguments: &[A], expected: i32) -> String {
    both_in(Path::new("."), arguments, expected)
}

/// The same, where the program runs in a folder.
fn both_in<A: AsRef<OsStr>>(folder: &Path, arguments: &[A], expected: i32) -> String {
    reports::both(folder, &["--processes"], arguments, expected)
}

#[test]
fn the_report_is_the_same_byte_for_byte() {
    for workers in ["1", "4"] {
        let own = ["--workers", workers, SITE];
        let text = both(&own, 1);
        assert!(text.contains("11 pages, 86 links (6 external), 34 broken\n"));
        assert!(text.contains("  index.html: about.html#not-an-anchor: no such anchor\n"));
        let json = both(&[&["--json"], &own[..]].concat(), 1);
        assert!(json.contains("\"queued\":") && json.contains("no such anchor"));
        let text = both(&[&["--no-fragments"], &own[..]].concat(), 1);
        assert!(text.contains(" 22 broken\n") && !text.contains("no such anchor"));
        both(&[&["--no-fragments", "--json"], &own[..]].concat(), 1);
    }
}

#[test]
fn the_exit_status_is_the_same() {
    let clean = tempfile::tempdir().unwrap();
    reports::write_clean(clean.path());
    let clean = clean.path().to_str().unwrap();
    both(&[clean], 0);
    // One folder after another, each with children of its own.
    let text = both(&[clean, SITE, clean], 1);
    assert_eq!(text.matches(" requests queued, ").count(), 3);
    both(&["tests/data/no-such-folder"], 2);
    both(&["--workers", "0", SITE], 2);
    both(&["--help"], 0);
}

#[test]
fn many_pages_that_children_read_side_by_side_make_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    reports::write_chain(folder.path(), 150);
    let own = ["--json", "--workers", "4", folder.path().to_str().unwrap()];
    let report = both(&own, 1);
    // Every link back is to an anchor that is not there, and the last link to the next page leads nowhere.
    assert_eq!(reports::counts(&report), (150, 150 * 149 / 2 + 1));
}

#[test]
fn why_a_page_is_unreadable_is_said_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    reports::write_unreadable(folder);
    let text = both(&[folder], 1);
    reports::check_unreadable(&text);
}

#[test]
fn a_folder_may_have_any_name() {
    let parent = tempfile::tempdir().unwrap();
    // No UTF-8, and what would be an option.
    for name in [&b"caf\xe9"[..], b"--help"].map(OsStr::from_bytes) {
        let folder = parent.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("index.html"), "<a href=gone.html>it</a>").unwrap();
        let text = both_in(parent.path(), &[OsStr::new("--"), name], 1);
        assert!(text.contains("1 pages, 1 links (0 external), 1 broken\n"));
    }
}

/// What is on a page may be longer than what a child may send as a rule.
#[test]
fn a_page_of_any_length_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(65 << 20);
    let page = format!("<a href='../{long}'>it</a>");
    fs::write(folder.path().join("index.html"), page).unwrap();
    let mut command = linkcheck();
    let output = command.arg("--processes").arg(folder.path()).output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    assert_eq!(
        (status.code(), String::from_utf8(stderr)),
        (Some(1), Ok(String::new()))
    );
    assert!(stdout.len() > long.len());
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::Stdio;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    /// The pages that a process has open.
    fn open_pages(process: u32) -> Vec<OsString> {
        let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let pages = open.filter(|path| path.extension() == Some(OsStr::new("html")));
        let mut pages: Vec<_> = pages
            .filter_map(|path| Some(path.file_name()?.to_owned()))
            .collect();
        pages.sort();
        pages
    }

    fn children(process: u32) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let of = |task: PathBuf| fs::read_to_string(task.join("children")).unwrap_or_default();
        let children: String = tasks.map(|task| of(task.unwrap().path())).collect();
        let ids = children.split_whitespace();
        ids.map(|id| id.parse().unwrap()).collect()
    }

    /// Which pages the program itself reads, and which each of its children does, while it reads two that have no end.
    fn readers(arguments: &[&str]) -> (Vec<OsString>, Vec<Vec<OsString>>) {
        let folder = tempfile::tempdir().unwrap();
        let pages = ["a.html", "b.html"].map(|name| folder.path().join(name));
        for page in &pages {
            mkfifoat(CWD, page, Mode::RWXU).unwrap();
        }
        let mut command = linkcheck();
        command.args(["--workers", "2"]).args(arguments);
        command.arg(folder.path()).stdout(Stdio::null());
        let mut running = command.spawn().unwrap();
        let writers = pages.map(|page| {
            let mut writer = File::create(page).unwrap();
            // More than there is room for in a pipe: somebody has begun to read it.
            writer.write_all(&[b' '; 1 << 20]).unwrap();
            writer
        });
        let own = open_pages(running.id());
        let children = children(running.id()).into_iter().map(open_pages);
        let mut children: Vec<_> = children.collect();
        children.sort();
        drop(writers);
        assert_eq!(running.wait().unwrap().code(), Some(0));
        (own, children)
    }

    #[test]
    fn each_worker_has_a_child_that_reads_its_pages_and_reads_none_itself() {
        let [a, b] = ["a.html", "b.html"].map(OsString::from);
        let processes = readers(&["--processes"]);
        assert_eq!(processes, (vec![], vec![vec![a.clone()], vec![b.clone()]]));
        assert_eq!(readers(&[]), (vec![a, b], vec![]));
    }
}
