//! Writing rules: what is proposed for a topic holds, and what is promised of events is watched.

use crate::support::{
    broker::{Broker, Sample},
    daemon::Home,
    endpoint::Endpoint,
    shop, wait,
};
use serde_json::json;
use std::process::Output;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn succeeded(output: &Output) -> String {
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

#[test]
fn what_is_inferred_from_an_orders_topic_is_valid_passes_its_tests_and_maps_every_record() {
    let broker = Broker::shared();
    let topic = broker.topic("inferred", 3);
    let viewed = |n: u64| Sample { partition: 0, key: format!("v-{n}"), value: viewed(n).into_bytes() };
    broker.produce(&topic, shop::orders(0..30, 3).chain((0..10).map(viewed)));
    let home = Home::new(&broker.address(), &format!("g.{topic}"));
    let said = succeeded(&home.run(&format!("infer --topic {topic} --out mappings/inferred.yaml")));
    assert!(said.contains("proposed: 2 mappings, for 40 of 40 records"), "{said}");
    succeeded(&home.run("check"));
    assert!(succeeded(&home.run("test")).contains("2 passed"));
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/all"), &json!({}));
    wait::until_so("every record to be mapped", PATIENCE, || {
        daemon.metric("hookline_records_mapped_total", &[&topic]) >= 40.0
    });
    assert_eq!(daemon.metric("hookline_records_quarantined_total", &[]), 0.0);
}

fn viewed(n: u64) -> String {
    json!({ "type": "OrderViewed", "id": format!("o-{n}"), "by": { "mail": "ada@example.com" } }).to_string()
}

#[test]
fn an_event_that_does_not_fit_its_schema_is_counted_and_delivered_all_the_same() {
    let broker = Broker::shared();
    let topic = broker.topic("validated", 1);
    let mut home = Home::new(&broker.address(), &format!("g.{topic}"));
    home.config["catalogue"] = json!({ "validate": "all" });
    home.mapping(&format!(
        "mappings: [{{ name: seen, from: {topic}, emit: {{ type: com.acme.seen, data: {{ id: '${{payload.id}}' }} }} }}]
events: {{ com.acme.seen: {{ schema: {{ properties: {{ id: {{ pattern: '^o-[0-4]$' }} }} }} }} }}"
    ));
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/seen"), &json!({}));
    broker.produce(&topic, (0..10).map(|n| Sample { partition: 0, key: n.to_string(), value: viewed(n).into_bytes() }));
    wait::until_so("all ten to arrive", PATIENCE, || endpoint.requests("/seen") >= 10);
    let counted = |result| daemon.metric("hookline_events_validated_total", &["mapping=\"seen\"", result]);
    assert_eq!((counted("result=\"valid\""), counted("result=\"invalid\"")), (5.0, 5.0));
    let log = daemon.log();
    assert!(log.contains("does not fit the schema") && !log.contains("o-5"), "{log}");
    let types = daemon.get("/v1/event-types");
    assert_eq!(types["items"][0]["type"], "com.acme.seen");
}
