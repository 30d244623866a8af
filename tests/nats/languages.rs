//! Workers in Python: the example's, which follows the protocol's page.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use parallel_workers::nats::{self, Connection, Foreign, Queue, Remote, Serving};
use parallel_workers::{
    Abort, Context, Failure, Panic, Processor, ProcessorService, Promise, processor_fn,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::door::{Door, knock};
use crate::nats::{Process, Server, Setup, python, wait_until};
use crate::permissions::{self, PASSWORD};
use crate::raw::Raw;
use crate::roles;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Job {
    target: String,
    arguments: Value,
}

type Jobs = Foreign<Job, Value>;
type Service = ProcessorService<Remote<Jobs>>;

/// As on the protocol's page.
const QUEUE: &str = "thumbnails";

/// A server, and what is connected to it.
struct Place {
    server: Server,
    lease: Duration,
    /// Whether nobody may do more than the page says.
    is_strict: bool,
}

impl Place {
    /// With a lease that is over soon.
    fn new() -> Self {
        Self {
            server: Setup::new().start(),
            lease: Duration::from_millis(500),
            is_strict: false,
        }
    }

    /// With one that no test outlives.
    fn patient() -> Self {
        let lease = Duration::from_secs(300);
        Self {
            lease,
            ..Self::new()
        }
    }

    fn connection(&self) -> Connection {
        let connection = Connection::to(self.server.url());
        match self.is_strict {
            true => connection.user("creator", PASSWORD),
            false => connection,
        }
    }

    fn queue(&self) -> Queue {
        Queue::named(QUEUE)
            .json()
            .storage(16 << 20)
            .lease(self.lease)
    }

    fn caller(&self) -> Service {
        let (connection, queue) = (self.connection(), self.queue());
        let connect = move || Remote::to(connection.clone(), queue.clone()).connect();
        let builder = ProcessorService::builder().workers(1);
        builder.try_start(connect).unwrap()
    }

    /// A worker in Rust. Its output is which start of the request this is.
    fn rust(&self) -> Serving<impl Processor<Request = Job, Output = Value> + use<>> {
        let attempt = |job: &Job, context: &Context<'_>| {
            if let Some(door) = job.arguments["door"].as_u64() {
                let number = job.arguments["number"].as_u64().unwrap();
                knock(u16::try_from(door).unwrap(), number);
            }
            json!(context.attempt())
        };
        let options = nats::ServeOptions::of(self.queue()).workers(1);
        nats::serve(&self.connection(), options, move || processor_fn(attempt)).unwrap()
    }

    /// A worker in Python.
    fn python(&self) -> Process {
        let mut url = self.server.url();
        if self.is_strict {
            url = url.replace("//", &format!("//worker:{PASSWORD}@"));
        }
        let mut command = python("tests/nats/targets.py", &url, QUEUE);
        let said = File::options().create(true).append(true).open(self.said());
        command.stdin(Stdio::null()).stderr(said.unwrap());
        Process::start(command)
    }

    /// Where workers in Python print to.
    fn said(&self) -> PathBuf {
        self.server.folder().join("python")
    }

    fn wait_until_said(&self, words: &str) {
        wait_until(words, || {
            let said = std::fs::read_to_string(self.said()).unwrap_or_default();
            if said.contains(words) {
                Ok(())
            } else {
                Err(said)
            }
        });
    }

    fn status(&self) -> nats::QueueStatus {
        nats::status(&self.connection(), &self.queue()).unwrap()
    }

    fn wait_for_requests(&self, requests: u64) {
        wait_until("requests", || match self.status().requests {
            found if found == requests => Ok(()),
            found => Err(format!("there are {found}")),
        });
    }

    fn raw(&self) -> Raw {
        Raw::connect(&roles::Place::new(self.server.url(), QUEUE))
    }
}

fn job(target: &str, arguments: Value) -> Job {
    let target = target.to_owned();
    Job { target, arguments }
}

