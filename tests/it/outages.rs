//! What the daemon depends on is away or full: it says so, holds back, and goes on when it is there again.

use crate::support::{
    account::Balance,
    broker::{self, Broker},
    daemon::Home,
    endpoint::{Answer, Endpoint},
    shop, wait,
};
use serde_json::json;
use std::{
    fs::{self, File},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn a_broker_that_is_away_is_told_and_waited_for() {
    let mut broker = Broker::start();
    let topic = broker.topic("away", 3);
    let group = format!("g.{topic}");
    broker.produce(&topic, shop::orders(0..100, 3));
    broker.kill();
    let home = Home::new(&broker.address(), &group);
    home.mapping(&shop::mapping(&topic));
    let endpoint = Endpoint::accepting();
    // Away at the start: it lives, says what is missing, and the API works.
    let mut daemon = home.spawn();
    daemon.until_unready("broker");
    assert_eq!(daemon.health("/livez").unwrap().status, 200);
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    broker.launch();
    daemon.until_ready();
    let until_arrived = |orders| {
        wait::until_so("orders", PATIENCE, || endpoint.account().arrived("/a") == orders);
    };
    until_arrived(100);
    // Away later.
    broker.kill();
    daemon.until_unready("broker");
    assert_eq!(daemon.health("/livez").unwrap().status, 200);
    broker.launch();
    broker.produce(&topic, shop::orders(100..200, 3));
    until_arrived(200);
    daemon.until_ready();
    broker::until_all_committed(&broker.address(), &group, &topic, 3);
    assert!(daemon.stop().success());
    let balance = endpoint.account().balance("/a", 0..200);
    assert_eq!(balance, Balance { twins: balance.twins, ..Balance::exactly_once(200) });
}

#[test]
fn on_a_full_disk_nothing_is_written_nothing_is_lost_and_it_goes_on_when_there_is_room() {
    const MARGIN: u64 = 2 << 30;
    let topic = Broker::shared().topic("full", 3);
    let group = format!("g.{topic}");
    let address = Broker::shared().address();
    let mut home = Home::new(&address, &group);
    home.mapping(&shop::mapping(&topic));
    let free = || {
        let stat = rustix::fs::statvfs(home.path("")).unwrap();
        stat.f_bavail * stat.f_frsize
    };
    if free() < 4 * MARGIN {
        eprintln!("skipped: the disk is nearly full already, and cannot be filled and emptied in a test");
        return;
    }
    let floor = free() - MARGIN;
    home.config["store"]["min_free"] = json!(floor);
    let well = Arc::new(AtomicBool::new(false));
    let endpoint = {
        let well = Arc::clone(&well);
        Endpoint::scripted(move |_| Answer::Status(if well.load(Ordering::SeqCst) { 200 } else { 500 }))
    };
    let mut daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    // Some gigabytes are taken away at once, without being written.
    let filler = home.path("filler");
    let file = File::create(&filler).unwrap();
    if let Err(error) = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 2 * MARGIN) {
        eprintln!("skipped: this file system cannot take room without writing ({error})");
        return;
    }
    daemon.until_unready("disk is full");
    Broker::shared().produce(&topic, shop::orders(0..50, 3));
    let writes = daemon.metric("hookline_store_flush_seconds_count", &[]);
    wait::until_so("reading to pause, with its reason", PATIENCE, || {
        daemon.metric("hookline_backpressure_seconds_total", &[r#"reason="store""#]) > 1.0
    });
    assert_eq!(daemon.metric("hookline_store_flush_seconds_count", &[]), writes, "nothing is written");
    let committed: i64 = broker::committed(&address, &group, &topic, 3).into_iter().flatten().sum();
    assert_eq!(committed, 0, "and nothing that failed is forgotten by Kafka");
    assert_eq!(daemon.health("/livez").unwrap().status, 200, "a restart would not help");
    fs::remove_file(&filler).unwrap();
    drop(file);
    daemon.until_ready();
    well.store(true, Ordering::SeqCst);
    wait::until_so("orders", PATIENCE, || endpoint.account().arrived("/a") == 50);
    broker::until_all_committed(&address, &group, &topic, 3);
    assert!(daemon.stop().success());
    assert_eq!(endpoint.account().balance("/a", 0..50), Balance::exactly_once(50));
}
