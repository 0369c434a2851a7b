//! Records that name their schema: what Confluent's own serializers wrote becomes what it means, and a registry that is
//! away costs time and nothing else. Against a real Kafka. `HOOKLINE_OUTAGE` (10) is for how many seconds it is away.

use crate::no_loss::number;
use crate::support::{
    account::Balance,
    broker::{self, Broker, Sample},
    daemon::{Daemon, Home},
    endpoint::Endpoint,
    registry::{self, Registry},
    shop, wait,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// The schemas of orders and of customers in the fixture. Customers have a name, which orders lack.
const ORDER: u32 = 11;
const CUSTOMER: u32 = 10;

fn mapping(topic: &str, data: &str) -> String {
    format!(
        "mappings: [{{ name: {}, from: {topic}, emit: {{ type: t.any, data: {data} }} }}]",
        topic.replace(['.', '_'], "-")
    )
}

/// The smallest order, behind the prefix of schema `id`.
fn framed(id: u32, order: Sample) -> Sample {
    let json = json!({ "id": order.key }).to_string();
    let value = [&[0][..], &id.to_be_bytes(), json.as_bytes()].concat();
    Sample { value, ..order }
}

fn quarantine(daemon: &Daemon) -> Vec<Value> {
    daemon.get("/v1/quarantine")["items"].as_array().unwrap().clone()
}

/// As text, which tells 1.10 from 1.1, with keys in order.
fn sorted(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

#[test]
fn what_the_official_client_wrote_becomes_webhooks() {
    let (broker, mut registry, endpoint) = (Broker::shared(), Registry::away(), Endpoint::accepting());
    registry.up();
    let frames = registry::frames();
    let topics: BTreeMap<_, _> =
        ["avro", "protobuf", "json_schema"].into_iter().map(|format| (format, broker.topic(format, 1))).collect();
    let mut home = Home::new(&broker.address(), &format!("g.{}", topics["avro"]));
    home.config["schema_registry"] = registry.settings();
    for (format, topic) in &topics {
        home.config["topics"][topic] = json!({ "format": format });
        home.mapping(&mapping(topic, "{ payload: '${payload}', name: '${key}' }"));
    }
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({ "format": "raw" }));
    let mut wanted = BTreeMap::new();
    for frame in frames {
        let name = format!("{}: {}", frame.format, frame.name);
        wanted.insert(name, sorted(&json!({ "name": frame.name, "payload": frame.payload })));
        // The same schema again is not asked for again.
        let twice = [(frame.sample.clone(), frame.headers.clone()), (frame.sample, frame.headers)];
        broker::produce_with(&broker.address(), &topics[&*frame.format], twice);
    }
    wait::until_so("all of them, twice", PATIENCE, || endpoint.webhooks("/a").len() == 2 * wanted.len());
    let mut came: Vec<_> = endpoint.webhooks("/a").iter().map(|webhook| sorted(&webhook.json())).collect();
    let mut wanted: Vec<_> = wanted.into_values().flat_map(|one| [one.clone(), one]).collect();
    came.sort();
    wanted.sort();
    assert_eq!(came, wanted);
    assert!(quarantine(&daemon).is_empty());
    // Eleven schemas by number and three by GUID, of which one and two refer to another.
    assert!(registry.asked() <= 20, "{} questions", registry.asked());
    assert!(daemon.stop().success());
}

#[test]
fn sr_5_a_registry_that_is_away_costs_no_record_and_no_quarantine_and_others_flow() {
    const ORDERS: u64 = 60;
    let (broker, mut registry, endpoint) = (Broker::shared(), Registry::away(), Endpoint::accepting());
    let (waits, flows) = (broker.topic("waits", 3), broker.topic("flows", 3));
    let group = format!("g.{waits}");
    let mut home = Home::new(&broker.address(), &group);
    home.config["schema_registry"] = registry.settings();
    home.config["topics"][&waits] = json!({ "format": "json_schema" });
    home.mapping(&mapping(&waits, "{ order_id: '${payload.id}', from: waits }"));
    home.mapping(&mapping(&flows, "{ order_id: '${payload.id}', from: flows }"));
    let daemon = home.start();
    for from in ["waits", "flows"] {
        let filter = format!("event.data.from == \"{from}\"");
        daemon.subscribe(&endpoint.url(&format!("/{from}")), &json!({ "filter": filter }));
    }
    broker.produce(&waits, shop::orders(0..ORDERS, 3).map(|sample| framed(ORDER, sample)));
    broker.produce(&flows, shop::orders(0..ORDERS, 3));
    let arrived = |path: &str| endpoint.account().arrived(path);
    wait::until_so("the others", PATIENCE, || arrived("/flows") == ORDERS);
    let outage = number("HOOKLINE_OUTAGE", 10);
    wait::until_so("the outage", PATIENCE + Duration::from_secs(outage), || {
        daemon.metric("hookline_backpressure_seconds_total", &[r#"reason="registry""#]) >= outage as f64
    });
    broker.produce(&flows, shop::orders(ORDERS..2 * ORDERS, 3));
    wait::until_so("the others at its end", PATIENCE, || arrived("/flows") == 2 * ORDERS);
    assert_eq!((arrived("/waits"), quarantine(&daemon).len()), (0, 0));
    assert_eq!(daemon.health("/readyz").unwrap().status, 200, "partitions that need no schema go on");
    let status = daemon.get("/v1/status");
    assert_eq!((&status["backpressure"], &status["schema_registry"]["ok"]), (&json!("registry"), &json!(false)));
    let why = status["schema_registry"]["reason"].as_str().unwrap();
    assert!(why.starts_with("schema 11 is waited for: http://127.0.0.1:"), "{why}");
    assert!(!daemon.log().contains("s3cret"));
    let paused = status["partitions"].as_array().unwrap().iter().filter(|one| one["paused"] == "registry");
    assert!(paused.clone().count() == 3 && paused.clone().all(|one| one["topic"] == waits), "{status}");
    let committed: i64 = broker.committed(&group, &waits, 3).into_iter().flatten().sum();
    assert_eq!(committed, 0, "and Kafka still has them");
    registry.up();
    let up = Instant::now();
    wait::until_so("what waited", PATIENCE, || arrived("/waits") == ORDERS);
    println!("away for {outage} s; all that waited had arrived {:.1} s after it was back", up.elapsed().as_secs_f64());
    broker::until_all_committed(&broker.address(), &group, &waits, 3);
    assert!(quarantine(&daemon).is_empty());
    assert_eq!(daemon.get("/v1/status")["schema_registry"], json!({ "ok": true, "reason": null }));
    // What the registry does not have, and what its schema does not allow, is kept with the reason; the rest flows.
    broker.produce(&waits, [framed(99, shop::order(0, 0)), framed(CUSTOMER, shop::order(1, 0))]);
    broker.produce(&waits, shop::orders(ORDERS..2 * ORDERS, 3).map(|sample| framed(ORDER, sample)));
    wait::until_so("the rest", PATIENCE, || arrived("/waits") == 2 * ORDERS);
    wait::until_so("two in quarantine", PATIENCE, || quarantine(&daemon).len() == 2);
    let reasons = quarantine(&daemon).iter().map(|one| one["detail"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(reasons.iter().any(|why| why == "the registry has no schema 99: Schema not found"), "{reasons:?}");
    assert!(
        reasons.iter().any(|why| why.starts_with("by schema 10: not valid at ``: \"name\" is a required")),
        "{reasons:?}"
    );
    assert!(daemon.stop().success());
    for path in ["/waits", "/flows"] {
        assert_eq!(endpoint.account().balance(path, 0..2 * ORDERS), Balance::exactly_once(2 * ORDERS), "{path}");
    }
}

#[test]
fn a_record_on_the_command_line_is_looked_up_too_and_a_file_may_hold_the_schema() {
    let mut registry = Registry::away();
    let mut home = Home::new("127.0.0.1:1", "g");
    home.config["schema_registry"] = registry.settings();
    home.config["topics"] = json!({
        "registered": { "format": "protobuf" },
        "given": { "format": "protobuf", "schema_file": "shop.proto", "message": "shop.Order" },
    });
    home.mapping(&mapping("registered", "'${payload}'")).mapping(&mapping("given", "'${payload}'"));
    fs::write(home.path("shop.proto"), "package shop; message Order { optional string id = 1; }").unwrap();
    fs::write(home.path("given.bin"), b"\x0a\x03o-1").unwrap();
    let frame = registry::frames().into_iter().find(|frame| frame.name == "an empty order").unwrap();
    fs::write(home.path("registered.bin"), &frame.sample.value).unwrap();
    let map = |topic: &str| home.run(&format!("map --json --topic {topic} {topic}.bin"));
    let data = |topic: &str| {
        let output = map(topic);
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let events = told["mappings"].as_array().unwrap().iter().filter_map(|one| one["events"].as_array()).flatten();
        events.map(|one| one["event"]["data"].clone()).next().unwrap_or_else(|| panic!("{told}"))
    };
    assert_eq!(data("given"), json!({ "id": "o-1" }));
    let output = map("registered");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("schema 7 cannot be looked up") && !said.contains("s3cret"), "{said}");
    registry.up();
    assert_eq!(sorted(&data("registered")), sorted(&frame.payload));
    fs::write(home.path("registered.bin"), b"\x00\x00\x00\x00\x63\x00").unwrap();
    let output = map("registered");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the registry has no schema 99"), "{output:?}");
}
