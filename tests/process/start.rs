//! How children are started, and what comes of programs that are no workers.

use std::error::Error;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parallel_workers::process::{Child, ChildError, serve};
use parallel_workers::{Failure, Loss, ProcessorService, StartError};

use crate::raw::{self, Triples};
use crate::worker::{Answer, Service, Task, Worker, processes, quiet};

/// Plays a child that forgets to serve, or one that was started by a worker.
pub(crate) fn play() {
    match std::env::args().nth(1).as_deref() {
        Some("--forgets") => {
            let error = Child::<Worker>::this_program().start().unwrap_err();
            eprintln!("{error}");
            std::process::exit(9);
        }
        Some("--descendant") => {
            // The variable is there, and it is not for this process.
            serve(Worker::default);
            println!("{}", std::env::var("PARALLEL_WORKERS_CHILD").is_ok());
            std::process::exit(0);
        }
        _ => {}
    }
}

/// Why a program is no worker.
fn error_of(command: Command, timeout: Duration) -> ChildError {
    let child = Child::<Triples>::command(command).json();
    let started = child.start_timeout(timeout).on_stderr(|_, _| {}).start();
    started.unwrap_err()
}

pub(crate) fn what_is_no_worker_is_an_error_that_says_why() {
    let long = Duration::from_secs(20);
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    let error = error_of(Command::new("/nowhere/worker"), long);
    assert!(matches!(&error, ChildError::Spawn { program, .. } if program == "/nowhere/worker"));
    let error = error_of(shell("exit 7"), long);
    assert!(matches!(&error, ChildError::Ended { status, .. } if status.code() == Some(7)));
    let error = error_of(shell("sleep 1000"), Duration::from_millis(30));
    assert!(matches!(&error, ChildError::Silent { .. }), "{error}");
    let error = error_of(shell("echo hello; sleep 1000"), long);
    assert!(matches!(&error, ChildError::NoHello { .. }), "{error}");
    let error = error_of(raw::command("nothing"), long);
    assert!(error.to_string().contains("processes nothing"), "{error}");
    let error = error_of(raw::command("version"), long);
    assert!(
        matches!(
            error,
            ChildError::Version {
                theirs: 2,
                ours: 1,
                ..
            }
        ),
        "{error}"
    );

    // A service says which worker, and why.
    let child = || Child::<Triples>::command(Command::new("/nowhere/worker")).start();
    let started = ProcessorService::builder().workers(2).try_start(child);
    let Err(error @ StartError::Factory { .. }) = started else {
        panic!("{started:?}");
    };
    assert!(error.to_string().contains("worker-0"), "{error}");
    let source = error.source().unwrap().to_string();
    assert!(source.contains("/nowhere/worker"), "{source}");
}

pub(crate) fn a_child_that_does_not_serve_is_told_to() {
    let (sender, lines) = mpsc::channel();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--forgets");
    let child = Child::<Triples>::command(command).on_stderr(move |_, line| {
        sender.send(line.to_owned()).unwrap();
    });
    let error = child.start().unwrap_err();
    assert!(matches!(&error, ChildError::Ended { status, .. } if status.code() == Some(9)));
    let line = lines.recv().unwrap();
    assert!(
        line.contains("call `process::serve::<") && line.contains("Worker"),
        "{line}"
    );
}

pub(crate) fn a_program_that_has_gone_is_asked_for_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let (here, gone) = (folder.path().join("here"), folder.path().join("gone"));
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &here).unwrap();
    let program = here.clone();
    let child = move || quiet(Child::<Worker>::command(Command::new(&program))).start();
    let service = ProcessorService::builder()
        .workers(1)
        .try_start(child)
        .unwrap();
    std::fs::rename(&here, &gone).unwrap();
    let lost = service.queue_request(Task::EndRunning(crate::worker::How::Kill));
    assert!(matches!(
        lost.wait(),
        Err(Failure::WorkerLost(Loss::Ended(_)))
    ));
    // Nobody is left to process it, and after some failures that is said.
    let hopeless = service.queue_request(Task::Echo(1));
    assert_eq!(hopeless.wait(), Err(Failure::WorkerLost(Loss::NoProcessor)));
    std::fs::rename(&gone, &here).unwrap();
    // It is back within a second or so.
    let answer = loop {
        match service.queue_request(Task::Echo(2)).wait() {
            Err(Failure::WorkerLost(Loss::NoProcessor)) => {}
            other => break other.cloned(),
        }
    };
    assert_eq!(answer, Ok(Answer::Number(2)));
    assert_eq!(processes(&service).len(), 1);
}

/// The numbers that the children were started with, as arguments.
fn numbers(service: &Service) -> Vec<usize> {
    let lines = processes(service).into_iter();
    // One that has ended has no arguments.
    let lines = lines.filter_map(|id| std::fs::read_to_string(format!("/proc/{id}/cmdline")).ok());
    let numbers = lines.filter_map(|line| line.split('\0').nth(1)?.parse().ok());
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

pub(crate) fn a_command_is_made_for_each_child_when_it_starts() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let numbered = move || {
        let counted = Arc::clone(&counted);
        let command = move || {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let number = counted.fetch_add(1, Ordering::SeqCst);
            command.arg(number.to_string());
            command
        };
        quiet(Child::<Worker>::made_by(command))
    };
    drop(numbered());
    assert_eq!(made.load(Ordering::SeqCst), 0);
    let service = ProcessorService::builder()
        .workers(2)
        .try_start(move || numbered().start())
        .unwrap();
    assert_eq!(numbers(&service), [0, 1]);
    let end = Task::EndRunning(crate::worker::How::Kill);
    assert!(service.queue_request(end).wait().is_err());
    let numbers = loop {
        let numbers = numbers(&service);
        if numbers.len() == 2 && numbers != [0, 1] {
            break numbers;
        }
        std::thread::yield_now();
    };
    assert!(numbers == [0, 2] || numbers == [1, 2], "{numbers:?}");
    assert_eq!(made.load(Ordering::SeqCst), 3);
}

pub(crate) fn a_process_that_was_only_started_by_a_worker_is_none() {
    // As this process would be told, if it were a child of that of process 1.
    let own = std::env::current_exe().unwrap();
    let output = Command::new(own)
        .arg("--descendant")
        .env("PARALLEL_WORKERS_CHILD", "postcard 1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "true\n");
}
