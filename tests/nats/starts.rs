//! Who cannot start is told why: callers by the error of their factory, workers by that of `serve`.

use std::error::Error;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use parallel_workers::ProcessorService;
use parallel_workers::nats::{self, Connection, NatsError, Queue, Remote};

use crate::crew::{Hand, caller, hand};
use crate::nats::{Certificates, Setup, User, old_server};

/// Whoever is not answered is not to be waited for any longer.
const PATIENCE: Duration = Duration::from_millis(500);
/// And so much is for a machine that has much else to do.
const LATE: Duration = Duration::from_secs(5);

fn to(url: impl Into<String>) -> Connection {
    Connection::to(url).timeout(PATIENCE)
}

/// For what the server says at once, or else never.
fn patient(url: impl Into<String>) -> Connection {
    Connection::to(url).timeout(Duration::from_secs(3600))
}

fn queue() -> Queue {
    Queue::named("it").storage(1 << 20)
}

/// An error and its causes, as a program prints them.
fn text(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

/// What a caller and a worker are told who start so.
fn attempts(connection: &Connection, queue: &Queue) -> (NatsError, NatsError) {
    let begun = Instant::now();
    let caller = Remote::<Hand>::to(connection.clone(), queue.clone()).connect();
    let worker = nats::serve(connection, queue.clone(), hand(1, 0));
    assert!(begun.elapsed() < 2 * (PATIENCE + LATE));
    (caller.unwrap_err(), worker.unwrap_err())
}

/// The same where both are told the same.
fn refusal(connection: &Connection, queue: &Queue) -> (NatsError, String) {
    let (caller, worker) = attempts(connection, queue);
    let said = text(&caller);
    // Everybody has an inbox of his own.
    let alike = |said: &str| said.split("_INBOX.").next().map(str::to_owned);
    assert_eq!(alike(&said), alike(&text(&worker)));
    (caller, said)
}

/// Whether all of these are said.
#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no {part:?} in {said:?}");
    }
}

pub(crate) fn what_is_no_address_is_named() {
    for address in [
        "",
        "nats://",
        "http://one:4222",
        "one:two",
        "one:4222,,two:4222",
    ] {
        let (error, said) = refusal(&to(address), &queue());
        assert!(matches!(error, NatsError::Address { .. }), "{error:?}");
        says(&said, &["is no address of a NATS server"]);
    }
    let (_, said) = refusal(&to("one:4222,http://me:secret@two"), &queue());
    says(&said, &["http://…@two", "invalid scheme"]);
    assert!(!said.contains("secret"), "{said}");
}

pub(crate) fn a_server_that_does_not_run_is_named() {
    let mut server = Setup::new().start();
    let connection = to(server.url());
    server.stop();
    let (error, said) = refusal(&connection, &queue());
    assert!(matches!(error, NatsError::Connect { .. }), "{error:?}");
    says(
        &said,
        &[&server.url(), "does a NATS server run there", "refused"],
    );
    // The service's start says so, too.
    let connect = move || Remote::<Hand>::to(connection.clone(), queue()).connect();
    let started = ProcessorService::builder().workers(1).try_start(connect);
    says(&text(&started.unwrap_err()), &[&said]);
}

pub(crate) fn who_answers_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (error, said) = refusal(&to(address.to_string()), &queue());
    assert!(matches!(error, NatsError::Silent { .. }), "{error:?}");
    says(&said, &["500ms", "a connection to", &address.to_string()]);
    let server = Setup::new().start();
    server.pause();
    let (error, said) = refusal(&to(server.url()), &queue());
    assert!(matches!(error, NatsError::Silent { .. }), "{error:?}");
    says(&said, &["a connection to", &server.url()]);
}

pub(crate) fn a_server_that_answers_nothing_keeps_nobody_from_the_others() {
    let (still, server) = (Setup::new().start(), Setup::new().start());
    still.pause();
    let servers = format!("{},{}", still.url(), server.url());
    let connection = Connection::to(servers).timeout(4 * PATIENCE);
    // They are tried in any order.
    for _ in 0..6 {
        drop(caller(&connection, &queue()));
    }
}

