//! Operators hear what becomes of subscriptions: by webhooks like all others, tried again, over a kill. Against a real Kafka.

use crate::support::{
    broker::Broker,
    daemon::Home,
    receiver::{Habit, Receiver, Reply},
    shop::{self, SECRET},
    wait,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver that refuses everything until it is told to accept.
fn refusing() -> (Receiver, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&well);
    let reply = move || Reply::new(if asked.load(Ordering::Relaxed) { 204 } else { 503 });
    (Receiver::scripted(move |_| Habit::Answer(reply())), well)
}

/// The types that came about `subject`, each event once, in the order of their first arrival.
fn heard(receiver: &Receiver, subject: &str) -> Vec<String> {
    let (mut types, mut ids) = (Vec::new(), BTreeSet::new());
    for request in &receiver.book().requests {
        assert!(request.signed_with(SECRET), "{}", request.line());
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(event["data"]["subscription"]["id"], event["subject"]);
        if event["subject"] == subject && ids.insert(request.id().to_owned()) {
            types.push(event["type"].as_str().unwrap().to_owned());
        }
    }
    types
}

#[test]
fn an_operator_hears_once_that_an_endpoint_fails_and_recovers_also_when_he_was_away_and_over_a_kill() {
    let topic = Broker::shared().topic("operators", 1);
    let home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(&topic));
    let ((operator, back), (endpoint, well)) = (refusing(), refusing());
    let daemon = home.start();
    let types = json!({ "tenant": "*", "types": ["hookline.**"], "ordering": "key" });
    daemon.subscribe(&operator.url(), &types);
    let about = daemon.subscribe(&endpoint.url(), &json!({ "types": [shop::PLACED] }));
    Broker::shared().produce(&topic, shop::orders(0..20, 1));
    wait::until_so("the operator to be called", PATIENCE, || !operator.book().requests.is_empty());
    daemon.kill();

    let daemon = home.start();
    let failing = "hookline.subscription.failing".to_owned();
    back.store(true, Ordering::Relaxed);
    well.store(true, Ordering::Relaxed);
    let recovered = "hookline.subscription.recovered".to_owned();
    let both = [failing, recovered];
    wait::until_so("both events to come", PATIENCE, || heard(&operator, &about) == both);
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{about}/pause")).status, 200);
    wait::until_so("the pause to be told", PATIENCE, || heard(&operator, &about).len() == 3);
    wait::until_so("nothing to be owed", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) == 0.0);
    assert_eq!(heard(&operator, &about)[2], "hookline.subscription.paused");
    assert!(daemon.stop().success());
}
