//! What callers and workers may do: as `PROTOCOL.md` has it, which the servers of these tests are told.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectOptions;
use parallel_workers::nats::{self, Connection, NatsError, Queue, QueueStatus};
use tokio::sync::mpsc::unbounded_channel;

use crate::crew;
use crate::everything::{Site, do_everything};
use crate::nats::{Certificates, Operator, Server, Setup, User};

const PAGE: &str = include_str!("../../src/nats/PROTOCOL.md");
const STREAMS: [&str; 3] = ["REQUESTS", "RESULTS", "DEAD"];
pub(crate) const PASSWORD: &str = "secret";
/// What a server does not say by then it does not say.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody, and what he may publish to and subscribe to.
#[derive(Clone)]
struct Role {
    name: &'static str,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

/// The subjects in a text. What ends with a dot is of the three streams.
fn subjects(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let subjects = quoted.flat_map(|subject| match subject.ends_with('.') {
        true => STREAMS
            .map(|stream| format!("{subject}pw_thumbnails_{stream}"))
            .to_vec(),
        false => vec![subject.to_owned()],
    });
    subjects.collect()
}

/// What stands in the table behind these words.
fn table(name: &'static str, words: &str) -> Role {
    let (_, text) = PAGE.split_once(words).unwrap();
    let lines = text.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
    for row in rows {
        let cells: Vec<&str> = row.split('|').collect();
        publish.extend(subjects(cells[1]));
        subscribe.extend(subjects(cells[2]));
    }
    Role {
        name,
        publish,
        subscribe,
    }
}

fn caller() -> Role {
    table("caller", "A caller needs")
}

fn worker() -> Role {
    table("worker", "A worker:")
}

/// Those who have a part in it. The creator is a caller who may do some more, and the watcher sees everything.
fn roles() -> Vec<Role> {
    let (_, text) = PAGE.split_once("Whoever creates the streams").unwrap();
    let mut creator = caller();
    creator.name = "creator";
    creator.publish.extend(subjects(text));
    let everything = || vec![">".to_owned()];
    let watcher = Role {
        name: "watcher",
        publish: everything(),
        subscribe: everything(),
    };
    vec![creator, caller(), worker(), watcher]
}

/// A server that knows them by these names and a password, and writes down what each of them does.
fn setup(roles: &[Role]) -> Setup {
    let allowed: Vec<_> = roles
        .iter()
        .map(|role| (role.name, strs(&role.publish), strs(&role.subscribe)))
        .collect();
    let users: Vec<User<'_>> = allowed
        .iter()
        .map(|(name, publish, subscribe)| User {
            name,
            password: PASSWORD,
            publish,
            subscribe,
        })
        .collect();
    Setup::new().users(&users).line("trace: true")
}

fn strs(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

fn options(name: &str) -> ConnectOptions {
    ConnectOptions::with_user_and_password(name.to_owned(), PASSWORD.to_owned())
}

/// What the server has written down of what somebody has published or subscribed to.
fn done(log: &str, name: &str, what: &[&str]) -> Vec<String> {
    let own = format!("/user:{name}\"");
    let lines = log.lines().filter(|line| line.contains(&own));
    let words = lines.filter_map(|line| {
        let (_, operation) = line.split_once("<<- [")?;
        let (kind, rest) = operation.split_once(' ')?;
        let subject = rest.split([' ', ']']).next()?;
        what.contains(&kind).then(|| subject.to_owned())
    });
    words.collect()
}

/// Whether a subject is one of those that a pattern stands for.
fn stands_for(pattern: &str, subject: &str) -> bool {
    let mut parts = subject.split('.');
    for part in pattern.split('.') {
        match (part, parts.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(other)) if part == other => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// What is allowed and was not done.
fn unused(allowed: &[String], done: &[String]) -> Vec<String> {
    let is_used = |allowed: &str| done.iter().any(|subject| stands_for(allowed, subject));
    let unused = allowed.iter().filter(|allowed| !is_used(allowed));
    unused.cloned().collect()
}

/// A server where nobody may do more than the page says.
pub(crate) fn server() -> Server {
    setup(&roles()).start()
}

#[track_caller]
pub(crate) fn nothing_was_refused(server: &Server) {
    let log = server.log();
    let violations: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Violation"))
        .collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

pub(crate) fn what_the_page_allows_is_enough_and_none_of_it_too_much() {
    let roles = roles();
    let server = setup(&roles).start();
    do_everything(&Site {
        url: server.url(),
        connect: &|name| Connection::to(server.url()).user(name, PASSWORD),
        options: &options,
        inbox: "_INBOX",
    });
    nothing_was_refused(&server);
    let log = server.log();
    for role in [caller(), worker()] {
        let published = done(&log, role.name, &["PUB", "HPUB"]);
        let subscribed = done(&log, role.name, &["SUB"]);
        let unused = [
            unused(&role.publish, &published),
            unused(&role.subscribe, &subscribed),
        ];
        assert!(unused.concat().is_empty(), "{}: {unused:?}", role.name);
    }
    let created = done(&log, "creator", &["PUB", "HPUB"]);
    let (_, creations) = roles[0].publish.split_at(caller().publish.len());
    assert_eq!(
        (creations.len(), unused(creations, &created)),
        (4, Vec::new())
    );
}

/// Tries to publish to these, or to subscribe, and waits for the server to say no.
fn is_refused(url: &str, name: &str, verb: &str, subjects: &[&str]) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(async {
        let (sender, mut events) = unbounded_channel();
        let told = options(name).event_callback(move |event| {
            sender.send(event.to_string()).unwrap();
            async {}
        });
        let client = told.connect(url).await.unwrap();
        for subject in subjects {
            let subject = (*subject).to_owned();
            let said = format!("Permissions Violation for {verb} to \"{subject}\"");
            if verb == "Publish" {
                client.publish(subject, "".into()).await.unwrap();
            } else {
                client.subscribe(subject).await.unwrap();
            }
            let refused = async { while !events.recv().await.unwrap().contains(&said) {} };
            let refused = tokio::time::timeout(PATIENCE, refused).await;
            assert!(refused.is_ok(), "{name}: not {said}");
        }
    });
}

/// What neither a caller nor a worker may publish to.
fn forbidden_to_both() -> Vec<String> {
    let of_streams =
        |what: &str| STREAMS.map(|it| format!("$JS.API.STREAM.{what}.pw_thumbnails_{it}"));
    let mut forbidden = ["CREATE", "UPDATE", "DELETE"].map(of_streams).concat();
    let others = ["pw.other.q.1", "pw.other.r.1.1", "$SYS.REQ.SERVER.PING"];
    forbidden.extend(others.map(str::to_owned));
    forbidden.push("$JS.API.CONSUMER.DELETE.pw_thumbnails_REQUESTS.workers".to_owned());
    forbidden
}

/// Who queues takes nothing from the queue, and says nothing of what others have taken.
const FORBIDDEN_TO_CALLERS: [&str; 4] = [
    "$JS.API.CONSUMER.MSG.NEXT.pw_thumbnails_REQUESTS.workers",
    "$JS.ACK.pw_thumbnails_REQUESTS.workers.1.1.1.1.0",
    "$JS.API.STREAM.PURGE.pw_thumbnails_REQUESTS",
    "pw.thumbnails.d.1",
];

/// Who processes queues nothing, and takes nothing out that is not his.
const FORBIDDEN_TO_WORKERS: [&str; 6] = [
    "pw.thumbnails.q.1",
    "pw.thumbnails.join.1",
    "pw.thumbnails.abort",
    "$JS.API.STREAM.MSG.DELETE.pw_thumbnails_REQUESTS",
    "$JS.API.STREAM.MSG.GET.pw_thumbnails_REQUESTS",
    "$JS.API.STREAM.PURGE.pw_thumbnails_RESULTS",
];

pub(crate) fn callers_and_workers_can_do_no_more() {
    let server = setup(&roles()).start();
    let queue = Queue::named("thumbnails").storage(1 << 20);
    let to = |name: &str| Connection::to(server.url()).user(name, PASSWORD);
    drop(crew::caller(&to("creator"), &queue));
    for (name, publish, subscribe) in [
        ("caller", &FORBIDDEN_TO_CALLERS[..], "pw.thumbnails.abort"),
        ("worker", &FORBIDDEN_TO_WORKERS[..], "pw.thumbnails.r.*.*"),
    ] {
        let refused = |verb, subjects: &[&str]| is_refused(&server.url(), name, verb, subjects);
        refused("Publish", &strs(&forbidden_to_both()));
        refused("Publish", publish);
        let heard = [">", "pw.thumbnails.q.*", "$JS.ACK.>", subscribe];
        refused("Subscription", &heard);
    }
    // All is there yet.
    let status = nats::status(&to("caller"), &queue).unwrap();
    assert_eq!(status, QueueStatus::default());
}

pub(crate) fn everybody_may_have_an_inbox_of_his_own() {
    let mut roles = roles();
    let prefix = |name: &str| match name {
        "worker" => "_WORKERS",
        "watcher" => "_INBOX",
        _ => "_CALLERS",
    };
    for role in &mut roles {
        for subject in role.subscribe.iter_mut().filter(|it| *it == "_INBOX.>") {
            *subject = format!("{}.>", prefix(role.name));
        }
    }
    let server = setup(&roles).start();
    do_everything(&Site {
        url: server.url(),
        connect: &|name| {
            let connection = Connection::to(server.url()).user(name, PASSWORD);
            connection.inbox_prefix(prefix(name))
        },
        options: &|name| options(name).custom_inbox_prefix(prefix(name)),
        inbox: "_WORKERS",
    });
    nothing_was_refused(&server);
    is_refused(&server.url(), "caller", "Subscription", &["_WORKERS.>"]);
    is_refused(&server.url(), "worker", "Subscription", &["_CALLERS.>"]);
}

pub(crate) fn credentials_from_files_are_as_good() {
    let operator = Operator::new();
    let server = Setup::new().operator(&operator).start();
    let files: HashMap<&str, PathBuf> = roles()
        .iter()
        .map(|role| {
            let (publish, subscribe) = (strs(&role.publish), strs(&role.subscribe));
            let file = operator.credentials(role.name, &publish, &subscribe);
            (role.name, file)
        })
        .collect();
    do_everything(&Site {
        url: server.url(),
        connect: &|name| Connection::to(server.url()).credentials_file(&files[name]),
        options: &|name| {
            let text = std::fs::read_to_string(&files[name]).unwrap();
            ConnectOptions::with_credentials(&text).unwrap()
        },
        inbox: "_INBOX",
    });
    nothing_was_refused(&server);
}

pub(crate) fn all_of_it_goes_by_tls_with_certificates_on_both_sides() {
    let (own, others) = (Certificates::new(), Certificates::new());
    let server = setup(&roles()).mutual_tls(&own).start();
    let to = |name: &str| Connection::to(server.url()).user(name, PASSWORD);
    do_everything(&Site {
        url: server.url(),
        connect: &|name| {
            let connection = to(name).root_certificates(own.authority());
            connection.client_certificate(own.client_certificate(), own.client_key())
        },
        options: &|name| {
            let options = options(name).add_root_certificates(own.authority());
            options.add_client_certificate(own.client_certificate(), own.client_key())
        },
        inbox: "_INBOX",
    });
    let trusting = to("caller").root_certificates(own.authority());
    let refused = [
        to("caller"),
        to("caller").root_certificates(others.authority()),
        trusting.clone(),
        trusting.client_certificate(others.client_certificate(), others.client_key()),
    ];
    let queue = Queue::named("thumbnails").storage(1 << 20);
    for connection in refused {
        let error = nats::status(&connection, &queue).unwrap_err();
        assert!(matches!(error, NatsError::Connect { .. }), "{error:?}");
    }
    // Who demands it gives nobody his password without.
    let plain = setup(&roles()).start();
    let connection = Connection::to(plain.url()).user("caller", PASSWORD).tls();
    let error = nats::status(&connection, &queue).unwrap_err();
    assert!(matches!(error, NatsError::Connect { .. }), "{error:?}");
    assert!(!plain.log().contains("user:caller"));
}
