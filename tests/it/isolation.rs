//! A subscriber is an island: what one of them does costs the others nothing.

use crate::support::{
    account::Balance,
    broker::{self, Broker},
    daemon::Home,
    endpoint::{Answer, Endpoint},
    shop, wait,
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
const WELL: [&str; 4] = ["/a", "/b", "/c", "/d"];
const ILL: &str = "/ill";
/// Few enough for what the fifth is owed to have room in its ledger.
const ORDERS: u64 = 3_000;

#[test]
fn one_of_five_hangs_and_the_others_get_all_of_theirs() {
    one_of_five(Answer::Hang, "hangs");
}

#[test]
fn one_of_five_refuses_and_the_others_get_all_of_theirs() {
    one_of_five(Answer::Status(500), "refuses");
}

fn one_of_five(habit: Answer, stem: &str) {
    let broker = Broker::shared();
    let topic = broker.topic(stem, 12);
    let group = format!("g.{topic}");
    let home = Home::new(&broker.address(), &group);
    home.mapping(&shop::mapping(&topic));
    let well = Arc::new(AtomicBool::new(false));
    let endpoint = {
        let well = Arc::clone(&well);
        Endpoint::scripted(move |webhook| match webhook.path.as_str() {
            ILL if !well.load(Ordering::SeqCst) => habit,
            _ => Answer::Status(200),
        })
    };
    let daemon = home.start();
    for path in WELL.into_iter().chain([ILL]) {
        daemon.subscribe(&endpoint.url(path), &json!({ "timeout": "2s" }));
    }
    let begun = Instant::now();
    broker.produce(&topic, shop::orders(0..ORDERS, 12));
    for path in WELL {
        wait::until_so(&format!("all orders at {path}"), PATIENCE, || endpoint.account().arrived(path) == ORDERS);
    }
    println!("one of five {stem}: the others had {ORDERS} orders each after {:?}", begun.elapsed());
    assert_eq!(endpoint.account().arrived(ILL), 0);
    // Nor does it hold the commit: what it is owed is parked.
    broker::until_all_committed(&broker.address(), &group, &topic, 12);
    well.store(true, Ordering::SeqCst);
    wait::until_so("the fifth to get what it is owed", PATIENCE, || endpoint.account().arrived(ILL) == ORDERS);
    assert!(daemon.stop().success());
    for path in WELL {
        assert_eq!(endpoint.account().balance(path, 0..ORDERS), Balance::exactly_once(ORDERS), "{path}");
    }
    let balance = endpoint.account().balance(ILL, 0..ORDERS);
    assert_eq!(balance, Balance { twins: balance.twins, ..Balance::exactly_once(ORDERS) });
}
