//! A record is followed from whoever produced it to each attempt, as a collector sees it; and a collector that does not do its
//! part costs no delivery. Against a real Kafka.

use crate::support::{
    broker::{self, Broker},
    collector::{Collector, Manner, Span},
    daemon::Home,
    endpoint::{Answer, Endpoint, Webhook},
    ports, shop, wait,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What the producer did.
const THEIRS: &str = "00f067aa0ba902b7";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

/// A home that sends its traces there, and its topic.
fn home(stem: &str, collector: &str, sample: f64) -> (Home, String) {
    let topic = Broker::shared().topic(stem, 1);
    let mut home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.config["tracing"] = json!({ "otlp": collector, "sample": sample });
    home.mapping(&shop::mapping(&topic));
    (home, topic)
}

/// Produces an order whose producer says so.
fn produce(topic: &str, order: u64, headers: &[(&str, &str)]) {
    let headers = broker::headers(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    broker::produce_with(&Broker::shared().address(), topic, [(shop::order(order, 0), headers)]);
}

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{THEIRS}-{flags}")
}

/// The spans of this trace, when there are so many.
#[track_caller]
fn until_there(collector: &Collector, trace: &str, count: usize) -> Vec<Span> {
    let of = || collector.spans().into_iter().filter(|span| span.trace == trace).collect::<Vec<_>>();
    wait::until_so(&format!("{count} spans of {trace}"), PATIENCE, || of().len() >= count);
    of()
}

#[track_caller]
fn only<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} among {spans:#?}");
    found[0]
}

/// Trace, piece of work and flags that a webhook says it is.
fn told(webhook: &Webhook) -> [&str; 3] {
    let parts: Vec<&str> = webhook.header("traceparent").split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{:?}", webhook.headers);
    [parts[1], parts[2], parts[3]]
}

/// The attributes that are wanted, and the values they have.
#[track_caller]
fn assert_says(span: &Span, wanted: &[(&str, &str)]) {
    for (key, value) in wanted {
        assert_eq!(span.attribute(key), *value, "{key} of {span:#?}");
    }
}

/// The span of the attempt that a webhook came by.
#[track_caller]
fn attempt_of<'s>(webhook: &Webhook, spans: &'s [Span]) -> &'s Span {
    let [_, id, _] = told(webhook);
    spans.iter().find(|span| span.id == id).unwrap_or_else(|| panic!("no {id} in {spans:#?}"))
}

#[test]
fn a_record_is_followed_from_its_producer_to_each_attempt_and_its_receivers_are_told() {
    let collector = Collector::start(Manner::Taking);
    let endpoint = Endpoint::scripted(|webhook| match (webhook.path.as_str(), webhook.attempt) {
        ("/again", 1) => Answer::Status(503),
        _ => Answer::Status(200),
    });
    let (mut home, topic) = home("traced", &collector.url(), 0.0);
    home.config["log"] = json!({ "level": "debug" });
    let daemon = home.start();
    let [again, raw] = [("/again?key=s3cret", "cloudevents"), ("/raw", "raw")]
        .map(|(path, format)| daemon.subscribe(&endpoint.url(path), &json!({ "format": format })));
    produce(&topic, 1, &[("traceparent", &traceparent(TRACE, "01")), ("tracestate", STATE)]);

    let spans = until_there(&collector, TRACE, 5);
    let (process, map) = (only(&spans, &format!("process {topic}")), only(&spans, "map"));
    assert_eq!((spans.len(), process.kind.as_str(), process.parent.as_str()), (5, "SPAN_KIND_CONSUMER", THEIRS));
    assert!(process.remote && !process.failed && process.service == "hookline", "{process:?}");
    let (group, port) = (format!("g.{topic}"), endpoint.address.port().to_string());
    let kafka = [("messaging.system", "kafka"), ("messaging.operation.type", "process"), ("error.type", "")];
    let place = [("messaging.destination.name", &*topic), ("messaging.destination.partition.id", "0")];
    let more = [("messaging.kafka.offset", "0"), ("messaging.consumer.group.name", &*group)];
    assert_says(process, &[&kafka[..], &place, &more].concat());
    assert_eq!((map.kind.as_str(), &map.parent, map.remote), ("SPAN_KIND_INTERNAL", &process.id, false));
    assert!(map.attribute("hookline.mappings").contains("order-placed"), "{map:?}");
    assert!(process.times[0] <= map.times[0] && map.times[1] <= process.times[1], "{spans:#?}");

    let webhooks = [endpoint.webhooks("/again"), endpoint.webhooks("/raw")].concat();
    assert_eq!(webhooks.len(), 3);
    for (webhook, status, subscription) in
        [(&webhooks[0], "503", &again), (&webhooks[1], "200", &again), (&webhooks[2], "200", &raw)]
    {
        let (attempt, [trace, span, flags]) = (attempt_of(webhook, &spans), told(webhook));
        assert_eq!((trace, flags, webhook.header("tracestate")), (TRACE, "01", STATE));
        let shape = (attempt.name.as_str(), attempt.kind.as_str(), &attempt.parent);
        assert_eq!(shape, ("POST", "SPAN_KIND_CLIENT", &map.id));
        assert_eq!((attempt.state.as_str(), attempt.failed), (STATE, status == "503"));
        let error = if status == "503" { "503" } else { "" };
        let http = [("http.request.method", "POST"), ("http.response.status_code", status), ("error.type", error)];
        let server = [("server.address", "127.0.0.1"), ("server.port", &*port), ("url.scheme", "http")];
        let ours = [("hookline.subscription", &**subscription), ("hookline.mapping", "order-placed")];
        let event = [("hookline.event_type", shop::PLACED), ("hookline.webhook_id", &*webhook.id)];
        assert_says(attempt, &[&http[..], &server, &ours, &event].concat());
        assert!(!attempt.text().contains("s3cret") && !attempt.text().contains("/again"), "{attempt:?}");
        let log = format!("trace_id={TRACE} span_id={span}");
        assert_eq!(daemon.log().contains(&log), status == "503", "{log}");
    }
    let body = webhooks[0].json();
    assert_eq!((&body["traceparent"], &body["tracestate"]), (&json!(traceparent(TRACE, "01")), &json!(STATE)));
    assert!(daemon.stop().success());
}

