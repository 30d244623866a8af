//! The servers of `support/nats.rs` do what the tests that use them count on.

use std::future::IntoFuture as _;
use std::time::Duration;

use async_nats::jetstream::{self, Context, stream};
use async_nats::{ConnectErrorKind, ConnectOptions, ToServerAddrs};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use crate::nats::{
    Certificates, Cluster, Operator, Partition, Setup, User, newest_server, old_server,
};

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

async fn connect(servers: impl ToServerAddrs) -> Context {
    jetstream::new(async_nats::connect(servers).await.unwrap())
}

/// A stream in files, on so many servers.
async fn create(context: &Context, replicas: usize) {
    let config = stream::Config {
        name: "letters".to_owned(),
        subjects: vec!["letter.*".to_owned()],
        num_replicas: replicas,
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
}

async fn publish(context: &Context, text: &'static str) {
    let stored = context.publish("letter.a", text.into()).await.unwrap();
    stored.await.unwrap();
}

async fn stored(context: &Context) -> u64 {
    let stream = context.get_stream("letters").await.unwrap();
    stream.cached_info().state.messages
}

async fn read(context: &Context, number: u64) -> String {
    let stream = context.get_stream("letters").await.unwrap();
    let message = stream.get_raw_message(number).await.unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

pub(crate) fn what_a_server_has_stored_outlives_a_stop_and_a_kill() {
    for program in [Some(newest_server()), old_server()].into_iter().flatten() {
        let mut server = Setup::of(program).start();
        let (url, runtime) = (server.url(), runtime());
        runtime.block_on(async {
            let context = connect(&url).await;
            create(&context, 1).await;
            publish(&context, "first").await;
        });
        server.stop();
        assert!(runtime.block_on(async_nats::connect(&url)).is_err());
        server.restart();
        runtime.block_on(async {
            let context = connect(&url).await;
            publish(&context, "second").await;
        });
        server.kill();
        server.restart();
        runtime.block_on(async {
            let context = connect(&url).await;
            assert_eq!(read(&context, 1).await, "first");
            assert_eq!(read(&context, 2).await, "second");
        });
    }
}

pub(crate) fn a_server_that_stands_still_answers_when_it_goes_on() {
    let server = Setup::new().start();
    let runtime = runtime();
    let context = runtime.block_on(connect(&server.url()));
    server.pause();
    let mut question = Box::pin(context.query_account());
    let soon = runtime.block_on(async {
        let limit = Duration::from_millis(100);
        timeout(limit, &mut question).await
    });
    assert!(soon.is_err());
    server.resume();
    runtime.block_on(question).unwrap();
}

pub(crate) fn a_server_has_the_limits_that_it_was_given() {
    let server = Setup::new()
        .limits(1 << 20, 2 << 20)
        .max_payload(1000)
        .start();
    let limits = server.ask("/jsz").unwrap()["config"].clone();
    assert_eq!(
        (&limits["max_memory"], &limits["max_storage"]),
        (&json!(1 << 20), &json!(2 << 20))
    );
    let plain = Setup::new().without_jetstream().start();
    runtime().block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        assert_eq!(client.server_info().max_payload, 1000);
        let context = connect(&plain.url()).await;
        assert!(context.query_account().await.is_err());
    });
}

pub(crate) fn replicas_agree_when_their_leader_was_killed_and_is_back() {
    let mut cluster = Cluster::start(&Setup::new());
    let runtime = runtime();
    runtime.block_on(async {
        let context = connect(cluster.urls()).await;
        create(&context, 3).await;
        publish(&context, "first").await;
    });
    let killed = cluster.leader_of("letters");
    cluster.kill(killed);
    assert_ne!(cluster.leader_of("letters"), killed);
    runtime.block_on(async {
        // Who was connected to the one that is dead may lose what he publishes until he notices.
        let context = connect(cluster.urls()).await;
        publish(&context, "second").await;
    });
    cluster.restart(killed);
    let replica = cluster.replicas_agree("letters").unwrap();
    assert_eq!((replica.messages, replica.last), (2, 2));
}

