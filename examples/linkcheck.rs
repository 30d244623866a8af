//! Checks every link in a folder of HTML pages: by default the documentation of the Rust toolchain.
//!
//! `cargo run --release --example linkcheck -- [--no-fragments] [--workers N] [--processes] [--json] [FOLDER ...]`
//!
//! ```text
//! /home/me/site
//!   about.html: team.html: no such file
//!   index.html: about.html#history: no such anchor
//! 48625 pages, 5105637 links (94243 external), 2 broken
//! 2153541 requests queued, 2101593 of them shared; 3.1 s, 251 MB/s
//! ```
//!
//! A request is a page to read, its output what is on the page. Every page is queued by whoever links to it, and read
//! once: equal requests share one run (`Share::WhileHeld`). Exit status: 0 if all is well, 1 if links are broken, 2 if
//! a folder cannot be read.
//!
//! Links to other sites are counted; those that begin with the prefix after `--external` are fetched, too, which takes
//! the feature `tokio`: each address once, many at a time, at most `--per-host` of them from one host.
//!
//! `cargo run --release --features tokio --example linkcheck -- --external https://docs.rs/`
//!
//! With `--processes`, which takes the feature `process`, each worker has its pages read by a child process, this program
//! again: the report is the same.
//!
//! `cargo run --release --features process --example linkcheck -- --processes`
//!
//! With `--nats URL`, which takes the feature `nats`, pages are read by this program wherever it runs with `--serve` besides and
//! the same folders: on as many machines as have them, at the same place. The report is the same. A page of more links than fit
//! into a message of the server's (1 MiB, unless `max_payload` in its configuration says otherwise) cannot be read so.
//!
//! ```text
//! cargo run --release --features nats --example linkcheck -- --nats nats://127.0.0.1:4222 --serve
//! cargo run --release --features nats --example linkcheck -- --nats nats://127.0.0.1:4222
//! ```

#[path = "linkcheck/check.rs"]
mod check;
#[path = "linkcheck/cluster.rs"]
mod cluster;
#[path = "linkcheck/external.rs"]
mod external;
#[cfg(feature = "tokio")]
#[path = "linkcheck/fetch.rs"]
mod fetch;
#[path = "linkcheck/page.rs"]
mod page;
#[path = "linkcheck/processes.rs"]
mod processes;
#[path = "linkcheck/resolve.rs"]
mod resolve;
#[path = "linkcheck/scan.rs"]
mod scan;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use check::{Job, Readers, Report, check};
use external::Terms;

/// Checks every link in folders of HTML pages.
#[derive(Parser)]
struct Arguments {
    /// The folders; by default the documentation of the Rust toolchain
    folders: Vec<PathBuf>,
    /// Look at files only, not at the places on them that links name
    #[arg(long)]
    no_fragments: bool,
    /// How many workers read pages; by default one for each core
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Read pages in child processes, one for each worker; needs the feature `process`
    #[arg(long)]
    processes: bool,
    /// Have pages read by those who serve through these NATS servers; needs the feature `nats`
    #[arg(long, value_name = "URL", conflicts_with = "processes")]
    nats: Option<String>,
    /// Check nothing, but read pages for whoever checks these folders, until Ctrl-C
    #[arg(long, requires = "nats")]
    serve: bool,
    /// Fetch links to other sites that begin with this; needs the feature `tokio`
    #[arg(long, value_name = "URL-PREFIX")]
    external: Option<String>,
    /// How many addresses are fetched from one host at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    per_host: u16,
    /// For how many seconds an address is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    timeout: f64,
    /// Print one line of JSON instead of text
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    // First of all: a child has arguments of its own, and what is printed would be taken for a message.
    processes::serve();
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprint!("linkcheck: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::from(2)
        }
    }
}

