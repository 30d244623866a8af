//! The example `linkcheck` reports the same when others read the pages, through a server.

#![cfg(all(feature = "nats", unix))]

#[path = "support/nats.rs"]
mod nats;
#[path = "support/reports.rs"]
mod reports;
mod support;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nats::{Process, Server, Setup, wait_until};
use reports::SITE;

/// One with room for the queues of many folders.
fn server() -> Server {
    support::limit_time();
    Setup::new().limits(256 << 20, 16 << 30).start()
}

/// A process that reads the pages of these folders.
fn reader<A: AsRef<OsStr>>(server: &Server, arguments: &[A]) -> Process {
    let mut command = Process::command(&[support::example("linkcheck").as_os_str()]);
    command.args(["--nats", &server.url(), "--serve"]);
    command.args(arguments).stdin(Stdio::null());
    let said = File::options().create(true).append(true).open(said(server));
    command.stdout(said.unwrap());
    Process::start(command)
}

fn said(server: &Server) -> std::path::PathBuf {
    server.folder().join("readers")
}

/// What is printed with `--nats` and without: the same in all but time.
fn both<A: AsRef<OsStr>>(server: &Server, arguments: &[A], expected: i32) -> String {
    both_in(Path::new("."), server, arguments, expected)
}

/// The same, where the program runs in a folder.
fn both_in<A: AsRef<OsStr>>(
    folder: &Path,
    server: &Server,
    arguments: &[A],
    expected: i32,
) -> String {
    reports::both(folder, &["--nats", &server.url()], arguments, expected)
}

#[test]
fn the_report_is_the_same_byte_for_byte() {
    let server = server();
    let _readers = [reader(&server, &[SITE]), reader(&server, &[SITE])];
    for workers in ["1", "4"] {
        let own = ["--workers", workers, SITE];
        let text = both(&server, &own, 1);
        assert!(text.contains("11 pages, 86 links (6 external), 34 broken\n"));
        assert!(text.contains("  index.html: about.html#not-an-anchor: no such anchor\n"));
        let json = both(&server, &[&["--json"], &own[..]].concat(), 1);
        assert!(json.contains("\"queued\":") && json.contains("no such anchor"));
    }
    // What is looked for is another matter, and has readers of its own.
    let _readers = reader(&server, &["--no-fragments", SITE]);
    let text = both(&server, &["--no-fragments", SITE], 1);
    assert!(text.contains(" 22 broken\n") && !text.contains("no such anchor"));
}

#[test]
fn the_exit_status_is_the_same_and_no_folders_are_mixed_up() {
    let server = server();
    let clean = tempfile::tempdir().unwrap();
    reports::write_clean(clean.path());
    let clean = clean.path().to_str().unwrap();
    let _readers = [
        reader(&server, &[clean, SITE]),
        reader(&server, &[SITE, clean]),
    ];
    both(&server, &[clean], 0);
    // Both have a page `index.html`.
    let text = both(&server, &[clean, SITE, clean], 1);
    assert_eq!(text.matches(" requests queued, ").count(), 3);
    both(&server, &["tests/data/no-such-folder"], 2);
    both(&server, &["--workers", "0", SITE], 2);
}

#[test]
fn many_pages_that_two_processes_read_make_the_same_report() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    reports::write_chain(folder.path(), 150);
    let folder = folder.path().to_str().unwrap();
    let _readers = [reader(&server, &[folder]), reader(&server, &[folder])];
    let own = ["--json", "--workers", "4", folder];
    let report = both(&server, &own, 1);
    // Every link back is to an anchor that is not there, and the last link to the next page leads nowhere.
    assert_eq!(reports::counts(&report), (150, 150 * 149 / 2 + 1));
}

#[test]
fn why_a_page_is_unreadable_is_said_in_the_same_words() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    reports::write_unreadable(folder);
    let _readers = [reader(&server, &[folder]), reader(&server, &[folder])];
    let text = both(&server, &[folder], 1);
    reports::check_unreadable(&text);
}

