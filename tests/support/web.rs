//! As much of a web client as the tests of examples need: requests on loopback, one connection each.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A process that ends with the test.
pub struct Running(Child);

impl Running {
    /// Starts it, and reads what it prints up to the first line that `wanted` accepts.
    pub fn start(mut command: Command, wanted: impl Fn(&str) -> bool) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while printed.read_line(&mut line).unwrap() > 0 && !wanted(line.trim_end()) {
            line.clear();
        }
        assert!(!line.is_empty(), "{command:?} ended");
        // Read on, so that it is not held up by what nobody reads.
        std::thread::spawn(move || std::io::copy(&mut printed, &mut std::io::sink()));
        (Self(child), line.trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Sends a request to `host:port`, with headers and body, and gives the connection to read the answer from.
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    let host = if headers.contains("host:") {
        String::new()
    } else {
        format!("host: {address}\r\n")
    };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\n{host}{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    BufReader::new(stream)
}

/// The status of an answer and its body.
pub fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut answer = send(address, method, path, headers, body);
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = None;
    loop {
        line.clear();
        answer.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = Some(value.trim().parse().unwrap());
            }
            Some(_) => {}
        }
    }
    let mut body = Vec::new();
    match length {
        Some(length) => answer.take(length).read_to_end(&mut body),
        None => answer.read_to_end(&mut body),
    }
    .unwrap();
    (status, String::from_utf8(body).unwrap())
}

/// Debian's Chromium, steered through its driver.
pub struct Browser {
    address: String,
    session: String,
    _driver: Running,
    _profile: tempfile::TempDir,
}

fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&paths).map(|folder| folder.join(program));
    programs.find(|path| path.is_file())
}

impl Browser {
    /// A window of so many pixels. `None` where there is no browser, unless `REQUIRE_BROWSER` is set: then the test
    /// fails.
    pub fn open(width: u32, height: u32) -> Option<Self> {
        let (Some(driver), Some(_)) = (find("chromedriver"), find("chromium")) else {
            let required = std::env::var_os("REQUIRE_BROWSER").is_some();
            assert!(!required, "install chromium and chromium-driver");
            eprintln!("no chromium and chromedriver here: not tested in a browser");
            return None;
        };
        let mut command = Command::new(driver);
        command.arg("--port=0").stderr(Stdio::null());
        let (driver, line) = Running::start(command, |line| line.contains("successfully on port"));
        let port = line.trim_end_matches('.').rsplit(' ').next().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            format!("--window-size={width},{height}"),
        ];
        let mut browser = Self {
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _driver: driver,
            _profile: profile,
        };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let session = browser.post("/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, &body.to_string())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let headers = "content-type: application/json\r\n";
        let (status, answer) = ask(&self.address, method, path, headers, body);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        answer["value"].clone()
    }

    pub fn go(&self, url: &str) {
        self.post(&format!("{}/url", self.session), &json!({ "url": url }));
    }

    /// What a script gives.
    pub fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post(&format!("{}/execute/sync", self.session), &body)
    }

    /// Asks until it is so; the clock of the test binary ends a wait that hangs.
    pub fn wait_until(&self, condition: &str) {
        while self.run(&format!("return Boolean({condition})")) != json!(true) {}
    }

    /// Emulates a screen of so many points, as a phone has it.
    pub fn resize(&self, width: u32, height: u32) {
        let body = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 2, "mobile": true,
        }});
        self.post(&format!("{}/goog/cdp/execute", self.session), &body);
    }

    /// Keeps a picture of the page, if `SCREENSHOTS` names a folder for it, as the driver gives it: in Base64.
    pub fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("SCREENSHOTS") {
            let picture = self.ask("GET", &format!("{}/screenshot", self.session), "");
            let path = PathBuf::from(folder).join(format!("{name}.png.base64"));
            std::fs::write(path, picture.as_str().unwrap()).unwrap();
        }
    }

    /// What the page complained about.
    pub fn complaints(&self) -> Value {
        let path = format!("{}/se/log", self.session);
        self.post(&path, &json!({"type": "browser"}))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.ask("DELETE", &self.session, "");
    }
}
