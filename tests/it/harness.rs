//! The harness itself: before it accuses anyone, it must tell the truth.

use crate::support::{
    account::{Account, Balance, verifies},
    broker::Broker,
    shop,
};
use serde_json::Value;

#[test]
fn the_broker_keeps_what_it_took_also_over_a_kill() {
    let mut broker = Broker::start();
    let topic = broker.topic("harness", 3);
    broker.produce(&topic, shop::orders(0..3_000, 3));
    assert_eq!(broker.ends(&topic, 3), [Some(1_000); 3]);
    assert_eq!(broker.committed("nobody", &topic, 3), [None; 3]);
    broker.kill();
    broker.launch();
    assert_eq!(broker.ends(&topic, 3), [Some(1_000); 3]);
}

#[test]
fn an_order_is_json_of_570_bytes() {
    let order = shop::order(4_711, 0);
    let json: Value = serde_json::from_slice(&order.value).unwrap();
    assert_eq!(json["id"], "o-4711");
    assert!((560..=580).contains(&order.value.len()), "{} bytes", order.value.len());
}

#[test]
fn the_books_tell_lost_twins_and_strangers_apart() {
    let (account, body) = (Account::default(), |n: u64| format!(r#"{{"data":{{"order_id":"o-{n}","x":1}}}}"#));
    for n in 0..10 {
        account.accepted("/a", &format!("evt_{n}"), body(n).as_bytes());
    }
    assert_eq!(account.balance("/a", 0..10), Balance::exactly_once(10));
    account.accepted("/a", "evt_3", body(3).as_bytes());
    account.accepted("/a", "evt_other", body(4).as_bytes());
    account.accepted("/a", "evt_x", b"{}");
    account.unsigned("/a");
    let found = account.balance("/a", 1..12);
    let wanted =
        Balance { arrived: 10, lost: 2, first_lost: Some(10), twins: 1, strangers: 1, unsigned: 1, unreadable: 2 };
    assert_eq!(found, wanted);
    assert_eq!(account.balance("/b", 0..1).lost, 1);
}

#[test]
fn the_harness_verifies_the_published_signatures() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../vectors/standard-webhooks.json")).unwrap();
    let mut verified = 0;
    for vector in vectors.iter().filter(|vector| vector["input"]["kind"] == "sign") {
        let (input, signature) = (&vector["input"], vector["expected"]["signature"].as_str().unwrap());
        let hex = input["body_hex"].as_str().unwrap();
        let body: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let signed = [input["id"].as_str().unwrap(), &input["timestamp"].to_string()];
        let secrets = input["secrets"].as_array().unwrap().iter().filter_map(Value::as_str);
        for secret in secrets.filter(|secret| secret.starts_with("whsec_")) {
            assert!(verifies(secret, signed, &body, signature), "{}", vector["name"]);
            assert!(!verifies(secret, signed, b"another body", signature), "{}", vector["name"]);
            verified += 1;
        }
    }
    assert!(verified >= 10, "{verified} signatures");
}
