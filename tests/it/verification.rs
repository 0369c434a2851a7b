//! Nobody gets events who has not said that he wants them; who says so later gets everything. Against a real Kafka.

use crate::support::{
    broker::{self, Broker},
    daemon::{Daemon, Home},
    receiver::{Habit, Receiver, Reply},
    shop::{self, SECRET},
    wait,
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const ORDERS: u64 = 300;
const PARTITIONS: i32 = 3;

/// An endpoint that says yes to what it is asked once `wants` is set, and takes every webhook.
fn endpoint(wants: &Arc<AtomicBool>) -> Receiver {
    let wants = Arc::clone(wants);
    Receiver::scripted(move |received| {
        let wants = wants.load(Ordering::SeqCst);
        let line = received.line();
        Habit::Answer(match (line.split(' ').next(), line.split_once("?challenge=")) {
            (Some("OPTIONS"), _) if wants => Reply::with(200, &[("WebHook-Allowed-Origin", "shop.example.com")], b""),
            (Some("GET"), Some((_, rest))) if wants => {
                Reply::with(200, &[], rest.split(' ').next().unwrap().as_bytes())
            }
            (Some("POST"), _) => Reply::new(204),
            _ => Reply::new(200),
        })
    })
}

fn home(stem: &str) -> (String, Home) {
    let topic = Broker::shared().topic(stem, PARTITIONS);
    let mut home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(&topic));
    home.config["verification"] = json!({ "origin": "shop.example.com" });
    (topic, home)
}

fn delivered(endpoint: &Receiver) -> u64 {
    endpoint.book().ids.keys().filter(|id| !id.is_empty()).count() as u64 // a handshake has none
}

fn status(daemon: &Daemon, id: &str) -> serde_json::Value {
    daemon.get(&format!("/v1/subscriptions/{id}"))["status"].clone()
}

#[test]
fn wh_8_an_endpoint_gets_nothing_before_it_said_yes_and_then_everything_from_the_start() {
    let (topic, home) = home("unverified");
    let (wants, sure) = (Arc::<AtomicBool>::default(), Arc::new(AtomicBool::new(true)));
    let (asked, other) = (endpoint(&wants), endpoint(&sure));
    let daemon = home.start();
    let cloudevents = daemon.subscribe(&asked.url(), &json!({ "verification": "cloudevents" }));
    let challenge = daemon.subscribe(&other.url(), &json!({ "verification": "challenge" }));
    wait::until_so("the other to be verified by itself", PATIENCE, || status(&daemon, &challenge) == "active");
    Broker::shared().produce(&topic, shop::orders(0..ORDERS, PARTITIONS));
    wait::until_so("all at the other", PATIENCE, || delivered(&other) == ORDERS);
    broker::until_all_committed(&Broker::shared().address(), &format!("g.{topic}"), &topic, PARTITIONS);
    assert_eq!((status(&daemon, &cloudevents), delivered(&asked)), (json!("unverified"), 0));
    assert_eq!(daemon.metric("hookline_subscriptions", &["unverified"]), 1.0);
    assert_eq!(daemon.metric("hookline_lanes", &["unverified"]), 1.0);
    assert!(daemon.stop().success());

    let daemon = home.start();
    Broker::shared().produce(&topic, shop::orders(ORDERS..2 * ORDERS, PARTITIONS));
    wait::until_so("all at the other", PATIENCE, || delivered(&other) == 2 * ORDERS);
    assert_eq!((status(&daemon, &cloudevents), delivered(&asked)), (json!("unverified"), 0));
    wants.store(true, Ordering::SeqCst);
    let verified = daemon.post_200(&format!("/v1/subscriptions/{cloudevents}/verify"), &json!({}));
    assert_eq!(verified["status"], "active", "{verified}");
    wait::until_so("all at the one that said yes", PATIENCE, || delivered(&asked) == 2 * ORDERS);
    let book = asked.book();
    let webhooks = book.requests.iter().filter(|request| request.line().starts_with("POST"));
    for webhook in webhooks.clone() {
        assert!(webhook.signed_with(SECRET));
        assert_eq!(webhook.header("webhook-request-origin"), Some("shop.example.com"), "WH-6");
    }
    assert_eq!(webhooks.count() as u64, 2 * ORDERS, "each once");
}

#[test]
fn wh_8_a_declared_subscription_is_asked_and_a_url_that_changes_is_asked_anew() {
    let (topic, mut home) = home("declared-asked");
    let (wants, sure) = (Arc::<AtomicBool>::default(), Arc::new(AtomicBool::new(true)));
    let (first, second) = (endpoint(&sure), endpoint(&wants));
    let declare = |url: &str| {
        json!({ "subscriptions": [{ "id": "sub_a", "url": url, "types": ["**"], "secrets": [SECRET], "verification": "challenge" }] })
            .to_string()
    };
    home.config["subscriptions"] = json!(["declared.yaml"]);
    home.write("declared.yaml", &declare(&first.url()));
    let daemon = home.start();
    wait::until_so("it to be verified by itself", PATIENCE, || status(&daemon, "sub_a") == "active");
    Broker::shared().produce(&topic, shop::orders(0..ORDERS, PARTITIONS));
    wait::until_so("all at the first", PATIENCE, || delivered(&first) == ORDERS);
    home.write("declared.yaml", &declare(&second.url()));
    assert_eq!(daemon.call("POST", "/v1/reload").status, 200);
    assert_eq!(status(&daemon, "sub_a"), "unverified");
    Broker::shared().produce(&topic, shop::orders(ORDERS..2 * ORDERS, PARTITIONS));
    broker::until_all_committed(&Broker::shared().address(), &format!("g.{topic}"), &topic, PARTITIONS);
    assert_eq!((delivered(&first), delivered(&second)), (ORDERS, 0));
    wants.store(true, Ordering::SeqCst);
    let verified = daemon.post_200("/v1/subscriptions/sub_a/verify", &json!({}));
    assert_eq!(verified["handshake"]["consent"], true, "{verified}");
    wait::until_so("all later ones at the second", PATIENCE, || delivered(&second) == ORDERS);
    assert_eq!(delivered(&first), ORDERS);
}
