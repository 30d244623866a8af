//! What the example `linkcheck` reports, by itself and with others who read the pages: the same in all but time.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support;

pub(crate) const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/site");

/// What is printed, without the figures of time.
fn timeless(printed: Vec<u8>) -> String {
    let printed = String::from_utf8(printed).unwrap();
    let lines = printed.split_inclusive('\n').map(|line| {
        if let Some((before, after)) = line.split_once("\"seconds\":") {
            let (_, after) = after.split_once(',').unwrap();
            format!("{before}{after}")
        } else if let Some((before, _)) = line.split_once(" of them shared; ") {
            format!("{before}\n")
        } else {
            line.to_owned()
        }
    });
    lines.collect()
}

/// What is printed in a folder with the options that have others read, and without: the same in all but time.
pub(crate) fn both<A: AsRef<OsStr>>(
    folder: &Path,
    others: &[&str],
    arguments: &[A],
    expected: i32,
) -> String {
    support::limit_time();
    let run = |own: &[&str]| -> Output {
        let mut command = Command::new(support::example("linkcheck"));
        command.current_dir(folder).args(own).args(arguments);
        command.output().unwrap()
    };
    let [own, others] = [run(&[]), run(others)].map(|output| {
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{said}");
        (timeless(output.stdout), said)
    });
    assert_eq!(own, others);
    own.0
}

/// A folder with one page, and a link that leads somewhere.
pub(crate) fn write_clean(folder: &Path) {
    fs::write(folder.join("index.html"), "<a href=index.html>it</a>").unwrap();
}

/// A chain of pages, each linking to the next and to all before it.
pub(crate) fn write_chain(folder: &Path, pages: u32) {
    for n in 0..pages {
        let links = (0..n).map(|before| format!("<a href=page{before}.html#p{n}>it</a>"));
        let page = format!("<p id=p{n}><a href=page{}.html#p{}>next</a>", n + 1, n + 1);
        let page = page + &links.collect::<String>();
        fs::write(folder.join(format!("page{n}.html")), page).unwrap();
    }
}

/// How many pages a report in JSON tells of, and how many broken links.
pub(crate) fn counts(report: &str) -> (u64, usize) {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    let broken = report["broken"].as_array().unwrap().len();
    (report["pages"].as_u64().unwrap(), broken)
}

/// A page that links to two which cannot be read, and to a place on itself that is not there.
pub(crate) fn write_unreadable(folder: &Path) {
    let links = "<a href=circle.html>a</a><a href=zero%00.html>b</a><a href=index.html#x>c</a>";
    fs::write(folder.join("index.html"), links).unwrap();
    std::os::unix::fs::symlink("circle.html", folder.join("circle.html")).unwrap();
}

/// Whether all that is said of them.
pub(crate) fn check_unreadable(text: &str) {
    assert_eq!(text.matches(": unreadable: ").count(), 2, "{text}");
    assert!(text.contains("no such anchor") && text.contains(" 3 broken\n"));
    assert!(!text.contains("other error"), "{text}");
}
