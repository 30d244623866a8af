//! The feature `serde`: figures and events as JSON.
#![cfg(feature = "serde")]

mod support;

use parallel_workers::ProcessorService;
use serde_json::{Value, json, to_value};
use support::{Gated, echo};

#[test]
fn a_status_is_json_with_seconds_names_and_each_request() {
    let gated = Gated::new();
    let service = gated.start(ProcessorService::builder().workers(1).name("clerk"));
    let running = service.queue_request(1);
    gated.gate.wait_for(1);
    service.worker_named("clerk-0").unwrap().assign(2);
    let status = to_value(service.status()).unwrap();
    assert_eq!(
        (&status["name"], &status["queued"]),
        (&json!("clerk"), &json!(1))
    );
    assert!(status["oldest"].as_f64().unwrap() < 60.0 && status["uptime"].is_f64());
    assert_eq!(
        status["settled"],
        json!({"outputs": 0, "failed": 0, "panicked": 0, "aborted": 0, "worker_lost": 0, "stopped": 0})
    );
    let worker = &status["workers"][0];
    assert_eq!(
        (
            &worker["id"],
            &worker["name"],
            &worker["state"],
            &worker["assigned"]
        ),
        (&json!(0), &json!("clerk-0"), &json!("busy"), &json!(1))
    );
    let request = &worker["requests"][0];
    assert_eq!(request["id"], to_value(running.id()).unwrap());
    assert!(request["running"].as_f64().unwrap() <= worker["uptime"].as_f64().unwrap());
    gated.gate.open();
}

#[test]
fn an_event_is_json_that_names_itself() {
    let (service, _) = echo(1);
    let events = service.subscribe();
    let promise = service.queue_request(1);
    promise.wait().unwrap();
    let told: Vec<Value> = events
        .iter()
        .take(2)
        .map(|event| to_value(event).unwrap())
        .collect();
    assert_eq!(
        (&told[0]["event"], &told[0]["name"]),
        (&json!("started"), &json!("worker-0"))
    );
    assert_eq!(
        (&told[1]["event"], &told[1]["outcome"]),
        (&json!("settled"), &json!("output"))
    );
    assert_eq!(told[1]["request"], to_value(promise.id()).unwrap());
    assert!(told[1]["ran"].is_f64() && told[1]["waited"].is_f64());
}
