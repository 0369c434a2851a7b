//! Another configuration while it runs: taken over between two records, whole or not at all, and nothing is lost.

use crate::support::{
    account::Balance,
    api_call::Reply,
    broker::{self, Broker},
    daemon::{Daemon, Home},
    endpoint::{Answer, Endpoint, Webhook},
    shop::{self, SECRET},
    wait,
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;

/// A home that reads a new topic by `mappings/0.yaml`.
fn home(stem: &str) -> (String, Home) {
    let topic = Broker::shared().topic(stem, PARTITIONS);
    let home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(&topic));
    (topic, home)
}

/// The mapping with events of another type.
fn typed(topic: &str, event_type: &str) -> String {
    shop::mapping(topic).replace(shop::PLACED, event_type)
}

/// A declared subscription to all events; `more` is put over that.
fn one(id: &str, url: &str, more: Value) -> Value {
    let mut one = json!({ "id": id, "url": url, "types": ["**"], "secrets": ["${file:secret.txt}"] });
    more.as_object().unwrap().iter().for_each(|(key, value)| one[key] = value.clone());
    one
}

/// A file of declared subscriptions.
fn declared(all: &[Value]) -> String {
    json!({ "subscriptions": all }).to_string()
}

#[track_caller]
fn reload(daemon: &Daemon) -> Value {
    let reply = daemon.call("POST", "/v1/reload");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[track_caller]
fn until_arrived(endpoint: &Endpoint, path: &str, orders: u64) {
    wait::until_so(&format!("{orders} orders at {path}"), PATIENCE, || endpoint.account().arrived(path) == orders);
}

fn event_type(webhook: &Webhook) -> String {
    webhook.json()["type"].as_str().unwrap().to_owned()
}

fn types(endpoint: &Endpoint, path: &str) -> Vec<String> {
    endpoint.webhooks(path).iter().map(event_type).collect()
}

#[test]
fn a_good_configuration_is_taken_over_and_a_bad_one_leaves_the_old_in_force_and_says_why() {
    let (topic, home) = home("reload");
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    Broker::shared().produce(&topic, shop::orders(0..10, PARTITIONS));
    until_arrived(&endpoint, "/a", 10);

    home.write("mappings/0.yaml", &typed(&topic, "com.acme.order.placed.v2"));
    daemon.signal("HUP");
    wait::until_so("generation 2", PATIENCE, || daemon.get("/v1/status")["generation"] == 2);
    assert_eq!(daemon.get("/v1/status")["reload"]["cause"], "signal");
    Broker::shared().produce(&topic, shop::orders(10..20, PARTITIONS));
    until_arrived(&endpoint, "/a", 20);

    home.write("mappings/0.yaml", &typed(&topic, "com.acme.order.placed.v3").replace("emit:", "emitt:"));
    let reply: Reply = daemon.call("POST", "/v1/reload");
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(
        reply.body.contains("0.yaml:5:5: mappings[0].emitt: is not a known key. Did you mean `emit`?"),
        "{reply:?}"
    );
    let status = daemon.get("/v1/status");
    assert_eq!((&status["generation"], &status["reload"]["result"]), (&json!(2), &json!("refused")));
    assert!(status["reload"]["problems"].to_string().contains("emitt"), "{status}");
    assert!(daemon.log().contains("the one before stays in force") && daemon.log().contains("emitt"));
    assert_eq!(daemon.metric("hookline_config_reloads_total", &["result=\"applied\""]), 1.0);
    assert_eq!(daemon.metric("hookline_config_reloads_total", &["result=\"refused\""]), 1.0);
    Broker::shared().produce(&topic, shop::orders(20..30, PARTITIONS));
    until_arrived(&endpoint, "/a", 30);
    let types = types(&endpoint, "/a");
    let count = |wanted: &str| types.iter().filter(|kind| kind.ends_with(wanted)).count();
    assert_eq!((count("v1"), count("v2"), count("v3")), (10, 20, 0));

    home.write("mappings/0.yaml", &typed(&topic, "com.acme.order.placed.v2"));
    fs::write(home.path("hookline.yaml"), home.config.to_string().replace("127.0.0.1/32", "127.0.0.0/8")).unwrap();
    let reply = daemon.call("POST", "/v1/reload");
    assert!(reply.status == 422 && reply.body.contains("egress.allow: is read at the start only"), "{reply:?}");
    assert!(daemon.stop().success());
}

#[test]
fn a_config_map_that_is_swapped_is_taken_over_by_itself() {
    let (topic, mut home) = home("swapped");
    let endpoint = Endpoint::accepting();
    // As Kubernetes mounts it: the file leads to `..data`, and that to the present version.
    for (version, event_type) in [("..1", "com.acme.first"), ("..2", "com.acme.second")] {
        home.write(&format!("volume/{version}/rules.yaml"), &typed(&topic, event_type));
    }
    symlink("..1", home.path("volume/..data")).unwrap();
    symlink("..data/rules.yaml", home.path("volume/rules.yaml")).unwrap();
    home.config["mappings"] = json!(["volume"]);
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    Broker::shared().produce(&topic, shop::orders(0..5, PARTITIONS));
    until_arrived(&endpoint, "/a", 5);
    symlink("..2", home.path("volume/..next")).unwrap();
    fs::rename(home.path("volume/..next"), home.path("volume/..data")).unwrap();
    wait::until_so("generation 2", PATIENCE, || daemon.get("/v1/status")["generation"] == 2);
    assert_eq!(daemon.get("/v1/status")["reload"]["cause"], "files");
    Broker::shared().produce(&topic, shop::orders(5..10, PARTITIONS));
    until_arrived(&endpoint, "/a", 10);
    let types = types(&endpoint, "/a");
    let count = |wanted: &str| types.iter().filter(|kind| *kind == wanted).count();
    assert_eq!((count("com.acme.first"), count("com.acme.second")), (5, 5));
}

#[test]
fn topics_come_and_go_under_load_and_nothing_is_lost_or_comes_twice() {
    const ORDERS: u64 = 4_000;
    let (stays, home) = home("stays");
    let comes = Broker::shared().topic("comes", PARTITIONS);
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    let writing = [(stays.clone(), 0), (comes.clone(), ORDERS)].map(|(topic, first)| {
        thread::spawn(move || {
            for n in (first..first + ORDERS).step_by(100) {
                Broker::shared().produce(&topic, shop::orders(n..n + 100, PARTITIONS));
                thread::sleep(Duration::from_millis(100)); // load, spread over some seconds
            }
        })
    });
    let reads = || {
        let partitions = daemon.get("/v1/status")["partitions"].clone();
        partitions.as_array().unwrap().iter().filter(|one| one["topic"] == comes.as_str()).count()
    };
    let mapping = shop::mapping(&comes).replace("order-placed", "order-placed-too");
    let mut generation = 1;
    for round in 0..3 {
        home.write("mappings/1.yaml", &mapping);
        generation += 1;
        assert_eq!(reload(&daemon)["generation"], generation);
        let all = usize::try_from(PARTITIONS).unwrap();
        wait::until_so("the topic to be read", PATIENCE, || reads() == all);
        if round < 2 {
            let enough = endpoint.account().arrived("/a") + 200;
            wait::until_so("some orders", PATIENCE, || endpoint.account().arrived("/a") >= enough);
            fs::remove_file(home.path("mappings/1.yaml")).unwrap();
            generation += 1;
            assert_eq!(reload(&daemon)["generation"], generation);
            wait::until_so("the topic to be given back", PATIENCE, || reads() == 0);
        }
    }
    writing.into_iter().for_each(|thread| thread.join().unwrap());
    until_arrived(&endpoint, "/a", 2 * ORDERS);
    for topic in [&stays, &comes] {
        broker::until_all_committed(&Broker::shared().address(), &format!("g.{stays}"), topic, PARTITIONS);
    }
    assert!(daemon.stop().success());
    assert_eq!(endpoint.account().balance("/a", 0..2 * ORDERS), Balance::exactly_once(2 * ORDERS));
}

#[test]
fn a_type_that_is_renamed_in_a_mapping_and_a_declared_subscription_at_once_is_missed_by_no_record() {
    let (topic, mut home) = home("renamed");
    home.config["mappings"] = json!(["now/mappings"]);
    home.config["subscriptions"] = json!(["now/subscriptions"]);
    let home = home;
    let endpoint = Endpoint::accepting();
    // Both files change in one instant, as in a volume.
    let turn = |round: u32| {
        let (name, kind) = (format!("v{round}"), format!("t.{round}"));
        let subscription = one("sub_a", &endpoint.url("/a"), json!({ "types": [kind] }));
        home.write(&format!("{name}/mappings/a.yaml"), &typed(&topic, &kind));
        home.write(&format!("{name}/subscriptions/a.yaml"), &declared(&[subscription]));
        symlink(&name, home.path("next")).unwrap();
        fs::rename(home.path("next"), home.path("now")).unwrap();
    };
    home.write("secret.txt", SECRET);
    turn(0);
    let daemon = home.start();
    let stop = AtomicBool::new(false);
    let orders = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                Broker::shared().produce(&topic, shop::orders(n..n + 200, PARTITIONS));
                n += 200;
            }
            n
        });
        for round in 1..=10 {
            let enough = endpoint.account().arrived("/a") + 100;
            wait::until_so("load", PATIENCE, || endpoint.account().arrived("/a") >= enough);
            turn(round);
            assert_eq!(reload(&daemon)["generation"], round + 1);
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    until_arrived(&endpoint, "/a", orders);
    assert!(daemon.stop().success());
    assert_eq!(endpoint.account().balance("/a", 0..orders), Balance::exactly_once(orders));
}

