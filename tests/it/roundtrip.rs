//! `hookline roundtrip` and `hookline health`, against a daemon that runs.

use crate::support::{daemon::Home, shop};
use hookline::kafka::broker::Broker;
use serde_json::json;

const TOPIC: &str = "shop.orders";

fn home(broker: &Broker) -> Home {
    broker.topic(TOPIC, 3).unwrap();
    let home = Home::new(broker.servers(), "roundtrip");
    home.mapping(&shop::mapping(TOPIC));
    home.write("order.json", &String::from_utf8(shop::order(1, 0).value).unwrap());
    home
}

#[test]
fn a_record_comes_back_verified_and_no_subscription_is_left_behind() {
    let broker = Broker::start().unwrap();
    let home = home(&broker);
    let daemon = home.start();
    let health = home.run(&format!("health --url http://{}/readyz", home.ops));
    assert!(health.status.success(), "{health:?}");
    let round = home.run(&format!("roundtrip --api http://{} --topic {TOPIC} order.json", home.api));
    let said = String::from_utf8_lossy(&round.stdout).into_owned();
    assert!(round.status.success() && said.ends_with("and its signature is right\n"), "{round:?}");
    assert_eq!(daemon.get("/v1/subscriptions")["items"], json!([]));
}

#[test]
fn what_does_not_come_back_is_told_and_no_subscription_is_left_behind_either() {
    let broker = Broker::start().unwrap();
    let home = home(&broker);
    home.write("other.json", r#"{"type": "OrderViewed", "id": "o-1"}"#);
    let daemon = home.start();
    let command = format!("roundtrip --api http://{} --topic {TOPIC} --within 2s other.json", home.api);
    let round = home.run(&command);
    let said = String::from_utf8_lossy(&round.stderr).into_owned();
    assert!(round.status.code() == Some(1) && said.contains("no webhook came within 2s"), "{round:?}");
    assert_eq!(daemon.get("/v1/subscriptions")["items"], json!([]));
}

#[test]
fn an_endpoint_that_the_daemon_may_not_call_is_told_with_its_reason() {
    let broker = Broker::start().unwrap();
    let home = home(&broker);
    let _daemon = home.start();
    let endpoint = "http://10.1.2.3:4000/";
    let command = format!("roundtrip --api http://{} --topic {TOPIC} --endpoint {endpoint} order.json", home.api);
    let round = home.run(&command);
    let said = String::from_utf8_lossy(&round.stderr).into_owned();
    assert!(round.status.code() == Some(1) && said.contains("422") && said.contains("10.0.0.0/8"), "{round:?}");
}
