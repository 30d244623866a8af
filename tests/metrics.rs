//! The feature `metrics`, as the page of a Prometheus recorder shows it.
#![cfg(feature = "metrics")]

mod support;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parallel_workers::{Context, Processor, ProcessorService, Shutdown};
use support::Gate;

/// Stands at the gate; odd numbers fail, and 13 panics.
struct Picky(Gate);

impl Processor for Picky {
    type Request = u32;
    type Output = Result<u32, String>;

    fn process(&mut self, n: &u32, _: &Context<'_>) -> Result<u32, String> {
        self.0.pass();
        assert!(*n != 13, "as asked");
        if n.is_multiple_of(2) {
            Ok(*n)
        } else {
            Err(format!("{n} is odd"))
        }
    }

    fn is_failure(output: &Self::Output) -> bool {
        output.is_err()
    }
}

/// One picky worker, its gate, and the page that shows its meters.
fn start() -> (ProcessorService<Picky>, Gate, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let gate = Gate::new();
    let inner = gate.clone();
    let builder = ProcessorService::builder().workers(1).name("picky");
    let service = metrics::with_local_recorder(&recorder, || {
        builder.start(move || Picky(inner.clone())).unwrap()
    });
    (service, gate, recorder.handle())
}

#[test]
fn every_figure_has_a_meter_with_the_name_of_its_service() {
    let (service, gate, page) = start();
    let meter = |name: &str, labels: &str| {
        let line = format!("parallel_workers_{name}{{service=\"picky\"{labels}}} ");
        let page = page.render();
        let found = page.lines().find_map(|one| one.strip_prefix(&line));
        found
            .unwrap_or_else(|| panic!("no {line} in\n{page}"))
            .to_owned()
    };
    let outcome = |name: &str| meter("settled_total", &format!(",outcome=\"{name}\""));

    let first = service.queue_request(0);
    gate.wait_for(1);
    let rest = service.queue_requests([2, 3, 4, 4, 13]);
    assert_eq!(
        (meter("queued", ""), meter("coalesced_total", "")),
        ("4".into(), "1".into())
    );
    assert_eq!(
        service.queue_request(20).abort(),
        parallel_workers::Abort::Aborted
    );
    gate.open();
    first.wait().unwrap();
    rest.wait_for_all();
    service.wait_idle();
    assert_eq!(meter("queued", ""), "0");
    let counts = [
        "output",
        "failed",
        "panicked",
        "aborted",
        "worker_lost",
        "stopped",
    ]
    .map(outcome);
    assert_eq!(counts, ["3", "1", "1", "1", "0", "0"]);
    assert_eq!(
        (
            meter("wait_seconds_count", ""),
            meter("run_seconds_count", "")
        ),
        ("5".into(), "5".into())
    );

    service.pause();
    service.queue_requests([30, 32]);
    let refused = service.queue_unshared(34);
    assert_eq!(meter("queued", ""), "3");
    service.shutdown(Shutdown::Discard);
    assert!(refused.wait().is_err());
    assert!(service.try_queue_request(36).is_err());
    assert_eq!(
        (meter("queued", ""), outcome("stopped")),
        ("0".into(), "3".into())
    );
    assert_eq!(meter("respawns_total", ""), "1");
}

#[test]
fn a_killed_workers_request_is_counted_as_lost_and_takes_nothing_from_the_queue() {
    let (service, gate, page) = start();
    let lost = service.queue_request(0);
    let waits = service.queue_request(2);
    gate.wait_for(1);
    service.worker_named("picky-0").unwrap().kill().unwrap();
    assert!(lost.wait().is_err());
    gate.open();
    waits.wait().unwrap();
    service.wait_idle();
    let page = page.render();
    for line in [
        "parallel_workers_queued{service=\"picky\"} 0",
        "parallel_workers_settled_total{service=\"picky\",outcome=\"worker_lost\"} 1",
        "parallel_workers_settled_total{service=\"picky\",outcome=\"output\"} 1",
        "parallel_workers_respawns_total{service=\"picky\"} 1",
    ] {
        assert!(page.lines().any(|one| one == line), "no {line} in\n{page}");
    }
}