#[test]
fn a_folder_may_have_any_name_and_be_called_by_a_part_of_it() {
    let (server, parent) = (server(), tempfile::tempdir().unwrap());
    // No UTF-8, and what would be an option.
    for name in [&b"caf\xe9"[..], b"--help"].map(OsStr::from_bytes) {
        let folder = parent.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("index.html"), "<a href=gone.html>it</a>").unwrap();
        let _reader = reader(&server, &[OsStr::new("--"), folder.as_os_str()]);
        for end in ["", "/", "/."].map(OsStr::new) {
            let name: OsString = [name, end].into_iter().collect();
            let own = [OsStr::new("--"), &name];
            let text = both_in(parent.path(), &server, &own, 1);
            assert!(text.contains("1 pages, 1 links (0 external), 1 broken\n"));
        }
    }
}

/// What is on a page has to fit into a message of the server's.
#[test]
fn a_page_that_is_too_long_for_the_server_ends_the_check_with_an_error_that_says_so() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let long = "x".repeat(2 << 20);
    let page = format!("<a href='../{long}'>it</a>");
    fs::write(folder.path().join("index.html"), page).unwrap();
    let _reader = reader(&server, &[folder.path()]);
    let output = Command::new(support::example("linkcheck"))
        .args(["--nats", &server.url()])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(
        said.contains("the server takes no more than") && said.contains("max_payload"),
        "{said}"
    );
}

#[test]
fn a_reader_ends_in_good_order_when_it_is_interrupted() {
    let server = server();
    let mut reader = reader(&server, &[SITE]);
    wait_until("a reader", || match fs::read_to_string(said(&server)) {
        Ok(said) if said == "serving; Ctrl-C ends it\n" => Ok(()),
        said => Err(format!("{said:?}")),
    });
    reader.signal("INT");
    assert!(reader.wait().success());
}

#[test]
fn where_no_server_answers_the_error_names_it() {
    support::limit_time();
    let output = Command::new(support::example("linkcheck"))
        .args(["--nats", "nats://127.0.0.1:1", SITE])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("could not connect to nats://127.0.0.1:1"),
        "{said}"
    );
}

/// The crate that makes pipes with names is there with that feature.
#[cfg(all(target_os = "linux", feature = "process"))]
mod linux {
    use std::io::Write;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    /// The pages that a process has open.
    fn open_pages(process: u32) -> Vec<OsString> {
        let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let pages = open.filter(|path| path.extension() == Some(OsStr::new("html")));
        pages
            .filter_map(|path| Some(path.file_name()?.to_owned()))
            .collect()
    }

    #[test]
    fn each_process_that_serves_reads_pages_and_the_one_that_checks_reads_none() {
        let (server, folder) = (server(), tempfile::tempdir().unwrap());
        let pages = ["a.html", "b.html"].map(|name| folder.path().join(name));
        for page in &pages {
            mkfifoat(CWD, page, Mode::RWXU).unwrap();
        }
        let own = [OsStr::new("--workers=1"), folder.path().as_os_str()];
        let readers = [reader(&server, &own), reader(&server, &own)];
        let mut checking = Command::new(support::example("linkcheck"));
        checking.args(["--nats", &server.url()]).arg(folder.path());
        let mut checking = checking.stdout(Stdio::null()).spawn().unwrap();
        let writers = pages.map(|page| {
            let mut writer = File::create(page).unwrap();
            // More than there is room for in a pipe: somebody has begun to read it.
            writer.write_all(&[b' '; 1 << 20]).unwrap();
            writer
        });
        let mut read: Vec<_> = readers
            .iter()
            .map(|reader| open_pages(reader.id()))
            .collect();
        read.sort();
        assert_eq!(read, [["a.html"], ["b.html"]]);
        assert!(open_pages(checking.id()).is_empty());
        drop(writers);
        assert_eq!(checking.wait().unwrap().code(), Some(0));
    }
}
