//! Callers and workers who are cut off from the server for a while: nobody is told, packets just do not arrive.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_nats::Message;
use parallel_workers::nats::{self, Connection, Queue};

use crate::crew::{Run, at, caller, output, worker};
use crate::door::Door;
use crate::nats::{Partition, Setup, newest_server, old_server, wait_until};
use crate::watch::{Watch, header};

/// A server beyond a line, and the two ways to it.
struct Place {
    partition: Partition,
    queue: Queue,
    door: Door,
    /// By the line that is cut.
    far: Connection,
    /// By the one that is not.
    near: Connection,
}

impl Place {
    fn new(lease: Duration) -> Self {
        let partition = Partition::start(Setup::new());
        Self {
            queue: Queue::named("it").storage(1 << 20).lease(lease),
            door: Door::new(),
            far: Connection::to(partition.url()),
            near: Connection::to(partition.steady_url()),
            partition,
        }
    }

    fn watch(&self, subjects: &'static str) -> Watch {
        Watch::start(&self.partition.steady_url(), subjects)
    }

    /// Waits until nothing is queued, and nothing in anybody's hands.
    fn wait_until_done(&self) {
        wait_until("an empty queue", || {
            let status = nats::status(&self.near, &self.queue);
            let status = status.map_err(|error| error.to_string())?;
            if status.requests == 0 {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
    }

    /// Waits until somebody on this side has given his connection up, and asks for a new one.
    fn wait_until_given_up(&self, many: usize) {
        let url = self.partition.url();
        let address: std::net::SocketAddrV4 = url.strip_prefix("nats://").unwrap().parse().unwrap();
        let ip = u32::from_le_bytes(address.ip().octets());
        // As Linux writes it, and the state in which nobody has answered.
        let asking = format!(" {ip:08X}:{:04X} 02 ", address.port());
        wait_until("connections that are given up", || {
            let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let found = sockets.lines().filter(|line| line.contains(&asking));
            match found.count() {
                found if found >= many => Ok(()),
                found => Err(format!("{found} of {many}")),
            }
        });
    }
}

fn is_output(message: &Message) -> bool {
    header(message.headers.as_ref(), "Pw-Status") == Some("output")
}

/// What a worker gives for the first request that it runs.
fn first(who: u64, number: u64) -> Run {
    Run {
        number,
        who,
        count: 1,
    }
}

pub(crate) fn a_caller_who_was_cut_off_hears_what_came_meanwhile() {
    let place = Place::new(Duration::from_secs(10));
    let _worker = worker(&place.near, &place.queue, 1, &place.door);
    let caller = caller(&place.far, &place.queue);
    let before = caller.queue_request(1);
    place.door.wait_for(at(1, 1), 1);
    place.partition.cut();
    place.door.let_in(at(1, 1));
    place.wait_until_done();
    place.partition.heal();
    assert_eq!(output(&before), first(1, 1));
    // Its request arrives, and no answer does.
    place.partition.cut_from_server();
    let during = caller.queue_request(2);
    place.door.wait_for(at(1, 2), 1);
    place.door.let_in(at(1, 2));
    place.wait_until_done();
    place.partition.heal();
    assert_eq!(output(&during).count, 2);
    place.wait_until_done();
    assert_eq!(place.door.times(at(1, 1)) + place.door.times(at(1, 2)), 2);
}

pub(crate) fn what_was_lost_with_a_callers_connection_is_looked_up() {
    let place = Place::new(Duration::from_secs(10));
    let _worker = worker(&place.near, &place.queue, 1, &place.door);
    let mut joins = place.watch("pw.it.join.*");
    let (near, far) = (
        caller(&place.near, &place.queue),
        caller(&place.far, &place.queue),
    );
    let theirs = near.queue_request(1);
    place.door.wait_for(at(1, 1), 1);
    let joined = far.queue_request(1);
    joins.wait_for(|message| *message.payload == *b"+1");
    let before = far.queue_request(2);
    wait_until("a second request", || {
        let status = nats::status(&place.near, &place.queue).unwrap();
        (status.requests == 2)
            .then_some(())
            .ok_or(status.to_string())
    });
    place.partition.cut_from_server();
    // It arrives, and its caller is not told.
    let during = far.queue_request(3);
    place.door.open();
    place.door.wait_for(at(1, 3), 1);
    place.wait_until_done();
    place.wait_until_given_up(1);
    place.partition.heal();
    assert_eq!(output(&joined), output(&theirs));
    assert_eq!(output(&before).number, 2);
    assert_eq!(output(&during).number, 3);
    place.wait_until_done();
    let runs: usize = (1..=3).map(|number| place.door.times(at(1, number))).sum();
    assert_eq!(runs, 3);
}

pub(crate) fn a_worker_that_was_cut_off_within_its_lease_runs_nothing_twice() {
    let lease = Duration::from_secs(2);
    let place = Place::new(lease);
    let worker_1 = worker(&place.far, &place.queue, 1, &place.door);
    let caller = caller(&place.near, &place.queue);
    let promise = caller.queue_request(1);
    place.door.wait_for(at(1, 1), 1);
    let _worker_2 = worker(&place.near, &place.queue, 2, &place.door);
    let cut = Instant::now();
    place.partition.cut();
    place.door.let_in(at(1, 1));
    // The result is on its way, and does not arrive.
    worker_1.service().wait_idle();
    place.partition.heal();
    // Where this machine is so slow that the lease was over, the other one has it.
    place.door.let_in(at(2, 1));
    let run = output(&promise);
    place.door.open();
    place.wait_until_done();
    let again = place.door.times(at(2, 1));
    // It has given its last sign of life a third of a lease before, at most.
    if cut.elapsed() < lease * 2 / 3 {
        assert_eq!((run, again), (first(1, 1), 0));
    } else {
        println!(
            "the line was cut for {:?}: {again} runs more",
            cut.elapsed()
        );
        assert!(again <= 1);
    }
}

pub(crate) fn a_worker_that_was_cut_off_does_not_overwrite_the_result() {
    let place = Place::new(Duration::from_secs(1));
    let mut joins = place.watch("pw.it.join.*");
    let mut results = place.watch("pw.it.r.*.*");
    let late = worker(&place.far, &place.queue, 1, &place.door);
    let callers = [&place.near, &place.near, &place.far].map(|to| caller(to, &place.queue));
    let mut promises = vec![callers[0].queue_request(1)];
    place.door.wait_for(at(1, 1), 1);
    for caller in &callers[1..] {
        promises.push(caller.queue_request(1));
        joins.wait_for(|message| *message.payload == *b"+1");
    }
    place.partition.cut();
    let other = worker(&place.near, &place.queue, 2, &place.door);
    place.door.wait_for(at(2, 1), 1);
    place.door.let_in(at(2, 1));
    assert_eq!(output(&promises[0]), first(2, 1));
    let told = results.wait_for(is_output);
    let before = results.stored("pw_it_RESULTS", &told.subject);
    place.door.let_in(at(1, 1));
    late.service().wait_idle();
    place.partition.heal();
    // Now it comes.
    results.wait_for(is_output);
    place.wait_until_done();
    assert_eq!(results.stored("pw_it_RESULTS", &told.subject), before);
    for promise in &promises[1..] {
        assert_eq!(output(promise), first(2, 1));
    }
    // It goes on as if nothing had been.
    other.stop();
    let next = callers[0].queue_request(2);
    place.door.open();
    assert_eq!(output(&next).who, 1);
    assert_eq!(place.door.times(at(1, 1)) + place.door.times(at(2, 1)), 2);
}

pub(crate) fn a_worker_that_was_cut_off_may_be_the_first_yet() {
    let place = Place::new(Duration::from_secs(1));
    let mut joins = place.watch("pw.it.join.*");
    let late = worker(&place.far, &place.queue, 1, &place.door);
    let callers = [&place.near, &place.far].map(|to| caller(to, &place.queue));
    let own = callers[0].queue_request(1);
    place.door.wait_for(at(1, 1), 1);
    let joined = callers[1].queue_request(1);
    joins.wait_for(|message| *message.payload == *b"+1");
    place.partition.cut();
    let _other = worker(&place.near, &place.queue, 2, &place.door);
    // It has written down that it begins, which the late one does not expect.
    place.door.wait_for(at(2, 1), 1);
    place.door.let_in(at(1, 1));
    late.service().wait_idle();
    place.partition.heal();
    assert_eq!(output(&own), first(1, 1));
    place.door.open();
    assert_eq!(output(&joined), first(1, 1));
    place.wait_until_done();
    assert_eq!(place.door.times(at(1, 1)) + place.door.times(at(2, 1)), 2);
}

pub(crate) fn a_result_that_is_not_stored_is_nobodys() {
    let programs = [Some(newest_server()), old_server()];
    programs.into_iter().flatten().for_each(refuse_a_result);
}

fn refuse_a_result(program: PathBuf) {
    let server = Setup::of(program).limits(1 << 20, 16 << 30).start();
    let door = Door::new();
    let (to, queue) = (Connection::to(server.url()), Queue::named("it").json());
    let queue = queue.storage(1 << 20);
    let caller = caller(&to, &queue);
    let mut requests = Watch::start(&server.url(), "pw.it.q.*");
    let _worker = worker(&to, &queue, 1, &door);
    let promise = caller.queue_request(1);
    let request = requests.wait_for(|_| true);
    door.wait_for(at(1, 1), 1);
    let mut parts = request.payload.split(|byte| *byte == b'\n');
    let submission = std::str::from_utf8(parts.next().unwrap()).unwrap();
    let result = format!("pw.it.r.{submission}");
    // As by a worker who has got it after another one was cut off,
    let heads = [
        ("Pw-Status", "started"),
        ("Pw-Starts", "2"),
        ("Nats-Expected-Last-Subject-Sequence", "0"),
    ];
    let answer = requests.ask(&result, &heads, "");
    assert!(String::from_utf8_lossy(&answer.payload).contains("seq"));
    // and by that one, who does not know what has been stored since.
    let late = serde_json::to_vec(&first(9, 1)).unwrap();
    let heads = [
        ("Pw-Status", "output"),
        ("Nats-Expected-Last-Subject-Sequence", "0"),
    ];
    let answer = requests.ask(&result, &heads, late);
    let answer = String::from_utf8_lossy(&answer.payload);
    assert!(answer.contains("wrong last sequence"), "{answer}");
    // Whatever the caller has heard is behind him when he hears of another request.
    let _other = worker(&to, &queue, 2, &door);
    let next = caller.queue_request(2);
    door.wait_for(at(2, 2), 1);
    door.let_in(at(2, 2));
    assert_eq!(output(&next), first(2, 2));
    assert!(promise.try_result().is_none(), "{:?}", promise.try_result());
    door.open();
    assert_eq!(output(&promise), first(1, 1));
}

pub(crate) fn requests_that_went_to_a_worker_that_is_cut_off_go_to_another() {
    const REQUESTS: u64 = 40;
    let place = Place::new(Duration::from_secs(1));
    place.door.open();
    let cut_off = worker(&place.far, &place.queue, 1, &place.door);
    let caller = caller(&place.near, &place.queue);
    output(&caller.queue_request(0));
    place.partition.cut();
    let other = worker(&place.near, &place.queue, 2, &place.door);
    let begun = Instant::now();
    let promises = (1..=REQUESTS).map(|number| caller.queue_request(number));
    let promises: Vec<_> = promises.collect();
    let outputs: Vec<Run> = promises.iter().map(output).collect();
    println!("{REQUESTS} requests took {:.1?}", begun.elapsed());
    for (promise, run) in promises.iter().zip(&outputs) {
        assert_eq!((run.number, run.who), (*promise.request(), 2));
    }
    place.wait_until_done();
    place.partition.heal();
    other.stop();
    let next = caller.queue_request(REQUESTS + 1);
    assert_eq!(output(&next).who, 1);
    // What had been sent to it before may run once more; nobody is given that.
    let again = (1..=REQUESTS).map(|number| place.door.times(at(1, number)));
    println!("{} ran twice", again.sum::<usize>());
    cut_off.stop();
    for number in 1..=REQUESTS {
        assert_eq!(place.door.times(at(2, number)), 1);
        assert!(place.door.times(at(1, number)) <= 1);
    }
    place.wait_until_done();
}

pub(crate) fn a_worker_that_had_to_connect_anew_goes_on_with_what_it_has() {
    let place = Place::new(Duration::from_secs(1));
    let worker = worker(&place.far, &place.queue, 1, &place.door);
    let caller = caller(&place.near, &place.queue);
    let promise = caller.queue_request(1);
    place.door.wait_for(at(1, 1), 1);
    place.partition.cut();
    place.wait_until_given_up(1);
    place.partition.heal();
    let next = caller.queue_request(2);
    place.door.open();
    assert_eq!(output(&promise), first(1, 1));
    assert_eq!(output(&next).count, 2);
    place.wait_until_done();
    worker.stop();
    assert_eq!(place.door.times(at(1, 1)) + place.door.times(at(1, 2)), 2);
}

pub(crate) fn what_a_worker_is_given_twice_it_runs_once() {
    let server = Setup::new().start();
    let (to, door) = (Connection::to(server.url()), Door::new());
    let lease = Duration::from_secs(1);
    let queue = Queue::named("it").storage(1 << 20).lease(lease);
    let mut signs = Watch::start(&server.url(), "$JS.ACK.pw_it_REQUESTS.workers.>");
    let worker = worker(&to, &queue, 1, &door);
    let caller = caller(&to, &queue);
    let promise = caller.queue_request(1);
    let sign = signs.wait_for(|message| *message.payload == *b"+WPI");
    // As if its lease were over.
    signs.tell(&sign.subject, "nobody".to_owned(), "-NAK");
    // It says of the new delivery, too, that it has it.
    let second = "$JS.ACK.pw_it_REQUESTS.workers.2.";
    signs.wait_for(|message| message.subject.starts_with(second));
    door.open();
    assert_eq!(output(&promise), first(1, 1));
    let receipt = signs.wait_for(|message| *message.payload == *b"+ACK");
    assert!(receipt.subject.starts_with(second), "{}", receipt.subject);
    worker.stop();
    assert_eq!(door.times(at(1, 1)), 1);
}
