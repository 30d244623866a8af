//! What a child has been sent and has not begun is as good as queued; what it runs can be ended.

use std::sync::mpsc;
use std::time::Duration;

use parallel_workers::process::Child;
use parallel_workers::{Abort, Context, Failure, Loss, Processor, ProcessorService, State};
use rustix::process::{Pid, Signal, kill_process};

use crate::door::Door;
use crate::raw::{self, Triples, UNLUCKY};
use crate::worker::{Answer, Task, Worker, processes, quiet, start, start_with, warm_up};

fn knock(door: &Door, number: u64) -> Task {
    let door = door.port;
    Task::Knock { door, number }
}

/// A service of one worker whose child stands at a door, and ten requests behind that, which knock at another one, that is
/// open.
macro_rules! with_slow_request {
    ($door:ident, $open:ident, $service:ident, $slow:ident, $others:ident, $options:expr) => {
        let ($door, $open) = (Door::new(), Door::new());
        $open.open();
        let $service = start_with(1, $options);
        warm_up(&$service);
        let $slow = $service.queue_request(knock(&$door, 0));
        let $others = (1..=10).map(|number| $service.queue_request(knock(&$open, number)));
        let $others: Vec<_> = $others.collect();
        $door.wait_for(0, 1);
    };
}

fn each_began_once(door: &Door, open: &Door) -> bool {
    door.times(0) == 1 && (1..=10).all(|number| open.times(number) == 1)
}

pub(crate) fn what_waits_behind_a_slow_request_goes_to_an_idle_worker() {
    with_slow_request!(door, open, service, slow, others, |child| child);
    service.add_workers(1).unwrap();
    for promise in &others {
        assert!(promise.wait().is_ok(), "{promise:?}");
    }
    assert_eq!(slow.state(), State::Running);
    door.let_in(0);
    assert!(slow.wait().is_ok());
    assert!(each_began_once(&door, &open));
}

pub(crate) fn what_waits_behind_a_slow_request_can_be_aborted() {
    with_slow_request!(door, open, service, slow, others, |child| child);
    // It comes back within some milliseconds.
    while service.status().queued < 10 {
        std::thread::yield_now();
    }
    assert!(
        others
            .iter()
            .all(|promise| promise.state() == State::Queued)
    );
    assert_eq!(others[4].abort(), Abort::Aborted);
    assert_eq!(others[4].try_result(), Some(Err(Failure::Aborted)));
    door.open();
    for (number, promise) in (1..).zip(&others) {
        assert_eq!(promise.wait().is_ok(), number != 5);
        assert_eq!(open.times(number), usize::from(number != 5), "{number}");
    }
    assert!(slow.wait().is_ok());
}

pub(crate) fn what_is_not_to_be_sent_ahead_is_queued_and_can_be_aborted() {
    for most in [1, 3] {
        let door = Door::new();
        let port = door.port.to_string();
        let child = move || {
            let mut command = raw::command("ahead");
            command.args(["door", &port]);
            Child::<Triples>::command(command)
                .json()
                .window(most)
                .start()
        };
        let builder = ProcessorService::builder().workers(1);
        let service = builder.try_start(child).unwrap();
        // Requests are short, it turns out: many would be sent ahead.
        service.queue_requests(100..1_000).wait_for_all();
        service.pause();
        let slow = service.queue_request(UNLUCKY);
        let others: Vec<_> = (20..30).map(|n| service.queue_request(n)).collect();
        service.resume();
        // What is to be sent with it has been taken by then, and this child gives nothing back while it stands there.
        door.wait_for(UNLUCKY, 1);
        let (ahead, waiting) = others.split_at(most - 1);
        assert!(
            waiting
                .iter()
                .all(|promise| promise.state() == State::Queued)
        );
        assert_eq!(waiting[0].abort(), Abort::Aborted);
        assert_eq!(waiting[0].try_result(), Some(Err(Failure::Aborted)));
        door.open();
        for promise in [&slow].into_iter().chain(ahead).chain(&waiting[1..]) {
            assert_eq!(promise.wait(), Ok(&(promise.request() * 3)));
        }
    }
}

pub(crate) fn a_kill_costs_what_runs_and_nothing_that_waits() {
    with_slow_request!(door, open, service, slow, others, |child| child);
    let killed = processes(&service)[0];
    let worker = service.worker(service.workers()[0].id).unwrap();
    worker.kill().unwrap();
    let lost = Failure::WorkerLost(Loss::Killed);
    assert_eq!(slow.try_result(), Some(Err(lost)));
    door.open();
    for promise in &others {
        assert!(promise.wait().is_ok(), "{promise:?}");
    }
    assert!(each_began_once(&door, &open));
    assert_ne!(processes(&service), [killed]);
    assert!(!std::path::Path::new(&format!("/proc/{killed}")).exists());
}

