//! Children that end: in every way, at every stage.

use parallel_workers::{Failure, Loss};

use crate::door::Door;
use crate::ends::wait_for_end;
use crate::worker::{Answer, EndsReader, How, Task, processes, start, start_with, warm_up};

fn number(number: u64) -> Result<Answer, Failure> {
    Ok(Answer::Number(number))
}

pub(crate) fn each_way_to_end_at_each_stage_costs_one_request_and_says_so() {
    let service = start(1);
    let mut number_of = 0;
    for how in How::ALL {
        let stages = [
            Task::EndDecoding(EndsReader(Some(how))),
            Task::EndRunning(how),
            Task::EndEncoding(how),
        ];
        for end in stages {
            let before = service.queue_request(Task::Echo(number_of));
            let lost = service.queue_request(end.clone());
            let after = service.queue_request(Task::Echo(number_of + 1));
            assert_eq!(before.wait().cloned(), number(number_of));
            assert_eq!(after.wait().cloned(), number(number_of + 1));
            let Err(Failure::WorkerLost(loss @ Loss::Ended(_))) = lost.wait() else {
                panic!("{end:?}: {lost:?}");
            };
            assert!(loss.to_string().contains(how.status()), "{end:?}: {loss}");
            number_of += 2;
        }
    }
    let status = service.status();
    assert_eq!(status.settled.worker_lost, 15);
    assert_eq!(
        (status.settled.outputs, status.workers[0].respawns),
        (30, 15)
    );
}

pub(crate) fn an_end_between_requests_costs_none() {
    let service = start(2);
    for round in 0..10 {
        let all = processes(&service);
        let ended = all[round % all.len()];
        let other = service.queue_request(Task::EndProcess(ended));
        // Whoever does it may be the one that is ended by it.
        assert!(matches!(other.wait(), Ok(_) | Err(Failure::WorkerLost(_))));
        // Until then it may begin another one.
        wait_for_end(ended);
        let echoes = service.queue_requests((0..20).map(Task::Echo));
        echoes.wait_for_all_with(|promise| assert!(promise.wait().is_ok(), "{promise:?}"));
    }
}

pub(crate) fn a_panic_arrives_with_message_and_location_and_the_child_lives_on() {
    let service = start(1);
    let before = service.queue_request(Task::ProcessId).wait().cloned();
    let panicked = service.queue_request(Task::Panic("too much".to_owned()));
    let Err(Failure::Panicked(panic)) = panicked.wait() else {
        panic!("{panicked:?}");
    };
    assert_eq!(panic.message(), "too much");
    assert!(panic.location().unwrap().contains("worker.rs:"), "{panic}");
    assert_eq!(
        service.queue_request(Task::ProcessId).wait().cloned(),
        before
    );
    assert_eq!(service.status().settled.panicked, 1);
}

pub(crate) fn a_panic_where_requests_are_read_or_answers_written_is_told_too() {
    let service = start(1);
    let before = service.queue_request(Task::ProcessId).wait().cloned();
    let stages = [
        Task::EndDecoding(EndsReader(Some(How::Panic))),
        Task::EndRunning(How::Panic),
        Task::EndEncoding(How::Panic),
    ];
    for end in stages {
        let panicked = service.queue_request(end.clone());
        let Err(Failure::Panicked(panic)) = panicked.wait() else {
            panic!("{end:?}: {panicked:?}");
        };
        assert_eq!(panic.message(), "in the middle of it");
        assert!(panic.location().unwrap().contains("worker.rs:"), "{panic}");
    }
    let after = service.queue_request(Task::ProcessId).wait().cloned();
    assert_eq!(after, before);
}

pub(crate) fn what_had_not_begun_goes_to_another_and_begins_once() {
    for how in [How::Kill, How::Exit(0)] {
        let door = Door::new();
        let service = start(1);
        warm_up(&service);
        let knock = |number| Task::Knock {
            door: door.port,
            number,
        };
        let end = Task::KnockAndEnd {
            door: door.port,
            number: 0,
            how,
        };
        let lost = service.queue_request(end);
        let others = service.queue_requests((1..=50).map(knock));
        door.wait_for(0, 1);
        door.open();
        others.wait_for_all_with(|promise| assert!(promise.wait().is_ok(), "{promise:?}"));
        assert!(matches!(
            lost.wait(),
            Err(Failure::WorkerLost(Loss::Ended(_)))
        ));
        for number in 0..=50 {
            assert_eq!(door.times(number), 1, "{number}");
        }
    }
}

pub(crate) fn requests_that_may_run_twice_are_tried_again_so_many_times() {
    let door = Door::new();
    door.open();
    let service = start_with(2, |child| child.retry_lost(3));
    let third = service.queue_request(Task::EndUntil(3));
    assert_eq!(third.wait().cloned(), number(3));
    let never = service.queue_request(Task::KnockAndEnd {
        door: door.port,
        number: 1,
        how: How::Abort,
    });
    assert!(matches!(
        never.wait(),
        Err(Failure::WorkerLost(Loss::Ended(_)))
    ));
    assert_eq!(door.times(1), 3);
    assert_eq!(
        service.queue_request(Task::Echo(1)).wait().cloned(),
        number(1)
    );
    // The last one may not be there yet.
    while service.status().respawns() < 5 {
        std::thread::yield_now();
    }
}

pub(crate) fn workers_that_end_each_other_lose_no_other_request() {
    for workers in [1, 2, 5, 13] {
        let service = start(workers);
        let ends = processes(&service).into_iter().map(Task::EndProcess);
        let ends = service.queue_requests(ends);
        let echoes = service.queue_requests((0..200).map(Task::Echo));
        ends.wait_for_all();
        let mut lost = 0;
        echoes.wait_for_all_with(|promise| match promise.wait() {
            Ok(_) => {}
            Err(Failure::WorkerLost(Loss::Ended(_))) => lost += 1,
            other => panic!("{other:?}"),
        });
        assert!(lost <= workers, "{lost} of {workers}");
        let again = service.queue_requests((200..300).map(Task::Echo));
        again.wait_for_all_with(|promise| assert!(promise.wait().is_ok(), "{promise:?}"));
    }
}

pub(crate) fn a_kill_of_the_program_from_outside_is_told() {
    let door = Door::new();
    let service = start(2);
    let knock = Task::Knock {
        door: door.port,
        number: 7,
    };
    let lost = service.queue_request(knock);
    door.wait_for(7, 1);
    for id in processes(&service) {
        let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }
    let Err(failure) = lost.wait() else {
        panic!("{lost:?}");
    };
    let text = failure.to_string();
    assert!(
        text.ends_with("its process ended, signal: 15 (SIGTERM)"),
        "{text}"
    );
    // The other one may take a moment to end.
    while service.status().respawns() < 2 {
        std::thread::yield_now();
    }
    assert_eq!(
        service.queue_request(Task::Echo(1)).wait().cloned(),
        number(1)
    );
}