/// Checks all folders, and says how many links are broken.
fn run(arguments: &Arguments) -> Result<usize, Box<dyn Error>> {
    let folders = match &arguments.folders[..] {
        [] => vec![default_folder()],
        folders => folders.to_vec(),
    };
    if let Some(missing) = folders.iter().find(|folder| !folder.is_dir()) {
        return Err(format!("{} is no folder", missing.display()).into());
    }
    let jobs: Vec<Job> = folders
        .into_iter()
        .map(|root| job(arguments, root))
        .collect();
    if let (Some(servers), true) = (&arguments.nats, arguments.serve) {
        let scopes = jobs.iter().map(Job::scope).collect();
        cluster::serve(servers, scopes, workers(arguments))?;
        return Ok(0);
    }
    let mut broken = 0;
    for job in jobs {
        let bar = progress_bar();
        let report = check(&job, &bar)?;
        bar.finish_and_clear();
        broken += report.broken.len();
        // A reader that has gone away wants no more.
        let _ = if arguments.json {
            print_json(&job.root, &report)
        } else {
            print(&job.root, &report)
        };
    }
    Ok(broken)
}

fn job(arguments: &Arguments, root: PathBuf) -> Job {
    Job {
        root,
        has_fragments: !arguments.no_fragments,
        workers: workers(arguments),
        readers: match &arguments.nats {
            Some(servers) => Readers::Cluster(servers.clone()),
            None if arguments.processes => Readers::Processes,
            None => Readers::Threads,
        },
        external: arguments.external.clone().map(|prefix| Terms {
            prefix,
            per_host: arguments.per_host.into(),
            timeout: Duration::from_secs_f64(arguments.timeout),
        }),
    }
}

fn workers(arguments: &Arguments) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    arguments.workers.unwrap_or_else(cores)
}

fn seconds(argument: &str) -> Result<f64, String> {
    let seconds = argument.parse().map_err(|error| format!("{error}"))?;
    let is_fine = Duration::try_from_secs_f64(seconds).is_ok_and(|timeout| !timeout.is_zero());
    is_fine
        .then_some(seconds)
        .ok_or_else(|| "not a time to wait for".to_owned())
}

/// The toolchain's documentation, or a small site where there is none.
fn default_folder() -> PathBuf {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .ok();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let documentation = sysroot.map(|sysroot| Path::new(&sysroot).join("share/doc/rust/html"));
    match documentation.filter(|folder| folder.is_dir()) {
        Some(folder) => folder,
        None => {
            eprintln!(
                "linkcheck: the Rust toolchain has no documentation here; checking a small site"
            );
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/site")
        }
    }
}

/// On a terminal; hidden in a pipe.
fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} pages {elapsed}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(root: &Path, report: &Report) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{}", root.display())?;
    for broken in &report.broken {
        writeln!(out, "  {}: {}: {}", broken.page, broken.link, broken.why)?;
    }
    let Report {
        pages,
        links,
        external,
        fetched,
        bytes,
        queued,
        shared,
        ..
    } = report;
    let fetched = match fetched {
        0 => String::new(),
        fetched => format!(", {fetched} addresses fetched"),
    };
    writeln!(
        out,
        "{pages} pages, {links} links ({external} external{fetched}), {} broken",
        report.broken.len()
    )?;
    let seconds = report.elapsed.as_secs_f64();
    let speed = *bytes as f64 / 1e6 / seconds;
    writeln!(
        out,
        "{queued} requests queued, {shared} of them shared; {seconds:.1} s, {speed:.0} MB/s"
    )?;
    out.flush()
}

fn print_json(root: &Path, report: &Report) -> io::Result<()> {
    let broken: Vec<_> = report
        .broken
        .iter()
        .map(|one| serde_json::json!({ "page": one.page, "link": one.link, "why": one.why.to_string() }))
        .collect();
    let object = serde_json::json!({
        "folder": root.display().to_string(),
        "pages": report.pages,
        "links": report.links,
        "external": report.external,
        "fetched": report.fetched,
        "bytes": report.bytes,
        "queued": report.queued,
        "shared": report.shared,
        "seconds": report.elapsed.as_secs_f64(),
        "broken": broken,
    });
    writeln!(io::stdout().lock(), "{object}")
}
