//! Nothing is left behind: no process, no zombie, no descriptor.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use parallel_workers::ProcessorService;
use parallel_workers::process::{Child, serve};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::json;

use crate::door::Door;
use crate::worker::{Answer, Task, Worker, processes, quiet, start, start_with};

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// Waits until a process has ended.
pub(crate) fn wait_for_end(id: u32) {
    match pidfd_open(pid(id), PidfdFlags::empty()) {
        Ok(process) => {
            poll(&mut [PollFd::new(&process, PollFlags::IN)], None).unwrap();
        }
        Err(error) => assert_eq!(error, Errno::SRCH),
    }
}

/// Plays a program with two children, one of which is busy for ever; and the children of that.
pub(crate) fn play() {
    if std::env::args().nth(1).as_deref() != Some("--parent") {
        return;
    }
    // Its children are this program with no arguments.
    serve(Worker::default);
    let door = Door::new();
    let service = start(2);
    let _busy = service.queue_request(Task::Knock {
        door: door.port,
        number: 1,
    });
    door.wait_for(1, 1);
    for id in processes(&service) {
        println!("{id}");
    }
    loop {
        std::thread::park();
    }
}

pub(crate) fn children_end_when_their_parent_is_killed() {
    let mut parent = Command::new(std::env::current_exe().unwrap());
    let mut parent = parent
        .arg("--parent")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let children: Vec<u32> = lines
        .take(2)
        .map(|line| line.unwrap().parse().unwrap())
        .collect();
    kill_process(pid(parent.id()), Signal::KILL).unwrap();
    parent.wait().unwrap();
    children.into_iter().for_each(wait_for_end);
}

pub(crate) fn a_child_ends_with_its_workers_thread_though_its_pipes_are_open() {
    let start = || quiet(Child::<Worker>::this_program()).start().unwrap();
    // Whoever joins the thread has all pipes: nothing but the thread's end can tell the child.
    let child = std::thread::spawn(start).join().unwrap();
    wait_for_end(child.id());
    drop(child);
}

pub(crate) fn a_busy_child_ends_with_its_input_though_its_parent_lives() {
    let door = Door::new();
    // Started by hand, on this thread: it goes on until the test is over.
    let told = format!("json {}", std::process::id());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env("PARALLEL_WORKERS_CHILD", told)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let hello = json!({ "version": 1, "worker": "by-hand", "id": 0, "limit": 1_000 });
    writeln!(stdin, "{}", json!({ "hello": hello })).unwrap();
    assert!(said.next().unwrap().unwrap().contains("hello"));
    let task = Task::Knock {
        door: door.port,
        number: 1,
    };
    let request = json!({ "id": 1, "attempt": 1, "request": task });
    writeln!(stdin, "{request}").unwrap();
    door.wait_for(1, 1);
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(said.next().is_none());
}

/// The pipes that a process has. `None`: it has ended.
fn pipes(id: u32) -> Option<BTreeSet<String>> {
    let folder = format!("/proc/{id}/fd");
    let all = std::fs::read_dir(folder).ok()?;
    let targets = all.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let targets = targets.map(|target| target.to_string_lossy().into_owned());
    let pipes = targets.filter(|target| target.starts_with("pipe:"));
    Some(pipes.collect())
}

/// Runs this program in a role of its own, for in this process others come and go.
fn play_alone(arguments: &[&str]) {
    let own = std::env::current_exe().unwrap();
    let status = Command::new(own).args(arguments).status().unwrap();
    assert!(status.success(), "{status}");
}

pub(crate) fn children_have_no_pipes_of_each_other() {
    play_alone(&["--pipes"]);
}

/// Compares the pipes of three children.
fn play_pipes() -> ! {
    // What whoever started this program has let it have, they have too.
    let inherited = pipes(std::process::id()).unwrap();
    let service = start(3);
    // Started one after another, and once more while the others live.
    let end = Task::EndRunning(crate::worker::How::Kill);
    assert!(service.queue_request(end).wait().is_err());
    let own = loop {
        let own = processes(&service).into_iter().map(pipes);
        let own = own.flatten().map(|all| &all - &inherited);
        let own: Vec<_> = own.filter(|one| one.len() >= 3).collect();
        if own.len() == 3 {
            break own;
        }
    };
    for (index, one) in own.iter().enumerate() {
        for other in &own[index + 1..] {
            assert!(one.is_disjoint(other), "{own:?}");
        }
    }
    drop(service);
    std::process::exit(0);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Children of this process, dead or alive.
fn children() -> usize {
    let own = std::process::id();
    let path = format!("/proc/{own}/task");
    let tasks = std::fs::read_dir(path).unwrap();
    let children = tasks.map(|task| {
        // A thread that has ended meanwhile has none.
        let of = std::fs::read_to_string(task.unwrap().path().join("children"));
        of.map_or(0, |children| children.split_whitespace().count())
    });
    children.sum()
}

/// `KILLS=10000` for more.
pub(crate) fn kills_leave_no_descriptor_and_no_process() {
    let kills = std::env::var("KILLS").unwrap_or_else(|_| "200".to_owned());
    play_alone(&["--kills", &kills]);
}

/// Plays those that are alone.
pub(crate) fn play_part() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [part] if part == "--pipes" => play_pipes(),
        [part] if part == "--prints" => play_prints(),
        [part, kills] if part == "--kills" => play_kills(kills.parse().unwrap()),
        _ => {}
    }
}

