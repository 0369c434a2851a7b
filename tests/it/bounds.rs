//! What is bounded, when the bound is reached: who reads or sends has to wait and says so, and nothing is lost. Against a
//! real Kafka.

use crate::support::{
    account::Balance,
    broker::{Broker, Sample},
    daemon::{Daemon, Home},
    endpoint::{Answer, Endpoint},
    shop, wait,
};
use serde_json::{Value, json};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn home(stem: &str, partitions: i32) -> (String, Home) {
    let topic = Broker::shared().topic(stem, partitions);
    let home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(&topic));
    (topic, home)
}

#[track_caller]
fn until_arrived(endpoint: &Endpoint, path: &str, orders: u64) {
    wait::until_so(&format!("{orders} orders at {path}"), PATIENCE, || endpoint.account().arrived(path) == orders);
}

/// Something that is no JSON, of 30 KiB.
fn broken(partition: i32) -> Sample {
    Sample { partition, key: "broken".into(), value: vec![b'{'; 30 << 10] }
}

fn on(daemon: &Daemon, partition: i32) -> Value {
    let status = daemon.get("/v1/status");
    let mut all = status["partitions"].as_array().unwrap().iter();
    all.find(|one| one["partition"] == partition).cloned().unwrap_or_default()
}

#[test]
fn a_full_quarantine_pauses_its_partition_and_drops_nothing() {
    let (topic, mut home) = home("quarantine-full", 2);
    home.config["limits"] = json!({ "quarantine": "1MiB" });
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    // 60 of them are 2.4 MiB as they are stored; an order stands behind every one.
    let mixed = (0..60).flat_map(|n| [broken(0), shop::order(n, 0)]);
    Broker::shared().produce(&topic, mixed.chain((60..160).map(|n| shop::order(n, 1))));
    wait::until_so("the partition to pause", PATIENCE, || on(&daemon, 0)["paused"] == "quarantine");
    wait::until_so("the other to flow", PATIENCE, || on(&daemon, 1)["lag"] == 0);
    let arrived = endpoint.account().arrived("/a");
    assert!((110..160).contains(&arrived), "100 of the other partition, and what came before: {arrived}");
    let status = daemon.get("/v1/status");
    assert_eq!((&on(&daemon, 1)["paused"], &status["backpressure"]), (&Value::Null, &json!("quarantine")));
    assert!(status["quarantine"]["bytes"].as_u64().unwrap() < 1_100_000, "one record more at most: {status}");
    let paused = || daemon.metric("hookline_backpressure_seconds_total", &["reason=\"quarantine\""]);
    wait::until_so("it to be counted", PATIENCE, || paused() > 0.0);
    assert!(daemon.log().contains("the quarantine is full (limits.quarantine)"), "and told");
    wait::until_so("room, and all orders", PATIENCE, || {
        let removed = daemon.call("DELETE", "/v1/quarantine?reason=decode");
        assert_eq!(removed.status, 200, "{removed:?}");
        endpoint.account().arrived("/a") == 160
    });
    wait::until_so("it to go on", PATIENCE, || on(&daemon, 0)["lag"] == 0 && on(&daemon, 0)["paused"].is_null());
    assert_eq!(endpoint.account().balance("/a", 0..160), Balance::exactly_once(160));
    assert!(daemon.stop().success());
}

