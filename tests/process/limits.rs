//! How much a child may do, have and say; and what is known of it.

use parallel_workers::{Failure, Loss};

use crate::worker::{Answer, Service, Task, Unreadable, processes, start, start_with};

fn process_of(service: &Service) -> u64 {
    match service.queue_request(Task::ProcessId).wait() {
        Ok(Answer::Number(id)) => *id,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_child_is_replaced_after_so_many_requests() {
    for most in 1..=3 {
        let service = start_with(2, move |child| child.recycle_after(most));
        let echoes = service.queue_requests((0..40).map(Task::Echo));
        echoes.wait_for_all_with(|promise| assert!(promise.wait().is_ok(), "{promise:?}"));
        // The last one may not have been made yet.
        let status = service.status();
        assert!(status.respawns() + 2 >= 40 / most, "{status}");
        let rest = service.queue_requests((40..60).map(Task::Echo));
        service.stop();
        rest.wait_for_all_with(|promise| assert!(promise.wait().is_ok(), "{promise:?}"));
    }
}

pub(crate) fn a_child_that_has_grown_is_replaced() {
    let service = start_with(1, |child| child.recycle_above(100 << 20));
    let before = process_of(&service);
    assert_eq!(process_of(&service), before);
    assert!(service.queue_request(Task::Keep(200 << 20)).wait().is_ok());
    // It is looked at now and then.
    while process_of(&service) == before {
        std::thread::yield_now();
    }
}

pub(crate) fn a_child_gets_no_more_memory_than_it_may() {
    let service = start_with(1, |child| child.memory_limit(100 << 20));
    assert!(service.queue_request(Task::Keep(50 << 20)).wait().is_ok());
    let lost = service.queue_request(Task::Keep(200 << 20));
    let Err(Failure::WorkerLost(loss @ Loss::Ended(_))) = lost.wait() else {
        panic!("{lost:?}");
    };
    assert!(loss.to_string().contains("SIGABRT"), "{loss}");
    assert!(service.queue_request(Task::Echo(1)).wait().is_ok());
}

/// Why a request failed that its child did not process.
fn reason(service: &Service, task: Task) -> String {
    match service.queue_request(task).wait() {
        Err(Failure::Panicked(panic)) => panic.message().to_owned(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn what_is_too_long_or_cannot_be_read_fails_alone() {
    let service = start_with(1, |child| child.frame_limit(10_000));
    let process = process_of(&service);
    let long = Task::Text("x".repeat(65 << 20));
    let said = reason(&service, long);
    assert!(
        said.starts_with("the request cannot be sent to the worker"),
        "{said}"
    );
    assert!(said.contains("reads no more than 67108864"), "{said}");
    let said = reason(&service, Task::Long(10_000));
    assert!(
        said.starts_with("the worker cannot send the output"),
        "{said}"
    );
    assert!(said.contains("reads no more than 10000"), "{said}");
    let said = reason(&service, Task::UnreadableRequest(Unreadable(0)));
    assert!(
        said.starts_with("the worker cannot decode the request"),
        "{said}"
    );
    let said = reason(&service, Task::UnreadableAnswer);
    assert!(
        said.starts_with("the worker's output cannot be decoded"),
        "{said}"
    );
    // A reason that is too long itself.
    let said = reason(&service, Task::Panic("x".repeat(20_000)));
    assert!(said.contains("too long to be sent"), "{said}");
    assert_eq!(process_of(&service), process);
}

pub(crate) fn the_status_tells_of_the_process() {
    let service = start(2);
    let one = process_of(&service);
    assert!(processes(&service).iter().any(|id| u64::from(*id) == one));
    for worker in service.workers() {
        let process = worker.process.unwrap();
        assert!(process.cpu.is_some());
        assert!(process.memory.is_some_and(|bytes| bytes > 100_000));
    }
    let table = service.status().to_string();
    assert!(
        table.contains(" process ") && table.contains("MiB"),
        "{table}"
    );
    assert!(table.contains(&one.to_string()), "{table}");
}
