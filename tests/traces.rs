//! The feature `tracing`, as a subscriber sees it.
#![cfg(feature = "tracing")]

mod support;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use parallel_workers::{Context, Processor, ProcessorService, processor_fn};
use support::Gate;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber, info_span};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

#[derive(Clone, Debug, Default)]
struct Span {
    name: &'static str,
    parent: Option<u64>,
    fields: HashMap<String, String>,
    follows: Vec<u64>,
    /// What was said in it.
    events: Vec<String>,
    is_closed: bool,
}

/// Keeps all spans, by a number that is never used again.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Span>>>);

/// The number of a span, kept with it.
struct Number(u64);

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields
            .insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Kept {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let span = context.span(id).unwrap();
        let number = |span: &tracing_subscriber::registry::SpanRef<'_, S>| {
            span.extensions().get::<Number>().map(|number| number.0)
        };
        let mut kept = Span {
            name: attributes.metadata().name(),
            parent: span.parent().and_then(|parent| number(&parent)),
            ..Span::default()
        };
        attributes.record(&mut kept);
        let mut all = self.0.lock().unwrap();
        span.extensions_mut().insert(Number(all.len() as u64));
        all.push(kept);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        self.with(id, &context, |span| values.record(span));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: LayerContext<'_, S>) {
        let span = context.span(follows).unwrap();
        let cause = span.extensions().get::<Number>().unwrap().0;
        self.with(id, &context, |span| span.follows.push(cause));
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        if let Some(current) = context.event_span(event) {
            let mut said = Span::default();
            event.record(&mut said);
            let message = said.fields.remove("message").unwrap_or_default();
            self.with(&current.id(), &context, |span| span.events.push(message));
        }
    }

    fn on_close(&self, id: Id, context: LayerContext<'_, S>) {
        self.with(&id, &context, |span| span.is_closed = true);
    }
}

impl Kept {
    fn with<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
        id: &Id,
        context: &LayerContext<'_, S>,
        f: impl FnOnce(&mut Span),
    ) {
        let span = context.span(id).unwrap();
        let number = span.extensions().get::<Number>().unwrap().0;
        f(&mut self.0.lock().unwrap()[number as usize]);
    }

    /// The spans of this name; with their numbers.
    fn named(&self, name: &str) -> Vec<(u64, Span)> {
        let all = self.0.lock().unwrap().clone();
        let numbered = (0..).zip(all);
        numbered.filter(|(_, span)| span.name == name).collect()
    }

    /// The runs whose `request` is this one.
    fn run(&self, id: impl std::fmt::Display) -> Span {
        let id = id.to_string();
        let runs = self.named("run").into_iter().map(|(_, span)| span);
        let mut runs = runs.filter(|span| span.fields["request"] == id);
        runs.next().expect("it has run")
    }
}

/// One subscriber for the process: workers' threads know no other.
fn kept() -> Kept {
    static KEPT: OnceLock<Kept> = OnceLock::new();
    KEPT.get_or_init(|| {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(kept.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        kept
    })
    .clone()
}

/// A worker that says what it does, stands at the gate, and panics at 13.
fn start() -> (
    ProcessorService<impl Processor<Request = u32, Output = ()>>,
    Gate,
) {
    let gate = Gate::new();
    let inner = gate.clone();
    let service = ProcessorService::start(1, move || {
        let gate = inner.clone();
        processor_fn(move |n: &u32, _: &Context<'_>| {
            tracing::info!("at work on {n}");
            assert!(*n != 13, "as asked");
            gate.pass();
        })
    });
    (service.unwrap(), gate)
}

#[test]
fn a_run_is_a_child_of_where_it_was_queued_and_follows_from_all_who_joined() {
    let kept = kept();
    let (service, gate) = start();
    let blocks = service.queue_request(0);
    gate.wait_for(1);
    let asks = info_span!("asks").in_scope(|| service.queue_request(1));
    let joins = info_span!("joins").in_scope(|| service.queue_request(1));
    gate.let_one_pass();
    gate.wait_for(2);
    // Also one that joins while it runs.
    let late = info_span!("late").in_scope(|| service.queue_request(1));
    gate.open();
    assert!(asks == joins && joins == late);
    late.wait().unwrap();
    service.stop();

    let run = kept.run(asks.id());
    let number = |name: &str| kept.named(name)[0].0;
    assert_eq!(run.parent, Some(number("asks")));
    assert_eq!(run.follows, [number("joins"), number("late")]);
    assert_eq!(run.fields["worker"], "\"worker-0\"");
    assert_eq!(run.fields["outcome"], "\"output\"");
    assert!(run.fields.contains_key("waited") && run.fields.contains_key("ran"));
    // What the processor says is said in it.
    assert_eq!(run.events, ["at work on 1"]);
    assert!(run.is_closed);
    let joined = &kept.named("joins")[0].1;
    assert_eq!(joined.events, ["joined an equal request"]);
    assert_eq!(kept.run(blocks.id()).parent, None);
    // A promise that somebody holds keeps no span open.
    assert!(kept.named("asks")[0].1.is_closed && joined.is_closed);
}

#[test]
fn every_outcome_closes_its_span_and_says_how() {
    let kept = kept();
    let (service, gate) = start();
    let panicked = service.queue_request(13);
    assert!(panicked.wait().is_err());
    let lost = service.queue_request(1);
    gate.wait_for(1);
    let aborted = info_span!("gives_up").in_scope(|| service.queue_request(2));
    aborted.abort();
    service.worker_named("worker-0").unwrap().kill().unwrap();
    gate.open();
    service.stop();
    assert_eq!(kept.run(panicked.id()).fields["outcome"], "\"panicked\"");
    let lost = kept.run(lost.id());
    assert_eq!(lost.fields["outcome"], "\"worker_lost\"");
    assert!(lost.is_closed || !lost.fields["ran"].is_empty());
    let gave_up = &kept.named("gives_up")[0].1;
    assert_eq!(gave_up.events, ["settled before it began"]);
}
