//! The example `axum`, over real sockets.

#![cfg(feature = "serde")]

#[expect(
    dead_code,
    reason = "its main function and its own renderer are not used here"
)]
#[path = "../examples/axum.rs"]
mod example;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parallel_workers::{Context, ProcessorService, processor_fn};
use support::Gate;

/// A server whose pages are rendered once a gate is open.
struct Server {
    address: SocketAddr,
    gate: Gate,
    rendered: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

fn serve() -> Server {
    let (gate, rendered) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let (inner, counted) = (gate.clone(), Arc::clone(&rendered));
    let service = ProcessorService::start(2, move || {
        let (gate, rendered) = (inner.clone(), Arc::clone(&counted));
        processor_fn(move |path: &String, _: &Context<'_>| {
            gate.pass();
            assert!(path != "bad", "it cannot be rendered");
            let number = rendered.fetch_add(1, Ordering::SeqCst);
            Arc::<str>::from(format!("{path}, the {number}th"))
        })
    });
    let routes = example::routes(Arc::new(service.unwrap()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listening = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listening).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, routes).await });
    Server {
        address,
        gate,
        rendered,
        _runtime: runtime,
    }
}

impl Server {
    /// Sends a request, and gives the connection to read the answer from.
    fn send(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The status code and the body of an answer.
    fn receive(stream: TcpStream) -> (String, String) {
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let body = rest.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.trim().to_owned(), body.unwrap_or_default())
    }

    /// Asks for the figures until they are as wanted.
    fn wait_for(&self, wanted: impl Fn(&serde_json::Value) -> bool) {
        loop {
            let (_, body) = Self::receive(self.send("/status"));
            if wanted(&serde_json::from_str(&body).unwrap()) {
                return;
            }
        }
    }
}

#[test]
fn a_thousand_clients_that_ask_for_ten_paths_cause_ten_runs() {
    // Two thousand sockets: more than a process may have on many machines, unless it asks for them.
    const CHILD: &str = "PARALLEL_WORKERS_AXUM_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let own = "a_thousand_clients_that_ask_for_ten_paths_cause_ten_runs";
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 4000; exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(own)
            .env(CHILD, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && printed.contains("1 passed"),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        return;
    }
    let server = serve();
    let clients: Vec<_> = (0..1_000)
        .map(|client| {
            (
                client % 10,
                server.send(&format!("/render/page/{}", client % 10)),
            )
        })
        .collect();
    server.wait_for(|status| status["coalesced"] == 990);
    server.gate.open();
    for (page, stream) in clients {
        let (status, body) = Server::receive(stream);
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(body.starts_with(&format!("page/{page}, the ")), "{body}");
    }
    assert_eq!(server.rendered.load(Ordering::SeqCst), 10);
}

#[test]
fn a_client_that_goes_away_withdraws_its_ticket() {
    let server = serve();
    // Both workers have something to do.
    let rendering = [server.send("/render/1"), server.send("/render/2")];
    server.gate.wait_for(2);
    let (one, other) = (server.send("/render/3"), server.send("/render/3"));
    let nobody_else = server.send("/render/4");
    server.wait_for(|status| status["queued"] == 2 && status["coalesced"] == 1);
    drop((one, nobody_else));
    server.wait_for(|status| status["settled"]["aborted"] == 1 && status["queued"] == 1);
    server.gate.open();
    assert_eq!(Server::receive(other).0, "HTTP/1.1 200 OK");
    for stream in rendering {
        assert_eq!(Server::receive(stream).0, "HTTP/1.1 200 OK");
    }
    assert_eq!(server.rendered.load(Ordering::SeqCst), 3);
}

#[test]
fn a_failure_is_an_answer_too() {
    let server = serve();
    server.gate.open();
    let (status, body) = Server::receive(server.send("/render/bad"));
    assert_eq!(status, "HTTP/1.1 500 Internal Server Error");
    assert!(body.contains("it cannot be rendered"), "{body}");
}