#[test]
fn declared_subscriptions_follow_their_files_and_the_api_only_reads_them() {
    let (topic, home) = home("declared");
    let endpoint = Endpoint::scripted(|webhook| match webhook.path.as_str() {
        "/fails" => Answer::Status(500),
        _ => Answer::Status(200),
    });
    home.write("secret.txt", SECRET);
    let (a, fails) = (json!({ "name": "A" }), one("sub_fails", &endpoint.url("/fails"), json!({})));
    let (a, moved) = (one("sub_a", &endpoint.url("/a"), a.clone()), one("sub_a", &endpoint.url("/moved"), a));
    home.write("subscriptions/a.yaml", &declared(&[a, fails.clone()]));
    Broker::shared().produce(&topic, shop::orders(0..20, PARTITIONS));
    let daemon = home.start();
    until_arrived(&endpoint, "/a", 20); // it was there before the first record was read
    let shown = daemon.get("/v1/subscriptions/sub_a");
    assert_eq!((&shown["declared"], &shown["name"], &shown["version"]), (&json!(true), &json!("A"), &json!(1)));
    assert!(!daemon.get("/v1/subscriptions").to_string().contains(SECRET));
    for (method, path) in [("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")] {
        let reply = daemon.call(method, &format!("/v1/subscriptions/sub_a{path}"));
        assert!(reply.status == 409 && reply.body.contains("change it there"), "{method} {path}: {reply:?}");
    }
    wait::until_so("a ledger", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) > 0.0);

    let past = one("sub_past", &endpoint.url("/past"), json!({ "start": "earliest", "ordering": "key" }));
    home.write("subscriptions/a.yaml", &declared(&[moved.clone(), fails, past.clone()]));
    let expected = json!({ "added": ["sub_past"], "changed": ["sub_a"], "removed": [] });
    assert_eq!(reload(&daemon)["subscriptions"], expected);
    Broker::shared().produce(&topic, shop::orders(20..30, PARTITIONS));
    until_arrived(&endpoint, "/moved", 10);
    until_arrived(&endpoint, "/past", 30);

    home.write("subscriptions/a.yaml", &declared(&[moved, past]));
    assert_eq!(reload(&daemon)["subscriptions"]["removed"], json!(["sub_fails"]));
    assert_eq!(daemon.call("GET", "/v1/subscriptions/sub_fails").status, 404);
    wait::until_so("no ledger", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) == 0.0);
    assert!(daemon.log().contains("no file declares it any more: it is deleted"), "{}", daemon.log());

    fs::rename(home.path("subscriptions"), home.path("elsewhere")).unwrap();
    let reply = daemon.call("POST", "/v1/reload");
    assert!(reply.status == 422 && reply.body.contains("2 were declared (sub_a, sub_past)"), "{reply:?}");
    fs::rename(home.path("elsewhere"), home.path("subscriptions")).unwrap();
    assert!(daemon.stop().success());

    let daemon = home.start();
    let shown = daemon.get("/v1/subscriptions/sub_a");
    assert_eq!((&shown["version"], &shown["url"]), (&json!(2), &json!(endpoint.url("/moved"))), "as it was");
    assert!(daemon.stop().success());
    for (path, orders) in [("/a", 0..20), ("/moved", 20..30), ("/past", 0..30)] {
        let balance = endpoint.account().balance(path, orders.clone());
        assert_eq!(balance, Balance::exactly_once(orders.end - orders.start), "{path}");
    }
}
