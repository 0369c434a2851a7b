//! Who is behind gets everything: paused, new with a start in the past, or sent again by a replay. Against a real Kafka.

use crate::support::{
    account::Balance,
    broker::{self, Broker},
    daemon::Home,
    endpoint::Endpoint,
    shop, wait,
};
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const ORDERS: u64 = 3_000;
const PARTITIONS: i32 = 6;

fn home(stem: &str) -> (String, Home) {
    let topic = Broker::shared().topic(stem, PARTITIONS);
    let home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(&topic));
    (topic, home)
}

#[track_caller]
fn until_arrived(endpoint: &Endpoint, path: &str, orders: u64) {
    wait::until_so(&format!("{orders} orders at {path}"), PATIENCE, || endpoint.account().arrived(path) == orders);
}

#[test]
fn a_paused_subscription_costs_cursors_and_gets_all_of_it_in_order_when_it_is_resumed() {
    let (topic, home) = home("paused");
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({ "ordering": "key" }));
    daemon.subscribe(&endpoint.url("/live"), &json!({}));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    Broker::shared().produce(&topic, shop::orders(0..ORDERS, PARTITIONS));
    until_arrived(&endpoint, "/live", ORDERS);
    broker::until_all_committed(&Broker::shared().address(), &format!("g.{topic}"), &topic, PARTITIONS);
    assert_eq!((endpoint.account().arrived("/paused"), daemon.metric("hookline_ledger_rows", &[])), (0, 0.0));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    until_arrived(&endpoint, "/paused", ORDERS);
    let health = |field: &str| daemon.get(&format!("/v1/subscriptions/{paused}"))["health"]["places"][field].clone();
    wait::until_so("all its places to be live", PATIENCE, || health("behind") == 0 && health("joining") == 0);
    Broker::shared().produce(&topic, shop::orders(ORDERS..2 * ORDERS, PARTITIONS));
    until_arrived(&endpoint, "/paused", 2 * ORDERS);
    until_arrived(&endpoint, "/live", 2 * ORDERS);
    assert!(daemon.stop().success());
    for path in ["/paused", "/live"] {
        assert_eq!(endpoint.account().balance(path, 0..2 * ORDERS), Balance::exactly_once(2 * ORDERS), "{path}");
    }
}

#[test]
fn a_new_subscription_may_start_in_the_past_and_a_replay_sends_it_again_with_the_same_ids() {
    let (topic, home) = home("past");
    let endpoint = Endpoint::accepting();
    Broker::shared().produce(&topic, shop::orders(0..ORDERS, PARTITIONS));
    let daemon = home.start();
    let since = "2020-01-01T00:00:00Z";
    let earliest = daemon.subscribe(&endpoint.url("/earliest"), &json!({ "start": "earliest" }));
    daemon.subscribe(&endpoint.url("/time"), &json!({ "start": since }));
    until_arrived(&endpoint, "/earliest", ORDERS);
    until_arrived(&endpoint, "/time", ORDERS);
    // Both count from there on, too.
    Broker::shared().produce(&topic, shop::orders(ORDERS..ORDERS + 100, PARTITIONS));
    until_arrived(&endpoint, "/earliest", ORDERS + 100);
    until_arrived(&endpoint, "/time", ORDERS + 100);
    for path in ["/earliest", "/time"] {
        let all = ORDERS + 100;
        assert_eq!(endpoint.account().balance(path, 0..all), Balance::exactly_once(all), "{path}");
    }
    let replays = format!("/v1/subscriptions/{earliest}/replays");
    let begun = daemon.post(&replays, &json!({ "from": since }));
    assert_eq!(begun["total"], ORDERS + 100, "{begun}");
    let replay = format!("{replays}/{}", begun["id"].as_str().unwrap());
    wait::until_so("the replay to end", PATIENCE, || daemon.get(&replay)["state"] == "finished");
    let balance = endpoint.account().balance("/earliest", 0..ORDERS + 100);
    assert_eq!(
        balance,
        Balance { twins: ORDERS + 100, ..Balance::exactly_once(ORDERS + 100) },
        "each twice, with its id"
    );
    assert!(daemon.stop().success());
}