#[test]
fn a_trace_that_is_not_recorded_goes_on_and_is_not_sent() {
    let (collector, endpoint) = (Collector::start(Manner::Taking), Endpoint::accepting());
    let (home, topic) = home("unsampled", &collector.url(), 1.0);
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    produce(&topic, 1, &[("traceparent", &traceparent(TRACE, "00")), ("tracestate", STATE)]);
    let other = "5bf92f3577b34da6a3ce929d0e0e4736";
    produce(&topic, 2, &[("traceparent", &traceparent(other, "01"))]);
    wait::until_so("both", PATIENCE, || endpoint.account().arrived("/a") == 2);
    assert!(daemon.stop().success());
    let webhooks = endpoint.webhooks("/a");
    let unsampled = webhooks.iter().find(|webhook| told(webhook)[0] == TRACE).unwrap();
    let [_, span, flags] = told(unsampled);
    assert_eq!((flags, unsampled.header("tracestate"), span == THEIRS), ("00", STATE, false));
    let spans = collector.spans();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == other));
}

#[test]
fn what_is_not_understood_is_followed_to_the_quarantine_and_who_we_are_is_told_to_the_collector_alone() {
    let collector = Collector::start(Manner::Taking);
    let (mut home, topic) = home("broken", &collector.url(), 0.0);
    home.config["tracing"]["headers"] = json!({ "x-api-key": "${env:COLLECTOR_KEY}" });
    home.config["tracing"]["service_name"] = json!("shop-webhooks");
    home.write_config();
    let mut daemon = home.spawn_with(&[("COLLECTOR_KEY", "hunter2-hunter2")]);
    daemon.until_ready();
    let headers = broker::headers([("traceparent", traceparent(TRACE, "01").as_bytes())]);
    let sample = broker::Sample { partition: 0, key: "k".into(), value: b"{".to_vec() };
    broker::produce_with(&Broker::shared().address(), &topic, [(sample, headers)]);
    let spans = until_there(&collector, TRACE, 2);
    assert!(spans.iter().all(|span| span.failed && span.attribute("error.type") == "decode"), "{spans:#?}");
    assert!(spans.iter().all(|span| span.service == "shop-webhooks"), "{spans:#?}");
    let told = format!("trace_id={TRACE}");
    assert!(daemon.log().lines().any(|line| line.contains("quarantined") && line.contains(&told)), "{}", daemon.log());
    assert!(collector.heads().iter().all(|head| head["x-api-key"] == "hunter2-hunter2"));
    assert!(!daemon.log().contains("hunter2"));
    assert!(daemon.stop().success());
}