pub(crate) fn a_child_learns_that_nobody_wants_its_output() {
    let door = Door::new();
    let service = start(1);
    let task = Task::UntilCancelled {
        door: door.port,
        number: 1,
    };
    let promise = service.queue_request(task);
    door.wait_for(1, 1);
    door.open();
    // It may not have been let in yet, or wait already.
    assert_eq!(promise.abort(), Abort::Running);
    door.wait_for(2, 1);
    assert!(promise.wait().is_ok());
    // The next one is wanted.
    let task = Task::UntilCancelled {
        door: door.port,
        number: 3,
    };
    let promise = service.queue_request(task);
    door.wait_for(3, 1);
    assert_eq!(door.times(4), 0);
    assert_eq!(promise.abort(), Abort::Running);
    door.wait_for(4, 1);
}

pub(crate) fn an_unwanted_request_is_ended_with_its_child_where_that_is_asked_for() {
    with_slow_request!(door, open, service, slow, others, |child| child
        .kill_on_abort(true));
    assert_eq!(slow.abort(), Abort::Running);
    assert_eq!(slow.wait(), Err(Failure::Aborted));
    door.open();
    for promise in &others {
        assert!(promise.wait().is_ok(), "{promise:?}");
    }
    assert!(each_began_once(&door, &open));
    assert_eq!(service.status().settled.aborted, 1);
}

pub(crate) fn a_request_that_takes_too_long_is_ended_with_its_child() {
    with_slow_request!(door, open, service, slow, others, |child| {
        child.timeout(Duration::from_secs(1))
    });
    assert_eq!(slow.wait(), Err(Failure::WorkerLost(Loss::TimedOut)));
    door.open();
    for promise in &others {
        assert!(promise.wait().is_ok(), "{promise:?}");
    }
    assert!(each_began_once(&door, &open));
}

fn is_stopped(process: Pid) -> bool {
    let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
    let mut tasks = std::fs::read_dir(tasks).unwrap();
    tasks.all(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        stat.contains(") T ")
    })
}

pub(crate) fn a_stopped_process_is_ended_when_the_time_is_up() {
    let service = start_with(1, |child| child.timeout(Duration::from_millis(500)));
    let id = Pid::from_raw(i32::try_from(processes(&service)[0]).unwrap()).unwrap();
    kill_process(id, Signal::STOP).unwrap();
    // Its threads stop one after another.
    while !is_stopped(id) {
        std::thread::yield_now();
    }
    // It has not read the request, so another one may.
    assert!(service.queue_request(Task::Echo(1)).wait().is_ok());
    assert_eq!(service.status().workers[0].respawns, 1);
}

pub(crate) fn large_requests_and_large_answers_do_not_block_each_other() {
    let service = start(2);
    let text = |number: usize| format!("{number}").repeat(3_000_000);
    let all = service.queue_requests((0..8).map(|number| Task::Text(text(number))));
    all.wait_for_all_with(|promise| {
        let Task::Text(text) = promise.request() else {
            panic!("{promise:?}");
        };
        assert!(
            promise
                .wait()
                .is_ok_and(|answer| matches!(answer, Answer::Text(it) if it == text))
        );
    });
}

/// Counts what it hands on.
struct Counted(Child<Worker>, mpsc::Sender<()>);

impl Processor for Counted {
    type Request = Task;
    type Output = Answer;

    fn process(&mut self, task: &Task, context: &Context<'_>) -> Answer {
        self.1.send(()).unwrap();
        self.0.process(task, context)
    }
}

pub(crate) fn a_wrapped_child_answers_one_by_one() {
    let (sender, counted) = mpsc::channel();
    let child = move || {
        let child = quiet(Child::this_program()).start()?;
        Ok::<_, parallel_workers::process::ChildError>(Counted(child, sender.clone()))
    };
    let service = ProcessorService::builder()
        .workers(1)
        .try_start(child)
        .unwrap();
    let echoes = service.queue_requests((0..10).map(Task::Echo));
    echoes.wait_for_all_with(|promise| assert!(promise.wait().is_ok()));
    let panicked = service.queue_request(Task::Panic("too much".to_owned()));
    assert!(matches!(panicked.wait(), Err(Failure::Panicked(_))));
    let ended = service.queue_request(Task::EndRunning(crate::worker::How::Kill));
    let Err(Failure::Panicked(panic)) = ended.wait() else {
        panic!("{ended:?}");
    };
    assert!(panic.message().contains("SIGKILL"), "{panic}");
    assert!(service.queue_request(Task::Echo(10)).wait().is_ok());
    assert_eq!(counted.try_iter().count(), 13);
}

pub(crate) fn requests_that_are_queued_by_a_callback_are_processed() {
    let service = start(1);
    let (sender, settled) = mpsc::channel();
    let handle = service.handle();
    service.queue_request(Task::Echo(1)).on_settled(move |_| {
        let sender = sender.clone();
        let second = handle.queue_request(Task::Echo(2));
        second.on_settled(move |second| sender.send(second.wait().cloned()).unwrap());
    });
    assert_eq!(settled.recv().unwrap(), Ok(Answer::Number(2)));
}
