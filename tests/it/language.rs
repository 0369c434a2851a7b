//! The language, end to end: packed change events of a database become what each subscriber asked for, in its own shape.

use crate::support::{
    broker::{self, Broker, Sample},
    daemon::Home,
    endpoint::{Endpoint, Webhook},
    wait,
};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A change of row `id`, as Debezium's JSON converter writes it with schemas, packed by its producer.
fn change(id: u32, op: &str, name: Option<&str>) -> Sample {
    let row = name.map(|name| json!({ "id": id, "name": name }));
    let value = json!({
        "schema": { "type": "struct" },
        "payload": { "before": null, "after": row, "source": { "table": "customers" }, "op": op, "ts_ms": 5 },
    });
    let key = json!({ "schema": { "type": "struct" }, "payload": { "id": id } }).to_string();
    Sample { partition: 0, key, value: zstd::stream::encode_all(value.to_string().as_bytes(), 3).unwrap() }
}

fn data(webhooks: &[Webhook]) -> Vec<Value> {
    webhooks.iter().map(|webhook| webhook.json()["data"].clone()).collect()
}

#[test]
fn packed_change_events_reach_each_subscriber_by_its_filters_and_in_its_shape() {
    let topic = Broker::shared().topic("changes", 1);
    let (address, group) = (Broker::shared().address(), format!("g.{topic}"));
    let mut home = Home::new(&address, &group);
    home.config["topics"] = json!({ &topic: { "format": "debezium", "compression": "zstd", "tombstones": "skip" } });
    home.config["secrets"] = json!({ "partner": "key" });
    home.mapping(&format!(
        r#"
fragments:
  person: {{ id: "${{row.id}}", name?: "${{row.name}}", digest: "${{hmac(string(row.id), 'partner')}}" }}
mappings:
  - name: customer
    from: {topic}
    when: payload.op != "d"
    emit:
      type: 'com.acme.customer.${{payload.op == "c" ? "created" : "updated"}}.v1'
      subject: ${{key.id}}
      extensions: {{ operation: "${{payload.op}}" }}
      data: {{ $use: person, $with: {{ row: "${{payload.after}}" }} }}
"#
    ));
    let (endpoint, daemon) = (Endpoint::accepting(), home.start());
    daemon.subscribe(&endpoint.url("/all"), &json!({}));
    let created = json!([{ "sql": "operation = 'c' AND EXISTS subject" }]);
    let transform = json!({ "customer": "${event.data.name}", "number": "${int(event.subject)}" });
    let own = daemon.subscribe(&endpoint.url("/own"), &json!({ "filters": created, "transform": transform }));
    let tombstone = Sample { partition: 0, key: "3".into(), value: b"not packed".to_vec() };
    let changes = [
        change(1, "c", Some("Ada")),
        change(2, "u", Some("Grace")),
        change(3, "d", None),
        tombstone,
        change(4, "c", Some("Mary")),
    ];
    broker::produce(&address, &topic, changes);

    wait::until_so("three customers and two created ones", PATIENCE, || {
        endpoint.webhooks("/all").len() >= 3 && endpoint.webhooks("/own").len() >= 2
    });
    broker::until_all_committed(&address, &group, &topic, 1);
    let all = endpoint.webhooks("/all");
    let mut subjects: Vec<_> = all.iter().map(|webhook| webhook.json()["subject"].clone()).collect();
    subjects.sort_by_key(ToString::to_string);
    assert_eq!(subjects, ["1", "2", "4"]);
    let first = all.iter().map(Webhook::json).find(|body| body["subject"] == "1").unwrap();
    assert_eq!((&first["type"], &first["operation"]), (&json!("com.acme.customer.created.v1"), &json!("c")));
    assert_eq!((&first["data"]["name"], first["data"]["digest"].as_str().unwrap().len()), (&json!("Ada"), 64));
    let mut own_data = data(&endpoint.webhooks("/own"));
    own_data.sort_by_key(ToString::to_string);
    let wanted = [json!({ "customer": "Ada", "number": 1 }), json!({ "customer": "Mary", "number": 4 })];
    assert_eq!(own_data, wanted);
    let quarantined = daemon.get("/v1/quarantine")["items"].as_array().unwrap().clone();
    assert_eq!(quarantined.len(), 1, "what is not packed: {quarantined:?}");

    let patch = json!({ "transform": { "customer": "${event.data.gone}" } });
    daemon.patch(&format!("/v1/subscriptions/{own}"), &patch);
    broker::produce(&address, &topic, [change(5, "c", Some("Alan"))]);
    let letter = wait::until("a dead letter", PATIENCE, || {
        daemon.get("/v1/dead-letters")["items"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&letter["reason"], &letter["subscription"]), (&json!("transform_failed"), &json!(own)));
    broker::until_all_committed(&address, &group, &topic, 1);
    assert_eq!(endpoint.webhooks("/own").len(), 2, "what a transform fails on is not sent");
}