#[test]
fn a_trace_that_begins_here_is_one_across_failures_and_restarts() {
    let (collector, well) = (Collector::start(Manner::Taking), Arc::new(AtomicBool::new(false)));
    let now = Arc::clone(&well);
    let endpoint = Endpoint::scripted(move |_| Answer::Status(if now.load(Ordering::SeqCst) { 200 } else { 500 }));
    let (home, topic) = home("rooted", &collector.url(), 1.0);
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    produce(&topic, 1, &[]);
    wait::until_so("an attempt", PATIENCE, || endpoint.requests("/a") > 0);
    assert!(daemon.stop().success());
    let before = endpoint.webhooks("/a");
    well.store(true, Ordering::SeqCst);
    let daemon = home.start();
    wait::until_so("it is accepted", PATIENCE, || endpoint.account().arrived("/a") == 1);
    assert!(daemon.stop().success());
    let webhooks = endpoint.webhooks("/a");
    assert!(webhooks.len() > before.len());

    let spans = collector.spans();
    let (process, map) = (only(&spans, &format!("process {topic}")), only(&spans, "map"));
    assert_eq!((process.parent.as_str(), process.remote, &map.parent), ("", false, &process.id));
    for webhook in &webhooks {
        let (attempt, [trace, _, flags]) = (attempt_of(webhook, &spans), told(webhook));
        assert_eq!((trace, flags, webhook.header("tracestate")), (process.trace.as_str(), "01", ""));
        assert_eq!((&attempt.parent, &attempt.trace), (&map.id, &process.trace));
    }
    assert_eq!(webhooks[0].json()["traceparent"], Value::Null, "the record started no trace");
    assert_eq!(spans.len(), 2 + webhooks.len(), "{spans:#?}");
}

#[test]
fn a_batch_of_several_traces_is_a_trace_of_its_own_that_links_to_them() {
    let (collector, endpoint) = (Collector::start(Manner::Taking), Endpoint::accepting());
    let (home, topic) = home("batched", &collector.url(), 0.0);
    let daemon = home.start();
    let batch = json!({ "max_events": 2, "max_wait": "3s" });
    daemon.subscribe(&endpoint.url("/a"), &json!({ "format": "cloudevents-batch", "batch": batch }));
    let traces = [TRACE, "5bf92f3577b34da6a3ce929d0e0e4736"];
    for (order, trace) in traces.iter().enumerate() {
        produce(&topic, order as u64, &[("traceparent", &traceparent(trace, "01"))]);
    }
    wait::until_so("the batch", PATIENCE, || endpoint.requests("/a") > 0);
    assert!(daemon.stop().success());
    let (spans, webhooks) = (collector.spans(), endpoint.webhooks("/a"));
    assert_eq!((webhooks.len(), webhooks[0].json().as_array().unwrap().len()), (1, 2));
    let attempt = only(&spans, "POST");
    assert_eq!(told(&webhooks[0]), [attempt.trace.as_str(), attempt.id.as_str(), "01"]);
    let maps = traces.map(|trace| {
        let map = spans.iter().find(|span| span.name == "map" && span.trace == trace).unwrap();
        (map.trace.clone(), map.id.clone())
    });
    assert_eq!((attempt.parent.as_str(), attempt.links.as_slice()), ("", maps.as_slice()));
    assert_eq!(
        (attempt.attribute("hookline.events"), attempt.attribute("hookline.webhook_id")),
        ("2".into(), webhooks[0].id.clone())
    );
}

#[test]
fn a_collector_that_hangs_or_is_away_costs_no_delivery_and_what_it_misses_is_counted() {
    // Three spans each: more than the queue and a batch hold.
    const ORDERS: u64 = 2_500;
    let hanging = Collector::start(Manner::Hanging);
    let away = format!("http://127.0.0.1:{}", ports::free());
    for url in [hanging.url(), away] {
        let endpoint = Endpoint::accepting();
        let (home, topic) = home("untraced", &url, 1.0);
        let daemon = home.start();
        daemon.subscribe(&endpoint.url("/a"), &json!({}));
        Broker::shared().produce(&topic, shop::orders(0..ORDERS, 1));
        wait::until_so("all of them", PATIENCE, || endpoint.account().arrived("/a") == ORDERS);
        let spans = |result: &str| daemon.metric("hookline_spans_total", &[&format!("result=\"{result}\"")]);
        wait::until_so("the queue is full", PATIENCE, || spans("dropped") > 0.0);
        assert_eq!(spans("exported"), 0.0);
        broker::until_all_committed(&Broker::shared().address(), &format!("g.{topic}"), &topic, 1);
        let begun = Instant::now();
        assert!(daemon.stop().success());
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
    assert!(hanging.asked() > 0);
}