#[test]
fn what_was_not_understood_is_delivered_once_when_the_rules_are_mended() {
    const ORDERS: u64 = 40;
    let (topic, home) = home("mended", 3);
    let endpoint = Endpoint::accepting();
    let wrong = shop::mapping(&topic).replace("payload.merchant", "payload.merchand");
    fs::write(home.path("mappings/0.yaml"), wrong).unwrap();
    let daemon = home.start();
    for path in ["/a", "/b"] {
        daemon.subscribe(&endpoint.url(path), &json!({}));
    }
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({}));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    Broker::shared().produce(&topic, shop::orders(0..ORDERS, 3));
    wait::until_so("all in quarantine", PATIENCE, || daemon.get("/v1/status")["quarantine"]["rows"] == ORDERS);
    // Who was made later is not owed what came before.
    daemon.subscribe(&endpoint.url("/young"), &json!({}));
    let again = daemon.post_200("/v1/quarantine/retry", &json!({ "filter": {} }));
    assert_eq!((&again["retried"], &again["failed"]), (&json!(0), &json!(ORDERS)), "the rules are as they were");
    assert!(daemon.stop().success());

    fs::write(home.path("mappings/0.yaml"), shop::mapping(&topic)).unwrap();
    let daemon = home.start();
    wait::until_so("all three partitions", PATIENCE, || {
        daemon.get("/v1/status")["partitions"].as_array().unwrap().len() == 3
    });
    let dry = daemon.post_200("/v1/quarantine/retry", &json!({ "filter": { "topic": topic }, "dry_run": true }));
    assert_eq!(dry["matched"], ORDERS);
    let again = daemon.post_200("/v1/quarantine/retry", &json!({ "filter": { "topic": topic } }));
    assert_eq!((&again["retried"], &again["failed"], &again["waiting"]), (&json!(ORDERS), &json!(0), &json!(0)));
    for path in ["/a", "/b"] {
        until_arrived(&endpoint, path, ORDERS);
    }
    assert_eq!(daemon.get("/v1/status")["quarantine"], json!({ "rows": 0, "bytes": 0 }));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    // A replay makes the same events of the same records: with the same ids, so that nobody takes them for others.
    let all = daemon.get("/v1/subscriptions");
    let of = |path: &str| {
        let all = all["items"].as_array().unwrap();
        all.iter().find(|one| one["url"].as_str().unwrap().ends_with(path)).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let replays = format!("/v1/subscriptions/{}/replays", of("/b"));
    daemon.post(&replays, &json!({ "from": "earliest", "types": [shop::PLACED] }));
    let none = daemon.post(&replays, &json!({ "from": "earliest", "types": ["com.acme.other.*"] }));
    for replay in daemon.get(&replays)["items"].as_array().unwrap() {
        let path = format!("{replays}/{}", replay["id"].as_str().unwrap());
        wait::until_so("the replays to end", PATIENCE, || daemon.get(&path)["state"] == "finished");
    }
    assert_eq!(none["types"], json!(["com.acme.other.*"]));
    let orders = 0..ORDERS;
    assert_eq!(endpoint.account().balance("/a", orders.clone()), Balance::exactly_once(ORDERS));
    let twice = Balance { twins: ORDERS, ..Balance::exactly_once(ORDERS) };
    assert_eq!(endpoint.account().balance("/b", orders.clone()), twice, "once by the replay of its type, with its id");
    // Who was behind gets it from the log, where its reader finds it now.
    until_arrived(&endpoint, "/paused", ORDERS);
    assert_eq!(endpoint.account().balance("/paused", orders), Balance::exactly_once(ORDERS));
    assert_eq!(endpoint.account().arrived("/young"), 0);
    assert!(daemon.stop().success());
}

#[test]
fn dead_letters_that_are_full_stop_their_subscriber_and_nobody_else() {
    const ORDERS: u64 = 3_000;
    let (topic, mut home) = home("dead-full", 2);
    home.config["delivery"]["dead_letter_budget"] = json!("1MiB");
    let takes = Arc::new(AtomicBool::new(false));
    let endpoint = {
        let takes = Arc::clone(&takes);
        let refuses = move |path: &str| path == "/a" && !takes.load(Ordering::SeqCst);
        Endpoint::scripted(move |webhook| Answer::Status(if refuses(&webhook.path) { 413 } else { 200 }))
    };
    let daemon = home.start();
    let refusing = daemon.subscribe(&endpoint.url("/a"), &json!({}));
    daemon.subscribe(&endpoint.url("/b"), &json!({}));
    Broker::shared().produce(&topic, shop::orders(0..ORDERS, 2));
    until_arrived(&endpoint, "/b", ORDERS);
    let health = |daemon: &Daemon| daemon.get(&format!("/v1/subscriptions/{refusing}"))["health"].clone();
    wait::until_so("its dead letters to be full", PATIENCE, || health(&daemon)["full"] == "dead_letters");
    let full = health(&daemon);
    let bytes = full["dead_letters"]["bytes"].as_u64().unwrap();
    assert_eq!((&full["reason"], bytes < 1_150_000), (&json!("full"), true), "{full}");
    let requests = endpoint.requests("/a");
    assert!(requests < ORDERS, "nothing is tried any more: {requests}");
    assert_eq!(daemon.metric("hookline_dead_letter_bytes", &[]), bytes as f64);
    assert!(daemon.stop().success());
    takes.store(true, Ordering::SeqCst);
    let daemon = home.start();
    wait::until_so("it to be full still", PATIENCE, || health(&daemon)["full"] == "dead_letters");
    wait::until_so("all of them", PATIENCE, || {
        daemon.post_200("/v1/dead-letters/retry", &json!({ "filter": { "subscription": refusing } }));
        endpoint.account().arrived("/a") == ORDERS
    });
    assert_eq!(health(&daemon)["dead_letters"], json!({ "rows": 0, "bytes": 0 }));
    for path in ["/a", "/b"] {
        assert_eq!(endpoint.account().balance(path, 0..ORDERS), Balance::exactly_once(ORDERS), "{path}");
    }
    assert!(daemon.stop().success());
}