fn at(door: &Door, number: u64) -> Job {
    job("knock", json!({ "door": door.port, "number": number }))
}

fn output(promise: &Promise<Job, Value>) -> Value {
    promise
        .wait()
        .unwrap_or_else(|failure| panic!("{failure}"))
        .clone()
}

fn panicked(promise: &Promise<Job, Value>) -> Panic {
    match promise.wait() {
        Err(Failure::Panicked(panic)) => panic,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_worker_in_python_does_what_is_named_and_says_what_it_does_not_know() {
    let place = Place::patient();
    let (service, _python) = (place.caller(), place.python());
    let ask = |target, arguments| service.queue_request(job(target, arguments));
    assert_eq!(output(&ask("add", json!({ "a": 1.5, "b": 2 }))), json!(3.5));
    let text = "line\nand \u{2028} and \"quote\" and \u{1f980}";
    assert_eq!(
        output(&ask("greet", json!({ "name": text }))),
        json!(format!("Hello {text}"))
    );
    let counts = output(&ask("word_count", json!({ "text": "a b a" })));
    assert_eq!(counts, json!({ "a": 2, "b": 1 }));
    let raised = panicked(&ask("fail", json!({ "message": "no" })));
    assert_eq!(raised.message(), "no");
    assert!(
        raised
            .location()
            .is_some_and(|location| location.starts_with("worker.py:"))
    );
    let unknown = panicked(&ask("fly", json!({})));
    assert_eq!(unknown.message(), "no target named \"fly\"");
    let many = (0..500).map(|n| job("add", json!({ "a": n, "b": n })));
    service.queue_requests(many).wait_for_all_with(|promise| {
        let twice = promise.request().arguments["a"].as_u64().unwrap() * 2;
        assert_eq!(output(promise), json!(twice));
    });
    place.wait_for_requests(0);
}

pub(crate) fn equal_requests_of_several_callers_are_processed_once_in_python() {
    let place = Place::patient();
    let (first, second) = (place.caller(), place.caller());
    let (door, raw) = (Door::new(), place.raw());
    let mut looks = raw.hear_api(&format!("STREAM.MSG.GET.pw_{QUEUE}_REQUESTS"));
    let _python = [place.python(), place.python()];
    let own = first.queue_request(at(&door, 1));
    door.wait_for(1, 1);
    let joined = second.queue_request(at(&door, 1));
    // It finds that there is an equal request, and then, when it has joined that, that there still is.
    looks.next();
    looks.next();
    door.open();
    assert_eq!([output(&own), output(&joined)], [json!(1), json!(1)]);
    assert_eq!(door.times(1), 1);
    assert_eq!(output(&second.queue_request(at(&door, 1))), json!(1));
    assert_eq!(door.times(1), 2, "a new run");
}

pub(crate) fn an_output_that_is_too_long_is_an_exception_that_says_so() {
    let server = Setup::new().max_payload(64 << 10).start();
    let place = Place {
        server,
        ..Place::patient()
    };
    let (service, _python) = (place.caller(), place.python());
    let large = |length: u32| service.queue_request(job("large", json!({ "length": length })));
    assert!(output(&large(50_000)).is_string());
    // What is wrong with the other is longer than it is itself.
    let fly = service.queue_request(job(&"x".repeat(61_400), json!({})));
    for too_long in [large(100_000), fly] {
        let said = panicked(&too_long).message().to_owned();
        assert!(
            said.contains("bytes, and the server takes no more than 61440"),
            "{said}"
        );
    }
    place.wait_for_requests(0);
}

pub(crate) fn what_is_aborted_before_python_begins_it_never_is() {
    let place = Place::patient();
    let (service, door, raw) = (place.caller(), Door::new(), place.raw());
    let _python = place.python();
    let running = service.queue_request(at(&door, 1));
    door.wait_for(1, 1);
    let queued = service.queue_request(at(&door, 2));
    place.wait_for_requests(2);
    assert_eq!(queued.abort(), Abort::Running, "it was sent");
    assert_eq!(queued.wait(), Err(Failure::Aborted));
    // An abort that comes before its request, as one may where both are on their way.
    let status = raw.block_on(async {
        let subject = |rest: &str| format!("pw.{QUEUE}.{rest}");
        let mut results = raw.client.subscribe(subject("r.somebody.1")).await.unwrap();
        raw.client
            .publish(subject("abort"), "somebody.1".into())
            .await
            .unwrap();
        let request = serde_json::to_vec(&at(&door, 3)).unwrap();
        let payload = [b"somebody.1\n", &request[..]].concat();
        let stored = raw.client.publish(subject("q.key"), payload.into());
        stored.await.unwrap();
        raw.client.flush().await.unwrap();
        door.open();
        let result = results.next().await.unwrap();
        result
            .headers
            .unwrap()
            .get("Pw-Status")
            .unwrap()
            .as_str()
            .to_owned()
    });
    assert_eq!(status, "aborted");
    assert_eq!(output(&running), json!(1));
    assert_eq!((door.times(2), door.times(3)), (0, 0));
    place.wait_for_requests(0);
}

pub(crate) fn what_a_killed_worker_in_python_had_is_begun_by_another() {
    let place = Place::new();
    let (service, door) = (place.caller(), Door::new());
    let mut first = place.python();
    let promise = service.queue_request(at(&door, 1));
    door.wait_for(1, 1);
    first.kill();
    let _second = place.python();
    door.wait_for(1, 2);
    door.open();
    assert_eq!(output(&promise), json!(1));
    assert_eq!(door.times(1), 2);
    place.wait_for_requests(0);
}

pub(crate) fn what_ends_its_workers_in_python_is_set_aside_after_three_starts() {
    let place = Place::new();
    let (service, door, open) = (place.caller(), Door::new(), Door::new());
    open.open();
    let poison = job("die", json!({ "door": door.port, "number": 1 }));
    let poison = service.queue_request(poison);
    place.wait_for_requests(1);
    let innocent = service.queue_request(at(&open, 2));
    for start in 1..=3 {
        let mut worker = place.python();
        door.wait_for(1, start);
        door.let_in(1);
        worker.wait();
    }
    let _last = place.python();
    assert_eq!(poison.wait(), Err(Failure::Poisoned { starts: 3 }));
    assert_eq!(output(&innocent), json!(2));
    assert_eq!(door.times(1), 3);
    place.wait_for_requests(0);
    assert_eq!(place.status().dead, 1);
}

/// Workers in Python and in Rust take over from each other, and count starts alike.
pub(crate) fn starts_are_counted_across_languages() {
    let place = Place::new();
    let (service, door) = (place.caller(), Door::new());
    let poison = job("die", json!({ "door": door.port, "number": 1 }));
    let promise = service.queue_request(poison);
    for start in 1..=2 {
        let mut worker = place.python();
        door.wait_for(1, start);
        door.let_in(1);
        worker.wait();
    }
    door.open();
    let _rust = place.rust();
    assert_eq!(output(&promise), json!(3), "begun twice before");
}

/// With a lease of minutes another worker has it at once only if it was given back; and it was not begun before.
pub(crate) fn what_comes_to_a_worker_in_python_that_stops_is_given_back() {
    let place = Place::patient();
    let (service, python) = (place.caller(), place.python());
    place.wait_until_said("serving");
    python.pause();
    python.signal("TERM");
    let promise = service.queue_request(job("add", json!({ "a": 1, "b": 2 })));
    place.wait_for_requests(1);
    python.signal("CONT");
    let mut python = python;
    assert!(python.wait().success());
    let _rust = place.rust();
    assert_eq!(output(&promise), json!(1), "its first start");
}

pub(crate) fn a_worker_in_python_finishes_what_it_has_begun_when_it_is_told_to_end() {
    let place = Place::patient();
    for signal in ["TERM", "INT"] {
        let (service, door) = (place.caller(), Door::new());
        let mut python = place.python();
        let running = service.queue_request(at(&door, 1));
        door.wait_for(1, 1);
        python.signal(signal);
        let waiting = service.queue_request(at(&door, 2));
        place.wait_for_requests(2);
        door.open();
        assert_eq!(output(&running), json!(1));
        assert!(python.wait().success(), "{signal}");
        assert_eq!(door.times(2), 0);
        let _next = place.python();
        assert_eq!(output(&waiting), json!(2));
        place.wait_for_requests(0);
    }
}

pub(crate) fn a_slow_worker_in_python_keeps_its_lease() {
    let place = Place::new();
    let (service, door) = (place.caller(), Door::new());
    door.open();
    let _python = [place.python(), place.python()];
    let seconds = 4.0 * place.lease.as_secs_f64();
    let arguments = json!({ "door": door.port, "number": 1, "seconds": seconds });
    let slow = service.queue_request(job("knock_and_sleep", arguments));
    assert_eq!(output(&slow), json!(1));
    place.wait_for_requests(0);
    assert_eq!(door.times(1), 1, "it was begun once");
}

/// Its result is stored, and its acknowledgement is not; and what is no request is taken out.
pub(crate) fn python_takes_out_what_is_done_and_what_is_no_request() {
    let place = Place::new();
    let (service, door, raw) = (place.caller(), Door::new(), place.raw());
    let promise = service.queue_request(at(&door, 1));
    raw.block_on(async {
        let message = raw.pull().await;
        raw.publish_result(&message, b"7".to_vec()).await;
        let subject = format!("pw.{QUEUE}.q.junk");
        raw.client.publish(subject, "junk".into()).await.unwrap();
    });
    assert_eq!(output(&promise), json!(7));
    place.wait_for_requests(2);
    let _python = place.python();
    place.wait_for_requests(0);
    assert_eq!(door.times(1), 0);
}

pub(crate) fn a_worker_in_python_waits_for_its_queue_and_takes_no_other() {
    let place = Place::patient();
    let _python = place.python();
    place.wait_until_said("there is no queue thumbnails");
    let service = place.caller();
    let sum = service.queue_request(job("add", json!({ "a": 1, "b": 2 })));
    assert_eq!(output(&sum), json!(3));

    let place = Place::patient();
    let other = Queue::named(QUEUE).storage(16 << 20);
    let serve = || processor_fn(|job: &String, _: &Context<'_>| job.clone());
    let _other = nats::serve(&place.connection(), other, serve).unwrap();
    assert_eq!(place.python().wait().code(), Some(1));
    place.wait_until_said(
        "'parallel-workers 1 postcard', and this worker wants 'parallel-workers 1 json'",
    );
}

pub(crate) fn a_worker_in_python_goes_on_when_its_server_is_back() {
    let mut place = Place::patient();
    let (service, door, _python) = (place.caller(), Door::new(), place.python());
    let running = service.queue_request(at(&door, 1));
    door.wait_for(1, 1);
    place.server.kill();
    let waiting = service.queue_request(at(&door, 2));
    door.open();
    place.server.restart();
    assert_eq!([output(&running), output(&waiting)], [json!(1), json!(2)]);
    assert_eq!(door.times(1), 1, "it was begun once");
    place.wait_for_requests(0);
}

/// From the first start to the last, and what is set aside.
pub(crate) fn a_worker_in_python_needs_no_more_than_the_page_allows() {
    let place = Place {
        server: permissions::server(),
        is_strict: true,
        ..Place::new()
    };
    let (service, door) = (place.caller(), Door::new());
    door.open();
    let poison = job("die", json!({ "door": door.port, "number": 1 }));
    let poison = service.queue_request(poison);
    for _ in 1..=3 {
        place.python().wait();
    }
    let _last = place.python();
    assert_eq!(poison.wait(), Err(Failure::Poisoned { starts: 3 }));
    assert_eq!(output(&service.queue_request(at(&door, 2))), json!(2));
    place.wait_for_requests(0);
    permissions::nothing_was_refused(&place.server);
}
