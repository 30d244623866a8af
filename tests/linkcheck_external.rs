//! The example `linkcheck` fetches links to other sites: here those of servers on loopback.

#![cfg(feature = "tokio")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Condvar, Mutex};

/// A site, and what has been asked of it.
#[derive(Clone, Default)]
struct Site {
    port: u16,
    asked: Arc<(Mutex<Asked>, Condvar)>,
}

#[derive(Default)]
struct Asked {
    times: HashMap<String, usize>,
    /// How many wait for an answer at the moment, and how many did at most.
    present: usize,
    most: usize,
    /// So many have to be there at once for `/together/...` to be answered.
    together: usize,
    answered: usize,
}

impl Site {
    fn start() -> Self {
        support::limit_time();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = Self {
            port,
            ..Self::default()
        };
        let serving = site.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (site, stream) = (serving.clone(), stream.unwrap());
                std::thread::spawn(move || site.serve(stream));
            }
        });
        site
    }

    fn serve(&self, stream: TcpStream) {
        let mut lines = BufReader::new(&stream).lines();
        let Some(Ok(first)) = lines.next() else {
            return;
        };
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let path = first.split(' ').nth(1).unwrap().to_owned();
        self.come(&path);
        let (status, location) = match path.as_str() {
            "/moved" => ("301 Moved Permanently", "/deep/moved"),
            "/deep/moved" => ("302 Found", "../ok"),
            "/astray" => ("302 Found", "/missing"),
            "/circle" => ("302 Found", "/circle"),
            "/missing" => ("404 Not Found", ""),
            "/broken" => ("500 Internal Server Error", ""),
            // It waits until the client goes away.
            "/silent" => return drop(lines.next()),
            path => {
                if path.starts_with("/together/") {
                    self.stand_together();
                }
                ("200 OK", "")
            }
        };
        self.asked.0.lock().unwrap().present -= 1;
        let answer = format!(
            "HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let _ = (&stream).write_all(answer.as_bytes());
    }

    fn come(&self, path: &str) {
        let (asked, changed) = &*self.asked;
        let mut asked = asked.lock().unwrap();
        *asked.times.entry(path.to_owned()).or_default() += 1;
        asked.present += 1;
        asked.most = asked.most.max(asked.present);
        changed.notify_all();
    }

    /// Waits until as many are there as may be, in every group of so many.
    fn stand_together(&self) {
        let (asked, changed) = &*self.asked;
        let mut asked = asked.lock().unwrap();
        asked.answered += 1;
        let group = asked.answered.next_multiple_of(asked.together);
        changed.notify_all();
        while asked.answered < group {
            asked = changed.wait(asked).unwrap();
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn times(&self, path: &str) -> usize {
        let asked = self.asked.0.lock().unwrap();
        asked.times.get(path).copied().unwrap_or(0)
    }
}

/// Checks a folder whose pages have these links.
fn linkcheck(pages: &[(&str, &[String])], arguments: &[&str]) -> (Output, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    for (name, links) in pages {
        let links: String = links
            .iter()
            .map(|link| format!("<a href=\"{link}\">it</a>\n"))
            .collect();
        fs::write(folder.path().join(name), links).unwrap();
    }
    let output = Command::new(support::example("linkcheck"))
        .args(["--json", "--external", "http://127.0.0.1"])
        .args(arguments)
        .arg(folder.path())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

fn broken(report: &serde_json::Value) -> Vec<(&str, String)> {
    let broken = report["broken"].as_array().unwrap().iter();
    broken
        .map(|one| {
            let (page, why) = (one["page"].as_str().unwrap(), one["why"].as_str().unwrap());
            let path = one["link"].as_str().unwrap().splitn(4, '/').nth(3).unwrap();
            (page, format!("/{path}: {why}"))
        })
        .collect()
}

#[test]
fn every_address_is_fetched_once_and_what_leads_nowhere_is_named() {
    let site = Site::start();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let all = [
        "/ok", "/ok#part", "/moved", "/astray", "/circle", "/missing", "/broken",
    ];
    let mut links: Vec<_> = all.iter().map(|path| site.url(path)).collect();
    links.push(format!("http://127.0.0.1:{closed}/nobody"));
    // These begin otherwise.
    links.extend(["https://example.org/", "mailto:a@127.0.0.1"].map(String::from));
    let pages = [("a.html", &links[..]), ("b.html", &links[..6])];
    let (output, report) = linkcheck(&pages, &["--timeout", "60"]);
    let expected = [
        ("a.html", "/astray: status 404"),
        ("a.html", "/broken: status 500"),
        ("a.html", "/circle: sent on more than 10 times"),
        ("a.html", "/missing: status 404"),
        ("a.html", "/nobody: no connection"),
        ("b.html", "/astray: status 404"),
        ("b.html", "/circle: sent on more than 10 times"),
        ("b.html", "/missing: status 404"),
    ];
    let mut found = broken(&report);
    found.sort_unstable();
    assert_eq!(found, expected.map(|(page, why)| (page, why.to_owned())));
    assert_eq!(
        (&report["external"], &report["fetched"]),
        (&16.into(), &7.into())
    );
    assert_eq!(output.status.code(), Some(1));
    // Once itself, and once for what is moved there.
    assert_eq!(
        (
            site.times("/ok"),
            site.times("/moved"),
            site.times("/circle")
        ),
        (2, 1, 11)
    );
}

#[test]
fn one_host_has_so_many_at_a_time_and_another_as_many() {
    for per_host in [1, 3] {
        let sites = [Site::start(), Site::start()];
        let links = sites.each_ref().map(|site| {
            site.asked.0.lock().unwrap().together = per_host;
            (0..12)
                .map(|n| site.url(&format!("/together/{n}")))
                .collect::<Vec<_>>()
        });
        let at_a_time = per_host.to_string();
        let terms = ["--per-host", &at_a_time, "--timeout", "60"];
        let pages = [("index.html", &links.concat()[..])];
        let (output, report) = linkcheck(&pages, &terms);
        assert_eq!(broken(&report), []);
        assert_eq!(output.status.code(), Some(0));
        for site in sites {
            let asked = site.asked.0.lock().unwrap();
            assert_eq!((asked.most, asked.answered), (per_host, 12));
        }
    }
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let site = Site::start();
    let links = [site.url("/silent")];
    let (_, report) = linkcheck(&[("index.html", &links)], &["--timeout", "0.25"]);
    let expected = ("index.html", "/silent: no answer within 0.25 s".to_owned());
    assert_eq!(broken(&report), [expected]);
}

#[test]
#[cfg(all(feature = "process", unix))]
fn children_find_what_is_to_be_fetched() {
    let site = Site::start();
    let links = ["/ok", "/missing"].map(|path| site.url(path));
    let terms = ["--processes", "--timeout", "60"];
    let (_, report) = linkcheck(&[("index.html", &links)], &terms);
    let expected = ("index.html", "/missing: status 404".to_owned());
    assert_eq!(broken(&report), [expected]);
    assert_eq!((site.times("/ok"), site.times("/missing")), (1, 1));
}

#[test]
fn a_time_that_is_none_is_refused() {
    for time in ["0", "-1", "soon", "inf"] {
        let timeout = format!("--timeout={time}");
        let (output, _) = linkcheck(&[], &[&timeout]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--timeout"));
    }
}