pub(crate) fn tls_is_demanded_and_so_is_a_certificate_where_that_is_asked_for() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let trusting = |certificates: &Certificates| {
        ConnectOptions::new().add_root_certificates(certificates.authority())
    };
    let showing = |certificates: &Certificates, shown: &Certificates| {
        trusting(certificates)
            .add_client_certificate(shown.client_certificate(), shown.client_key())
    };
    let server = Setup::new().tls(&certificates).start();
    let strict = Setup::new().mutual_tls(&certificates).start();
    runtime().block_on(async {
        for options in [ConnectOptions::new(), trusting(&others)] {
            assert!(options.connect(server.url()).await.is_err());
        }
        trusting(&certificates).connect(server.url()).await.unwrap();
        for options in [trusting(&certificates), showing(&certificates, &others)] {
            assert!(options.connect(strict.url()).await.is_err());
        }
        showing(&certificates, &certificates)
            .connect(strict.url())
            .await
            .unwrap();
    });
}

pub(crate) fn a_user_may_do_what_is_allowed_and_no_more() {
    let user = User {
        name: "writer",
        password: "secret",
        publish: &["letter.a", "$JS.API.>"],
        subscribe: &["_INBOX.>"],
    };
    let server = Setup::new().users(&[user]).start();
    let options =
        |password: &str| ConnectOptions::with_user_and_password("writer".into(), password.into());
    runtime().block_on(async {
        let error = options("wrong").connect(server.url()).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
        let (sender, mut events) = unbounded_channel();
        let told = options("secret").event_callback(move |event| {
            sender.send(event.to_string()).unwrap();
            async {}
        });
        let context = jetstream::new(told.connect(server.url()).await.unwrap());
        create(&context, 1).await;
        publish(&context, "first").await;
        let _unstored = context.publish("letter.b", "second".into()).await.unwrap();
        // The first event tells of the connection.
        while !events
            .recv()
            .await
            .unwrap()
            .contains("Permissions Violation for Publish")
        {}
    });
}

pub(crate) fn credentials_by_another_operator_let_nobody_in() {
    let (operator, other) = (Operator::new(), Operator::new());
    let server = Setup::new().operator(&operator).start();
    let options = async |operator: &Operator| {
        let file = operator.credentials("writer", &[">"], &[">"]);
        ConnectOptions::with_credentials_file(file).await.unwrap()
    };
    runtime().block_on(async {
        let error = options(&other)
            .await
            .connect(server.url())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
        let client = options(&operator)
            .await
            .connect(server.url())
            .await
            .unwrap();
        let context = jetstream::new(client);
        create(&context, 1).await;
        publish(&context, "first").await;
        assert_eq!(read(&context, 1).await, "first");
    });
}

pub(crate) fn a_line_that_is_cut_is_silent_until_it_is_healed() {
    let partition = Partition::start(Setup::new());
    let soon = Duration::from_millis(200);
    runtime().block_on(async {
        let context = connect(&partition.url()).await;
        let steady = connect(&partition.steady_url()).await;
        create(&context, 1).await;
        partition.cut();
        let unheard = context.publish("letter.a", "first".into()).await.unwrap();
        let mut unheard = Box::pin(unheard.into_future());
        assert!(timeout(soon, &mut unheard).await.is_err());
        let options = ConnectOptions::new().connection_timeout(soon);
        let error = options.connect(partition.url()).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::TimedOut);
        assert_eq!(stored(&steady).await, 0);
        partition.heal();
        unheard.await.unwrap();
        assert_eq!(stored(&steady).await, 1);
    });
}

pub(crate) fn a_server_whose_answers_are_lost_does_what_it_is_asked() {
    let partition = Partition::start(Setup::new());
    let soon = Duration::from_millis(200);
    runtime().block_on(async {
        let context = connect(&partition.url()).await;
        let steady = connect(&partition.steady_url()).await;
        create(&context, 1).await;
        partition.cut_from_server();
        let heard = context.publish("letter.a", "first".into()).await.unwrap();
        let mut heard = Box::pin(heard.into_future());
        assert!(timeout(soon, &mut heard).await.is_err());
        assert_eq!(stored(&steady).await, 1);
        partition.heal();
        heard.await.unwrap();
    });
}