pub(crate) fn a_wrong_password_is_told_and_not_printed() {
    let user = User {
        name: "me",
        password: "right",
        publish: &[">"],
        subscribe: &[">"],
    };
    let server = Setup::new().users(&[user]).start();
    for connection in [patient(server.url()), to(server.url()).user("me", "wrong")] {
        let (error, said) = refusal(&connection, &queue());
        assert!(matches!(error, NatsError::Connect { .. }), "{error:?}");
        says(&said, &["does it let you in", "authorization violation"]);
        assert!(!said.contains("wrong"), "{said}");
    }
}

pub(crate) fn credentials_and_certificates_that_cannot_be_read_are_named() {
    let server = Setup::new().start();
    let file = server.folder().join("missing");
    let name = file.display().to_string();
    let (error, said) = refusal(&patient(server.url()).credentials_file(&file), &queue());
    assert!(matches!(error, NatsError::Credentials { .. }), "{error:?}");
    says(
        &said,
        &["could not read the credentials", &name, "No such file"],
    );
    let certificates = Certificates::new();
    let server = Setup::new().tls(&certificates).start();
    let connection = patient(server.url()).root_certificates(&file);
    let (error, said) = refusal(&connection, &queue());
    assert!(matches!(error, NatsError::Connect { .. }), "{error:?}");
    says(&said, &["No such file"]);
    // Whom nobody vouches for.
    let (error, said) = refusal(&patient(server.url()), &queue());
    assert!(matches!(error, NatsError::Connect { .. }), "{error:?}");
    says(&said, &["certificate"]);
}

pub(crate) fn a_server_without_jetstream_is_told_how_to_have_it() {
    for program in [None, old_server()]
        .into_iter()
        .take(1 + usize::from(old_server().is_some()))
    {
        let setup = program.map_or_else(Setup::new, Setup::of);
        let server = setup.without_jetstream().start();
        let (error, said) = refusal(&patient(server.url()), &queue());
        assert!(matches!(error, NatsError::NoJetStream { .. }), "{error:?}");
        says(&said, &[&server.url(), "has no JetStream", "--jetstream"]);
    }
}

pub(crate) fn an_account_without_jetstream_is_told_so() {
    let line = "accounts { plain { users: [{ user: me, password: right }] } }";
    let server = Setup::new().line(line).start();
    let connection = patient(server.url()).user("me", "right");
    let (error, said) = refusal(&connection, &queue());
    assert!(matches!(error, NatsError::NoJetStream { .. }), "{error:?}");
    says(&said, &["enable it for this account"]);
}

pub(crate) fn copies_that_a_server_cannot_keep_are_refused() {
    let server = Setup::new().start();
    let (error, said) = refusal(&patient(server.url()), &queue().replicas(3));
    assert!(matches!(error, NatsError::Refused { .. }), "{error:?}");
    says(&said, &["STREAM.CREATE.pw_it_REQUESTS", "replicas"]);
    let Some(program) = old_server() else {
        return;
    };
    let server = Setup::of(program).start();
    let (error, said) = refusal(&patient(server.url()), &queue().replicas(3));
    assert!(
        matches!(error, NatsError::TooOld { replicas: 3, .. }),
        "{error:?}"
    );
    says(
        &said,
        &["3 replicas", "2.12.3", &server.version().to_string()],
    );
}

