//! The dashboard example: over plain HTTP, and in a browser.
#![cfg(feature = "serde")]

mod support;
#[path = "support/web.rs"]
mod web;

use std::io::BufRead;
use std::process::{Command, Stdio};

use serde_json::Value;
use web::{Browser, Running, ask, send};

const OURS: &str = "x-dashboard: 1\r\n";

/// The example, and where it serves.
fn dashboard() -> (Running, String) {
    support::limit_time();
    let mut command = Command::new(support::example("dashboard"));
    command.stderr(Stdio::null());
    let (running, line) = Running::start(command, |line| line.starts_with("http://"));
    let address = line.trim_start_matches("http://").trim_end_matches('/');
    (running, address.to_owned())
}

/// What the page is told next.
fn news(address: &str) -> Value {
    let answer = send(address, "GET", "/live", "", "");
    let mut lines = answer.lines().map(Result::unwrap);
    let data = lines.find_map(|line| line.strip_prefix("data:").map(str::to_owned));
    serde_json::from_str(&data.unwrap()).unwrap()
}

#[test]
fn the_page_is_whole_in_itself_and_is_told_of_everything() {
    let (_running, address) = dashboard();
    let (status, page) = ask(&address, "GET", "/", "", "");
    assert_eq!(status, 200);
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "needs nothing from outside"
    );
    let first = news(&address);
    assert_eq!(first["status"]["workers"].as_array().unwrap().len(), 4);
    assert!(first["status"]["settled"]["outputs"].as_u64().unwrap() > 0);
    assert!(!first["log"].as_array().unwrap().is_empty());
}

#[test]
fn buttons_steer_the_service_and_nobody_else_does() {
    let (_running, address) = dashboard();
    let press = |path: &str, headers: &str| ask(&address, "POST", path, headers, "").0;
    // Another page in the same browser cannot send our header without being asked first.
    assert_eq!(press("/pause", ""), 403);
    assert_eq!(
        press("/pause", &format!("host: example.org\r\n{OURS}")),
        403
    );
    assert_eq!(
        ask(&address, "GET", "/", "host: example.org\r\n", "").0,
        403
    );
    assert_eq!(
        (press("/nonsense", OURS), press("/kill/77", OURS)),
        (404, 404)
    );
    assert_eq!(news(&address)["paused"], Value::Bool(false));
    assert_eq!(press("/pause", OURS), 204);
    assert_eq!(news(&address)["paused"], Value::Bool(true));
    assert_eq!((press("/resume", OURS), press("/add", OURS)), (204, 204));
    assert_eq!(
        (press("/remove/4", OURS), press("/kill/0", OURS)),
        (204, 204)
    );
    let ids = |news: &Value| -> Vec<u64> {
        let workers = news["status"]["workers"].as_array().unwrap().iter();
        workers
            .map(|worker| worker["id"].as_u64().unwrap())
            .collect()
    };
    while ids(&news(&address)) != [1, 2, 3, 5] {}
    assert_eq!(
        news(&address)["status"]["settled"]["worker_lost"]
            .as_u64()
            .map(|lost| lost <= 1),
        Some(true)
    );
}

#[test]
fn in_a_browser_figures_change_buttons_work_and_a_phone_can_show_it() {
    let Some(browser) = Browser::open(1000, 1200) else {
        return;
    };
    let (_running, address) = dashboard();
    browser.go(&format!("http://{address}/"));
    let cards = "document.querySelectorAll('.worker')";
    browser.wait_until(&format!(
        "{cards}.length === 4 && Number(at('throughput').textContent) > 0"
    ));
    browser.wait_until("at('state').textContent === 'working'");
    // Long enough for a line in the chart.
    browser.wait_until("rates.length > 6 && document.querySelector('.bar i').style.width !== '0%'");
    browser.picture("wide");

    let press = |button: &str| {
        browser.run(&format!("document.querySelector(\"{button}\").click()"));
    };
    press("#pause");
    browser.wait_until("at('state').textContent === 'paused' && at('pause').disabled");
    press("#resume");
    browser.wait_until("at('state').textContent === 'working' && at('resume').disabled");
    press("#add");
    browser.wait_until(&format!("{cards}.length === 5"));
    press("[data-worker='4'] .remove");
    browser.wait_until(&format!("{cards}.length === 4"));
    press("[data-worker='1'] .kill");
    browser.wait_until(
        "document.querySelector(\"[data-worker='5'] .name\")?.textContent === 'shop-1'",
    );
    browser.wait_until("!document.querySelector(\"[data-worker='1']\")");
    browser.wait_until("/shop-1 lost/.test(at('log').textContent) || log.length > 0");

    browser.resize(390, 844);
    browser.wait_until("innerWidth === 390");
    browser.wait_until("document.documentElement.scrollWidth <= 390");
    let small =
        "[...document.querySelectorAll('button')].filter(b => b.offsetHeight < 40).length === 0";
    browser.wait_until(small);
    browser.picture("phone");
    assert_eq!(browser.complaints(), Value::Array(Vec::new()));
}
