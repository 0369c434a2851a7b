//! The main job: a record becomes a signed webhook, and what stands in its way is dealt with.

use crate::support::{
    account::Balance,
    broker::{self, Broker, Sample},
    daemon::{Daemon, Home},
    endpoint::{Answer, Endpoint, Webhook},
    shop::{self, PLACED},
    wait,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A topic with orders, a home that maps them, and a group of its own.
struct Setting {
    topic: String,
    group: String,
    home: Home,
}

// === impl Setting ===

impl Setting {
    fn new(stem: &str, partitions: i32) -> Self {
        let topic = Broker::shared().topic(stem, partitions);
        Self::on(&Broker::shared().address(), topic)
    }

    fn on(address: &str, topic: String) -> Self {
        let group = format!("g.{topic}");
        let home = Home::new(address, &group);
        home.mapping(&shop::mapping(&topic));
        Self { topic, group, home }
    }

    fn produce(&self, samples: impl IntoIterator<Item = Sample>) {
        Broker::shared().produce(&self.topic, samples);
    }

    #[track_caller]
    fn until_all_committed(&self, partitions: i32) {
        broker::until_all_committed(&Broker::shared().address(), &self.group, &self.topic, partitions);
    }
}

#[track_caller]
fn until_arrived(endpoint: &Endpoint, path: &str, orders: u64) {
    wait::until_so(&format!("{orders} orders at {path}"), PATIENCE, || endpoint.account().arrived(path) >= orders);
}

fn quarantine(daemon: &Daemon) -> Vec<Value> {
    daemon.get("/v1/quarantine")["items"].as_array().unwrap().clone()
}

#[test]
fn a_record_becomes_a_signed_webhook_in_each_of_the_four_formats() {
    let setting = Setting::new("formats", 3);
    in_each_of_the_four_formats(&Broker::shared().address(), setting);
}

#[test]
fn the_in_process_broker_serves_the_main_job_too() {
    let broker = hookline::kafka::broker::Broker::start().unwrap();
    broker.topic("shop.orders", 3).unwrap();
    in_each_of_the_four_formats(broker.servers(), Setting::on(broker.servers(), "shop.orders".into()));
}

fn in_each_of_the_four_formats(address: &str, setting: Setting) {
    const FORMATS: [&str; 4] = ["cloudevents", "cloudevents-binary", "standard", "raw"];
    let endpoint = Endpoint::accepting();
    let daemon = setting.home.start();
    for format in FORMATS {
        daemon.subscribe(&endpoint.url(&format!("/{format}")), &json!({ "format": format }));
    }
    broker::produce(address, &setting.topic, shop::orders(0..40, 3));
    let mut ids = Vec::new();
    for format in FORMATS {
        let path = format!("/{format}");
        until_arrived(&endpoint, &path, 40);
        assert_eq!(endpoint.account().balance(&path, 0..40), Balance::exactly_once(40), "{format}");
        let webhooks = endpoint.webhooks(&path);
        let webhook = webhooks.iter().find(|webhook| holds_order(webhook, 17)).unwrap();
        webhooks.iter().for_each(|webhook| is_ours(webhook));
        let body = webhook.json();
        let (data, content_type) = match format {
            "cloudevents" => {
                assert_eq!((&body["specversion"], &body["id"]), (&"1.0".into(), &webhook.id.as_str().into()));
                assert_eq!((&body["type"], &body["subject"]), (&PLACED.into(), &"o-17".into()));
                assert!(!body["source"].as_str().unwrap().is_empty() && body["time"].as_str().unwrap().ends_with('Z'));
                (body["data"].clone(), "application/cloudevents+json; charset=utf-8")
            }
            "cloudevents-binary" => {
                let wanted =
                    [("ce-specversion", "1.0"), ("ce-id", &webhook.id), ("ce-type", PLACED), ("ce-subject", "o-17")];
                wanted.into_iter().for_each(|(name, value)| assert_eq!(webhook.header(name), value, "{name}"));
                assert!(!webhook.header("ce-source").is_empty() && webhook.header("ce-time").ends_with('Z'));
                (body, "application/json")
            }
            "standard" => {
                assert_eq!(body["type"], PLACED);
                assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
                (body["data"].clone(), "application/json")
            }
            _ => (body, "application/json"),
        };
        assert_eq!(webhook.header("content-type"), content_type, "{format}");
        let text = String::from_utf8(webhook.body.to_vec()).unwrap();
        assert!(text.contains(r#""total":17.10"#), "a number keeps its text: {text}");
        let wanted = json!({ "order_id": "o-17", "merchant": "m-17", "currency": "EUR", "customer": "Ada Lovelace",
            "email": "ada.lovelace@example.com", "city": "London", "first_sku": "ENGINE-01" });
        wanted.as_object().unwrap().iter().for_each(|(name, value)| assert_eq!(&data[name], value, "{name}"));
        assert_eq!(data.as_object().unwrap().len(), 8);
        ids.push(webhook.id.clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "one event has one id, whoever gets it: {ids:?}");
    broker::until_all_committed(address, &setting.group, &setting.topic, 3);
    assert!(daemon.stop().success());
}

fn holds_order(webhook: &Webhook, order: u64) -> bool {
    String::from_utf8_lossy(&webhook.body).contains(&format!(r#""order_id":"o-{order}""#))
}

#[track_caller]
fn is_ours(webhook: &Webhook) {
    assert!(webhook.verifies(), "{webhook:?}");
    assert!(webhook.id.starts_with("evt_") && webhook.header("user-agent").starts_with("hookline/"), "{webhook:?}");
}

#[test]
fn a_refused_webhook_is_tried_again_with_the_same_id() {
    let setting = Setting::new("refused", 3);
    let endpoint = Endpoint::scripted(|webhook| match webhook.attempt {
        1 => Answer::Status(500),
        2 => Answer::Status(404),
        _ => Answer::Status(202),
    });
    let daemon = setting.home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    // Eight failures in all: ten in a row would open the breaker.
    setting.produce(shop::orders(0..4, 3));
    until_arrived(&endpoint, "/a", 4);
    setting.until_all_committed(3);
    assert_eq!(endpoint.account().balance("/a", 0..4), Balance::exactly_once(4));
    let mut attempts: BTreeMap<String, Vec<Webhook>> = BTreeMap::new();
    for webhook in endpoint.webhooks("/a") {
        is_ours(&webhook);
        attempts.entry(webhook.id.clone()).or_default().push(webhook);
    }
    assert_eq!(attempts.len(), 4);
    for (id, attempts) in attempts {
        assert_eq!(attempts.len(), 3, "{id}");
        assert!(attempts.iter().all(|attempt| attempt.body == attempts[0].body), "{id}");
        let waits: Vec<_> = attempts.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        // The schedule of the tests is 200 ms and 500 ms, varied by a tenth.
        assert!(waits[0] >= Duration::from_millis(180) && waits[1] >= Duration::from_millis(450), "{id}: {waits:?}");
    }
    assert!(daemon.stop().success());
}

#[test]
fn an_endpoint_that_is_busy_is_left_alone_as_long_as_it_asks() {
    let setting = Setting::new("busy", 1);
    let first = AtomicBool::new(true);
    let endpoint = Endpoint::scripted(move |_| match first.swap(false, Ordering::SeqCst) {
        true => Answer::Busy(3),
        false => Answer::Status(200),
    });
    let daemon = setting.home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({ "concurrency": 1 }));
    setting.produce(shop::orders(0..10, 1));
    until_arrived(&endpoint, "/a", 10);
    let webhooks = endpoint.webhooks("/a");
    let waited = webhooks[1].at - webhooks[0].at;
    assert!(waited >= Duration::from_secs(3), "asked for 3 s, left alone for {waited:?}");
    assert_eq!(endpoint.account().balance("/a", 0..10), Balance::exactly_once(10));
    drop(daemon);
}

#[test]
fn an_endpoint_that_is_gone_disables_its_subscription_and_no_other() {
    let setting = Setting::new("gone", 1);
    let endpoint = Endpoint::scripted(|webhook| Answer::Status(if webhook.path == "/gone" { 410 } else { 200 }));
    let daemon = setting.home.start();
    let gone = daemon.subscribe(&endpoint.url("/gone"), &json!({ "concurrency": 1 }));
    let well = daemon.subscribe(&endpoint.url("/well"), &json!({}));
    let status = |daemon: &Daemon, id: &str| daemon.get(&format!("/v1/subscriptions/{id}"))["status"].clone();
    setting.produce(shop::orders(0..10, 1));
    wait::until_so("it to be disabled", PATIENCE, || status(&daemon, &gone) == "disabled");
    let reason = daemon.get(&format!("/v1/subscriptions/{gone}"))["status_reason"].clone();
    assert!(reason.as_str().unwrap().contains("410"), "{reason}");
    setting.produce(shop::orders(10..20, 1));
    until_arrived(&endpoint, "/well", 20);
    assert!(daemon.stop().success());
    let daemon = setting.home.start();
    assert_eq!((status(&daemon, &gone), status(&daemon, &well)), ("disabled".into(), "active".into()));
    setting.produce(shop::orders(20..30, 1));
    until_arrived(&endpoint, "/well", 30);
    assert_eq!(endpoint.requests("/gone"), 1);
    assert_eq!(endpoint.account().balance("/well", 0..30), Balance::exactly_once(30));
    drop(daemon);
}

#[test]
fn what_is_not_json_is_quarantined_and_the_others_flow() {
    let broken = Sample { partition: 0, key: "o-5".into(), value: br#"{"type":"OrderPlaced","id":"o-5""#.to_vec() };
    let kept = quarantined_and_the_others_flow("not-json", broken);
    assert!(kept.contains("decode"), "{kept}");
}

#[test]
fn what_cannot_be_mapped_is_quarantined_and_the_others_flow() {
    let text = r#"{"type":"OrderPlaced","id":"o-5","merchant":"m-5","currency":"EUR","total":1,"lines":[]}"#;
    let broken = Sample { partition: 0, key: "o-5".into(), value: text.into() };
    let kept = quarantined_and_the_others_flow("not-mapped", broken);
    assert!(kept.contains("order-placed") && kept.contains("data.customer"), "names mapping and field: {kept}");
    assert!(kept.contains("payload.customer.name"), "names the expression: {kept}");
}

/// Produces the broken record in the midst of orders; gives what the API says about it.
fn quarantined_and_the_others_flow(stem: &str, broken: Sample) -> String {
    let setting = Setting::new(stem, 1);
    let endpoint = Endpoint::accepting();
    let daemon = setting.home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    let text = String::from_utf8(broken.value.clone()).unwrap();
    setting.produce(shop::orders(0..5, 1).chain([broken]).chain(shop::orders(6..20, 1)));
    until_arrived(&endpoint, "/a", 19);
    setting.until_all_committed(1);
    let [kept] = quarantine(&daemon).try_into().unwrap();
    assert!(kept.to_string().contains(&setting.topic), "{kept}");
    assert_eq!(daemon.metric("hookline_records_quarantined_total", &[&setting.topic]), 1.0);
    assert!(daemon.stop().success());
    // Its bytes are there after a restart.
    let daemon = setting.home.start();
    let [again] = quarantine(&daemon).try_into().unwrap();
    assert_eq!(again["id"], kept["id"]);
    let whole = daemon.get(&format!("/v1/quarantine/{}", kept["id"].as_str().unwrap()));
    assert!(strings(&whole).contains(&text), "{whole}");
    let balance = endpoint.account().balance("/a", 0..20);
    assert_eq!((balance.arrived, balance.first_lost, balance.twins), (19, Some(5), 0));
    kept.to_string()
}

/// All strings in a JSON value.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(strings).collect(),
        Value::Object(map) => map.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_was_parked_is_delivered_after_a_restart() {
    let setting = Setting::new("parked", 3);
    let well = Arc::new(AtomicBool::new(false));
    let endpoint = {
        let well = Arc::clone(&well);
        Endpoint::scripted(move |_| Answer::Status(if well.load(Ordering::SeqCst) { 200 } else { 503 }))
    };
    let daemon = setting.home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    setting.produce(shop::orders(0..50, 3));
    // Kafka may forget them once they are durably parked.
    setting.until_all_committed(3);
    // What was attempted is in the ledger; what the open breaker kept back is behind a cursor.
    let rows = daemon.metric("hookline_ledger_rows", &[]);
    assert!((1.0..=50.0).contains(&rows), "{rows} rows");
    assert!(daemon.stop().success());
    let tried = endpoint.webhooks("/a");
    assert!(endpoint.account().arrived("/a") == 0 && !tried.is_empty());
    well.store(true, Ordering::SeqCst);
    let daemon = setting.home.start();
    until_arrived(&endpoint, "/a", 50);
    assert_eq!(endpoint.account().balance("/a", 0..50), Balance::exactly_once(50));
    assert_eq!(daemon.metric("hookline_records_consumed_total", &[]), 0.0, "none was read from Kafka again");
    for attempt in &tried {
        let same = |later: &&Webhook| later.body == attempt.body;
        assert!(endpoint.webhooks("/a").iter().filter(same).all(|later| later.id == attempt.id));
    }
    wait::until_so("an empty ledger", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) == 0.0);
    assert!(daemon.stop().success());
}

#[test]
fn an_endpoint_inside_is_refused() {
    let mut setting = Setting::new("inside", 1);
    setting.home.config["egress"] = json!({ "allow_http": true });
    let endpoint = Endpoint::accepting();
    let daemon = setting.home.start();
    let port = endpoint.address.port();
    let inside =
        ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "10.0.0.1", "192.168.1.1", "0.0.0.0"];
    for host in inside.into_iter().chain(["169.254.169.254", "172.16.0.1", "[fd00::1]", "100.64.0.1"]) {
        let reply = daemon.ask_subscription(&format!("http://{host}:{port}/a"), &json!({}));
        assert_eq!(reply.status, 422, "{host}: {reply:?}");
        assert!(reply.body.contains("url"), "says which field: {reply:?}");
    }
    // A name is judged by what it resolves to, at the latest when it is called.
    let reply = daemon.ask_subscription(&format!("http://localhost:{port}/a"), &json!({}));
    if reply.status == 201 {
        setting.produce(shop::orders(0..5, 1));
        wait::until_so("blocked attempts", PATIENCE, || {
            daemon.metric("hookline_attempts_total", &[r#"class="blocked""#]) > 0.0
        });
    }
    assert_eq!((endpoint.requests("/a"), reply.status == 201 || reply.status == 422), (0, true));
}

#[test]
fn seven_mistakes_are_told_at_once() {
    let home = Home::new("127.0.0.1:1", "g");
    let config = "kafka:
  brokers: 127.0.0.1:1
  gruop: hookline
mappings: [mappings]
store: { path: data, min_free: lots }
delivery:
  timeout: 15 parsecs
api: { listen: 127.0.0.1:99999 }
";
    let mapping = "mappings:
  - name: Order Placed
    from: shop.orders
    when: payload.type =
    emit:
      type: com.acme.order.placed.v1
      data:
        total: ${paylod.total}
";
    std::fs::write(home.path("hookline.yaml"), config).unwrap();
    home.mapping(mapping);
    let mut daemon = home.spawn_as_written();
    let status = daemon.until_ended(PATIENCE);
    let said = daemon.log();
    assert_eq!(status.code(), Some(2), "{said}");
    let wanted = [
        ("hookline.yaml:3:3", "gruop", "`group`"),
        ("hookline.yaml:5:32", "store.min_free", "lots"),
        ("hookline.yaml:7:12", "delivery.timeout", "15 parsecs"),
        ("hookline.yaml:8:16", "api.listen", "99999"),
        ("0.yaml:2:11", "name", "Order Placed"),
        ("0.yaml:4:", "when", "payload.type ="),
        ("0.yaml:8:", "emit.data.total", "paylod"),
    ];
    for words in wanted {
        for word in [words.0, words.1, words.2] {
            assert!(said.contains(word), "says nothing of {word}:\n{said}");
        }
    }
    assert!(!home.path("data").exists(), "nothing was made");
}