pub(crate) fn a_queue_that_is_kept_otherwise_is_told_what_differs() {
    for program in [None, old_server()]
        .into_iter()
        .take(1 + usize::from(old_server().is_some()))
    {
        let setup = program.map_or_else(Setup::new, Setup::of);
        let server = setup.limits(1 << 20, 16 << 30).start();
        let connection = patient(server.url());
        drop(caller(&connection, &queue()));
        let second = Duration::from_secs(1);
        let others = [
            (queue().lease(second), "ack_wait", "1000000000"),
            (queue().capacity(7), "max_msgs", "7"),
            (queue().storage(1 << 21), "max_bytes", "2097152"),
            (queue().keep_outputs(second), "max_age", "1000000000"),
            (queue().json(), "description", "parallel-workers 1 json"),
        ];
        for (other, differs, ours) in others {
            let (error, said) = refusal(&connection, &other);
            assert!(
                matches!(error, NatsError::Different { what, .. } if what == differs),
                "{error:?}"
            );
            says(
                &said,
                &["pw_it_", differs, ours, "describe the queue alike"],
            );
        }
        // It is still there for who describes it as it is, and under another prefix there is another one.
        drop(caller(&connection, &queue()));
        drop(caller(&connection, &queue().prefix("other").json()));
    }
}

pub(crate) fn more_than_the_server_may_store_is_refused() {
    let server = Setup::new().limits(1 << 20, 1 << 20).start();
    let (error, said) = refusal(&patient(server.url()), &queue().storage(1 << 30));
    assert!(matches!(error, NatsError::Refused { .. }), "{error:?}");
    says(
        &said,
        &["STREAM.CREATE.pw_it_REQUESTS", "insufficient storage"],
    );
    drop(caller(&patient(server.url()), &queue().storage(1 << 16)));
}

pub(crate) fn who_may_not_do_what_is_needed_is_told_what_that_is() {
    let user = |name, publish, subscribe| User {
        name,
        password: "right",
        publish,
        subscribe,
    };
    let server = Setup::new()
        .users(&[
            user("mute", &["nothing"], &[">"]),
            user("deaf", &[">"], &["nothing"]),
            user("reader", &["$JS.API.STREAM.INFO.>"], &[">"]),
        ])
        .start();
    for (name, what, said_of_it) in [
        ("mute", "STREAM.INFO.pw_it_REQUESTS", "for Publish to"),
        ("deaf", "STREAM.INFO.pw_it_REQUESTS", "for Subscription to"),
        ("reader", "STREAM.CREATE.pw_it_REQUESTS", "for Publish to"),
    ] {
        let connection = patient(server.url()).user(name, "right");
        let (error, said) = refusal(&connection, &queue());
        assert!(matches!(error, NatsError::Refused { .. }), "{error:?}");
        says(
            &said,
            &[
                "the server refused",
                what,
                "Permissions Violation",
                said_of_it,
            ],
        );
    }
}

pub(crate) fn who_could_hear_nothing_is_told_so() {
    let user = User {
        name: "me",
        password: "right",
        publish: &[">"],
        subscribe: &["_INBOX.>"],
    };
    let server = Setup::new().users(&[user]).start();
    let connection = patient(server.url()).user("me", "right");
    // Neither of results, nor of what is to be aborted.
    let (caller, worker) = attempts(&connection, &queue());
    for (error, subject) in [(caller, "pw.it.r."), (worker, "pw.it.abort")] {
        assert!(matches!(error, NatsError::Refused { .. }), "{error:?}");
        says(&text(&error), &["for Subscription to", subject]);
    }
}

pub(crate) fn what_is_no_name_is_named() {
    let to = to("127.0.0.1:1");
    for queue in [Queue::named("a.b"), Queue::named("it").prefix("")] {
        let (error, said) = refusal(&to, &queue);
        assert!(matches!(error, NatsError::Name { .. }), "{error:?}");
        says(&said, &["is no name for a queue", "letters, digits"]);
    }
    let (error, said) = refusal(&to, &queue().replicas(2));
    assert!(
        matches!(
            error,
            NatsError::Setting {
                what: "replicas",
                ..
            }
        ),
        "{error:?}"
    );
    says(&said, &["1, 3 or 5"]);
}

pub(crate) fn a_queue_that_is_not_there_has_no_status() {
    let server = Setup::new().start();
    let error = nats::status(&patient(server.url()), &queue()).unwrap_err();
    assert!(matches!(error, NatsError::Missing { .. }), "{error:?}");
    says(&text(&error), &["there is no queue \"it\""]);
}
