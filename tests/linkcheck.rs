//! The example `linkcheck` names each broken link of a site exactly.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/site");

/// Runs the example that `cargo test` has built.
fn linkcheck(arguments: &[&str]) -> Output {
    support::limit_time();
    let example = support::example("linkcheck");
    let output = Command::new(&example).args(arguments).output();
    output.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; run `cargo build --examples`",
            example.display()
        )
    })
}

fn report(arguments: &[&str]) -> serde_json::Value {
    let output = linkcheck(&[&["--json"], arguments].concat());
    assert_eq!(
        output.stdout.iter().filter(|byte| **byte == b'\n').count(),
        1
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The broken links of a report: page, link and why.
fn broken(report: &serde_json::Value) -> Vec<(&str, &str, &str)> {
    let broken = report["broken"].as_array().unwrap().iter();
    broken
        .map(|one| ["page", "link", "why"].map(|field| one[field].as_str().unwrap()))
        .map(|[page, link, why]| (page, link, why))
        .collect()
}

const FILE: &str = "no such file";
const ANCHOR: &str = "no such anchor";
const OUTSIDE: &str = "outside the folder";

/// All that is wrong with the site, and nothing else.
const BROKEN: [(&str, &str, &str); 34] = [
    ("based.html", "#none", ANCHOR),
    ("based.html", "about.html", FILE),
    ("index.html", "#gone", ANCHOR),
    ("index.html", "../outside.html", OUTSIDE),
    ("index.html", "/nowhere/x.html", FILE),
    ("index.html", "ABOUT.html", FILE),
    ("index.html", "about.html#not-an-anchor", ANCHOR),
    ("index.html", "about.html#th%C3%A9", ANCHOR),
    ("index.html", "about.html?a=1#nobody", ANCHOR),
    ("index.html", "circle.html#x", ANCHOR),
    ("index.html", "empty", FILE),
    ("index.html", "empty/", FILE),
    ("index.html", "missing.html", FILE),
    ("index.html", "no-area.html", FILE),
    ("index.html", "no-big-picture.png", FILE),
    ("index.html", "no-film.mp4", FILE),
    ("index.html", "no-frame.html", FILE),
    ("index.html", "no-icon.png", FILE),
    ("index.html", "no-object.svg", FILE),
    ("index.html", "no-picture.png", FILE),
    ("index.html", "no-poster.png", FILE),
    ("index.html", "no-script.js", FILE),
    ("index.html", "old.html#nobody", ANCHOR),
    ("index.html", "src/lib.rs.html#2-9", ANCHOR),
    ("index.html", "src/lib.rs.html#3-2", ANCHOR),
    ("index.html", "src/lib.rs.html#9", ANCHOR),
    ("index.html", "sub#none", ANCHOR),
    ("index.html", "sub/../../outside.html", OUTSIDE),
    ("index.html", "unquoted.html", FILE),
    ("index.html", "with%20nothing.html", FILE),
    ("latin1.html", "#th\u{fffd}", ANCHOR),
    ("latin1.html", "\u{fffd}.html", FILE),
    ("lost.html", "gone.html", FILE),
    ("sub/index.html", "about.html", FILE),
];

#[test]
fn every_broken_link_of_the_site_is_named_and_no_other() {
    for workers in ["1", "4"] {
        let report = report(&["--workers", workers, SITE]);
        assert_eq!(broken(&report), BROKEN);
        assert_eq!(
            (&report["pages"], &report["external"]),
            (&11.into(), &6.into())
        );
        assert!(report["shared"].as_u64() > Some(20), "{report}");
    }
}

#[test]
fn without_fragments_only_files_are_looked_at() {
    let expected: Vec<_> = BROKEN
        .into_iter()
        .filter(|(.., why)| *why != ANCHOR)
        .collect();
    assert_eq!(broken(&report(&["--no-fragments", SITE])), expected);
}

#[test]
fn the_exit_status_says_whether_links_are_broken() {
    assert_eq!(linkcheck(&[SITE]).status.code(), Some(1));
    let absent = linkcheck(&["tests/data/no-such-folder"]);
    assert_eq!((absent.status.code(), absent.stdout.len()), (Some(2), 0));
    let said = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert_eq!(said, "linkcheck: tests/data/no-such-folder is no folder\n");
    let clean = tempfile::tempdir().unwrap();
    fs::write(
        clean.path().join("index.html"),
        "<a href=index.html>itself</a>",
    )
    .unwrap();
    let clean = linkcheck(&[clean.path().to_str().unwrap()]);
    assert_eq!((clean.status.code(), clean.stderr.len()), (Some(0), 0));
    assert_eq!(linkcheck(&["--workers", "0", SITE]).status.code(), Some(2));
}

#[test]
#[cfg(not(all(feature = "process", unix)))]
fn processes_need_the_feature_which_is_named() {
    let output = linkcheck(&["--processes", SITE]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.starts_with("linkcheck: --processes needs the feature process: "),
        "{said}"
    );
}

#[test]
fn the_report_for_people_ends_with_its_figures_and_shows_no_bar_in_a_pipe() {
    let output = linkcheck(&[SITE]);
    assert!(output.stderr.is_empty());
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], SITE);
    assert_eq!(lines[1], "  based.html: #none: no such anchor");
    let figures = "11 pages, 86 links (6 external), 34 broken";
    assert_eq!(lines[lines.len() - 2], figures);
    assert!(
        lines[lines.len() - 1].contains(" requests queued, "),
        "{printed}"
    );
}

/// A chain of pages, each linking to the next and to the first, and a hub that all link to.
fn write_chain(folder: &Path, pages: u32) {
    for n in 0..pages {
        let page = format!(
            "<p id=p{n}><a href=page{}.html#p{}>next</a><a href=hub.html#h{n}>hub</a>",
            n + 1,
            n + 1
        );
        fs::write(folder.join(format!("page{n}.html")), page).unwrap();
    }
    let anchors: String = (0..pages).map(|n| format!("<p id=h{n}>")).collect();
    fs::write(folder.join("hub.html"), anchors).unwrap();
}

#[test]
fn each_page_is_read_once_however_many_link_to_it() {
    let folder = tempfile::tempdir().unwrap();
    write_chain(folder.path(), 500);
    let report = report(&[folder.path().to_str().unwrap()]);
    assert_eq!(
        broken(&report),
        [("page499.html", "page500.html#p500", FILE)]
    );
    let (queued, shared) = (
        report["queued"].as_u64().unwrap(),
        report["shared"].as_u64().unwrap(),
    );
    // 500 pages, the hub, and the one that is missing.
    assert_eq!(
        (report["pages"].as_u64(), queued - shared),
        (Some(501), 502)
    );
}

#[test]
fn several_folders_are_checked_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    write_chain(folder.path(), 2);
    let output = linkcheck(&["--json", SITE, folder.path().to_str().unwrap()]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let reports: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(broken(&reports[0]).len(), BROKEN.len());
    assert_eq!(broken(&reports[1]), [("page1.html", "page2.html#p2", FILE)]);
}

#[test]
#[cfg(unix)]
fn without_the_toolchains_documentation_a_small_site_is_checked() {
    let empty = tempfile::tempdir().unwrap();
    // No `rustc` is found on this path.
    let output = Command::new(support::example("linkcheck"))
        .env("PATH", empty.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("has no documentation here; checking a small site"),
        "{said}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("11 pages, 86 links"));
}
