//! Python's task queues over Redis: Celery and arq, each in an environment of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::case::Contender;
use crate::cpu::Meter;
use crate::install;
use crate::load::{Error, Figures, Load};
use crate::program;
use crate::redis_server::RedisServer;
use crate::workers::Workers;

/// Slower by so much that they are given fewer requests.
const FEWER: u64 = 20;

type MakeWorkers = fn(&Queue, &Load) -> Vec<Command>;

struct Queue {
    name: &'static str,
    packages: &'static [&'static str],
    /// What its programs begin with.
    module: &'static str,
    workers: MakeWorkers,
    /// What the programs are told about this load.
    settings: fn(&Load) -> Vec<(&'static str, &'static str)>,
    /// Where its packages are.
    folder: PathBuf,
}

/// Celery and arq, if they are there or can be installed.
pub fn contenders() -> Vec<Contender> {
    if !program::is_there("python3") || !program::is_there("redis-server") {
        return Vec::new();
    }
    let queues = [celery(), arq()].into_iter().filter_map(|mut queue| {
        match install::python(queue.module, queue.packages) {
            Ok(folder) => queue.folder = folder,
            Err(error) => {
                eprintln!(
                    "{} cannot be installed, and is left out: {error}",
                    queue.name
                );
                return None;
            }
        }
        Some(Contender {
            name: queue.name,
            run: Box::new(move |load| queue.run(load)),
            fewer: FEWER,
            jobs: false,
        })
    });
    queues.collect()
}

/// One parent with as many child processes as there are to be workers.
fn celery() -> Queue {
    let workers: MakeWorkers = |queue, load| {
        let mut command = queue.python();
        command.args(["-m", "celery", "--quiet", "--app", "celery_app", "worker"]);
        command.args([
            "--pool",
            "prefork",
            "--concurrency",
            &load.workers.to_string(),
        ]);
        // What it would tell other hosts, and they it.
        command.args([
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]);
        command.args(["--loglevel", "ERROR"]);
        vec![command]
    };
    Queue {
        name: "Python, Celery",
        packages: &["celery[redis]==5.7.0", "hiredis==3.5.0"],
        module: "celery",
        workers,
        // Of 1, 4, 64 and 512, what was fastest.
        settings: |_| vec![("CLUSTER_PREFETCH", "64")],
        folder: PathBuf::new(),
    }
}

fn arq() -> Queue {
    let workers: MakeWorkers = |queue, load| {
        let command = || {
            let mut command = queue.python();
            command.arg("arq_worker.py");
            command
        };
        (0..load.workers).map(|_| command()).collect()
    };
    Queue {
        name: "Python, arq",
        packages: &["arq==0.28.0", "hiredis==3.5.0"],
        module: "arq",
        workers,
        // Who looks more often has more to do with looking than with requests, unless there is only one of them.
        settings: |load| match load.window {
            1 => vec![
                ("CLUSTER_WORKER_DELAY", "0.001"),
                ("CLUSTER_CALLER_DELAY", "0.001"),
            ],
            _ => vec![
                ("CLUSTER_WORKER_DELAY", "0.01"),
                ("CLUSTER_CALLER_DELAY", "0.1"),
            ],
        },
        folder: PathBuf::new(),
    }
}

impl Queue {
    fn python(&self) -> Command {
        let mut command = Command::new(self.folder.join("bin/python"));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        // Celery does not like to be run by root.
        command.env("PYTHONWARNINGS", "ignore");
        command
    }

    fn run(&self, load: &Load) -> Result<Figures, Error> {
        let redis = RedisServer::start()?;
        let settings = |mut command: Command| {
            command.env("CLUSTER_REDIS", &redis.url);
            command.envs((self.settings)(load));
            command
        };
        let workers = (self.workers)(self, load).into_iter().map(settings);
        let workers = Workers::start(workers.collect())?;
        let mut caller = settings(self.python());
        caller.arg(format!("{}_call.py", self.module));
        caller.args([
            load.warm_up().to_string(),
            load.requests.to_string(),
            load.window.to_string(),
        ]);
        call(caller, redis.id(), workers.ids())
    }
}

/// Runs who makes the requests, and reads what the cores do from where it says that it begins to where it ends.
fn call(mut caller: Command, server: u32, workers: Vec<u32>) -> Result<Figures, Error> {
    let mut caller = caller
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut answers = caller.stdin.take().ok_or("there is no pipe")?;
    let lines = BufReader::new(caller.stdout.take().ok_or("there is no pipe")?).lines();
    let meter = Meter {
        server,
        caller: caller.id(),
        workers,
    };
    let (mut before, mut figures) = (None, None);
    for line in lines {
        let (line, now) = (line?, meter.read()?);
        match line.strip_prefix("end ") {
            None => before = Some(now),
            Some(told) => {
                let mut read: Figures = parse(told).ok_or(line.clone())?;
                read.cpu = now - before.ok_or("it ends before it begins")?;
                figures = Some(read);
            }
        }
        writeln!(answers)?;
    }
    let status = caller.wait()?;
    figures.ok_or_else(|| format!("{status}, and no figures").into())
}

fn parse(told: &str) -> Option<Figures> {
    let mut words = told.split(' ');
    let sum = words.next()?.parse().ok()?;
    let mut seconds = words.map_while(|word| word.parse().ok());
    Some(Figures {
        sum,
        seconds: seconds.next()?,
        p50: seconds.next()?,
        p99: seconds.next()?,
        ..Figures::default()
    })
}