/// Kills one child after another, each when it has been started.
fn play_kills(kills: usize) -> ! {
    crate::support::limit_time();
    let service = start(2);
    let count = |service: &crate::worker::Service| {
        while processes(service).len() < 2 || children() > 2 {
            std::thread::yield_now();
        }
        descriptors()
    };
    let before = count(&service);
    for kill in 0..kills {
        let started = loop {
            let mut workers = service.workers().into_iter();
            match workers.find(|worker| worker.process.is_some()) {
                Some(worker) => break worker.id,
                None => std::thread::yield_now(),
            }
        };
        service.worker(started).unwrap().kill().unwrap();
        if kill % 10 == 0 {
            assert!(
                service
                    .queue_request(Task::Echo(kill as u64))
                    .wait()
                    .is_ok()
            );
        }
    }
    // Threads of killed workers end a moment later.
    while count(&service) > before {
        std::thread::yield_now();
    }
    service.stop();
    assert_eq!(children(), 0);
    std::process::exit(0);
}

pub(crate) fn a_stop_finishes_what_is_queued_and_drops_the_processor() {
    let door = Door::new();
    door.open();
    let service = start(2);
    let children = processes(&service);
    let at_the_end = |number| Task::KnockAtTheEnd {
        door: door.port,
        number,
    };
    let workers = service.workers().into_iter();
    let workers = workers.filter_map(|worker| service.worker(worker.id));
    let ends = (0..)
        .zip(workers)
        .map(|(number, worker)| worker.assign(at_the_end(number)));
    let ends: Vec<_> = ends.collect();
    let echoes = service.queue_requests((0..1_000).map(Task::Echo));
    service.stop();
    assert!(
        ends.iter()
            .all(|promise| promise.try_result().is_some_and(|one| one.is_ok()))
    );
    assert!(
        echoes
            .wait_for_all()
            .iter()
            .all(|promise| promise.wait().is_ok())
    );
    assert_eq!((door.times(0), door.times(1)), (1, 1));
    for child in children {
        assert!(!std::path::Path::new(&format!("/proc/{child}")).exists());
    }
}

pub(crate) fn a_child_that_does_not_end_when_it_should_is_killed() {
    let door = Door::new();
    let service = start_with(1, |child| {
        child.stop_timeout(std::time::Duration::from_millis(100))
    });
    let child = processes(&service)[0];
    // Its processor is dropped, and stands at the door then.
    let standing = service.queue_request(Task::KnockAtTheEnd {
        door: door.port,
        number: 1,
    });
    assert!(standing.wait().is_ok());
    service.stop();
    assert_eq!(door.times(1), 1);
    assert!(!std::path::Path::new(&format!("/proc/{child}")).exists());
}

pub(crate) fn what_a_child_had_started_ends_with_it() {
    let service = start(1);
    let started = |task: &parallel_workers::Promise<Task, Answer>| match task.wait() {
        Ok(Answer::Number(id)) => u32::try_from(*id).unwrap(),
        other => panic!("{other:?}"),
    };
    let first = started(&service.queue_request(Task::Start));
    service
        .worker(service.workers()[0].id)
        .unwrap()
        .kill()
        .unwrap();
    wait_for_end(first);
    let second = started(&service.queue_request(Task::Start));
    assert!(
        service
            .queue_request(Task::EndRunning(crate::worker::How::Exit(0)))
            .wait()
            .is_err()
    );
    wait_for_end(second);
    let third = started(&service.queue_request(Task::Start));
    service.stop();
    wait_for_end(third);
}

pub(crate) fn what_is_printed_is_passed_on_with_the_workers_name() {
    const LINES: usize = 50_000;
    let (sender, lines) = mpsc::channel();
    let service = start_with(1, move |child| {
        let sender = sender.clone();
        child.on_stderr(move |worker, line| {
            let _ = sender.send((worker.to_owned(), line.to_owned()));
        })
    });
    assert!(service.queue_request(Task::Print(LINES)).wait().is_ok());
    assert!(
        service
            .queue_request(Task::Panic("too much".to_owned()))
            .wait()
            .is_err()
    );
    service.stop();
    for number in 0..LINES {
        let expected = ("child-0".to_owned(), format!("line {number}"));
        assert_eq!(lines.recv().unwrap(), expected);
    }
    assert!(lines.iter().any(|(_, line)| line.contains("too much")));
}

/// Has a child print, where nobody has said what is done with that.
fn play_prints() -> ! {
    let service = ProcessorService::builder()
        .workers(2)
        .name("printer")
        .try_start(|| Child::<Worker>::this_program().start())
        .unwrap();
    let second = service.worker_named("printer-1").unwrap();
    assert!(second.assign(Task::Print(2)).wait().is_ok());
    service.stop();
    std::process::exit(0);
}

pub(crate) fn what_is_printed_goes_to_standard_error_with_the_workers_name() {
    let own = std::env::current_exe().unwrap();
    let output = Command::new(own).arg("--prints").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let lines = said.lines().filter(|line| line.starts_with("printer-1"));
    assert!(
        lines.eq(["printer-1: line 0", "printer-1: line 1"]),
        "{said}"
    );
    assert!(output.stdout.is_empty());
}
