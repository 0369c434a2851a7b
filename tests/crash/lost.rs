//! Partitions that are lost and got again: a session that expires while the process stands still, a foreign member of
//! the group, a copy of the store.

use crate::house::{self, House, PARTITIONS};
use crate::receiver::Receiver;
use crate::support::{
    broker::{self, Broker},
    daemon::{Daemon, Home},
    wait,
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::json;
use std::{
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
/// The shortest session that a broker allows unless it is told otherwise.
const SESSION: &str = "6000";
const PATHS: [&str; 2] = ["/a", "/key"];

/// Sends a signal.
fn signal(daemon: &Daemon, name: &str) {
    let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", daemon.pid())]).status().unwrap();
    assert!(kill.success());
}

/// A member of the group that is none of ours: it takes partitions, reads nothing and commits nothing.
struct Foreigner(BaseConsumer);

impl Foreigner {
    fn join(house: &House) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &house.address).set("group.id", &house.group);
        config.set("session.timeout.ms", SESSION).set("enable.auto.commit", "false");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&house.topic]).unwrap();
        Self(consumer)
    }

    /// Waits until it has at least so many partitions.
    fn until_assigned(&self, many: i32) {
        let many = usize::try_from(many).unwrap();
        let mut most = 0;
        wait::until_so("partitions for a foreign member", PATIENCE, || {
            drop(self.0.poll(Duration::from_millis(50)));
            most = most.max(self.0.assignment().unwrap().count());
            most >= many
        });
    }

    fn linger(&self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            drop(self.0.poll(Duration::from_millis(50)));
        }
    }
}

/// Produces until `done`, a portion at a time, never far ahead of the receiver.
fn produce(house: &House, receiver: &Receiver, (made, done): (&AtomicU64, &AtomicBool)) {
    while !done.load(Ordering::SeqCst) {
        let from = made.load(Ordering::SeqCst);
        let behind = PATHS.iter().map(|path| receiver.arrived(path)).min().unwrap_or(0);
        if from.saturating_sub(behind) > 3_000 {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        house.produce(from..from + 250);
        made.store(from + 250, Ordering::SeqCst);
    }
}

#[test]
fn partitions_that_were_lost_and_got_again_lose_nothing_and_keep_their_order() {
    let mut house = House::new(Broker::shared(), "lost");
    house.home.config["kafka"]["properties"] =
        json!({ "session.timeout.ms": SESSION, "heartbeat.interval.ms": "1000" });
    let receiver = Receiver::new(house::KEYS);
    receiver.fail(100);
    let daemon = house.home.start();
    daemon.subscribe(&receiver.url("/a"), &house::quick("none"));
    daemon.subscribe(&receiver.url("/key"), &house::quick("key"));
    let (made, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| produce(&house, &receiver, (&made, &done)));
        let until_more = |what: &str| {
            let before = receiver.arrived("/key");
            wait::until_so(what, PATIENCE, || receiver.arrived("/key") > before + 500);
        };
        until_more("load");
        // It stands still for longer than its session, and nobody takes its place.
        signal(&daemon, "STOP");
        thread::sleep(Duration::from_secs(8)); // the session is a time
        signal(&daemon, "CONT");
        until_more("load after a session that expired");
        // Again, and a foreign member takes its partitions meanwhile; both share them, then it leaves.
        signal(&daemon, "STOP");
        let foreigner = Foreigner::join(&house);
        foreigner.until_assigned(PARTITIONS);
        signal(&daemon, "CONT");
        wait::until_so("a part of them to be ours again", PATIENCE, || {
            foreigner.linger(Duration::from_millis(50));
            foreigner.0.assignment().unwrap().count() < usize::try_from(PARTITIONS).unwrap()
        });
        drop(foreigner);
        until_more("load after a foreign member");
        // Partitions are given back in order to one who comes while all is well, and come back when it leaves.
        let foreigner = Foreigner::join(&house);
        foreigner.until_assigned(PARTITIONS / 2);
        foreigner.linger(Duration::from_secs(1));
        drop(foreigner);
        until_more("load after a rebalance");
        done.store(true, Ordering::SeqCst);
    });
    let orders = made.load(Ordering::SeqCst);
    house.until_settled((&receiver, &daemon), &PATHS, orders);
    assert!(daemon.log().contains("partitions lost: the session expired"), "{}", daemon.log());
    println!("{orders} orders, {:?} twins after partitions were lost twice", PATHS.map(|path| receiver.twins(path)));
    house::stop_and_check(&house.home, daemon);
    let wrong = house::wrong(&receiver, &PATHS);
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_retention_took_is_told_once_also_when_it_dies_of_telling() {
    const GONE: i64 = 10;
    let house = House::new(Broker::shared(), "retention");
    let receiver = Receiver::new(house::KEYS);
    let daemon = house.home.start();
    let id = daemon.subscribe(&receiver.url("/key"), &house::quick("key"));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{id}/pause")).status, 200);
    house.produce(0..1_000);
    broker::until_all_committed(&house.address, &house.group, &house.topic, PARTITIONS);
    Broker::shared().forget(&house.topic, PARTITIONS, GONE);
    daemon.kill();
    let mut daemon = house.home.spawn_with(&[("FAILPOINTS", "cursor.lost=return")]);
    daemon.until_ready();
    drop(daemon.ask("POST", &format!("/v1/subscriptions/{id}/resume"))); // it may die of it
    if cfg!(feature = "failpoints") {
        wait::until_so("death", PATIENCE, || daemon.has_ended());
        assert!(daemon.log().contains("failpoint cursor.lost"), "{}", daemon.log());
    }
    daemon.kill();
    let daemon = house.home.start();
    drop(daemon.ask("POST", &format!("/v1/subscriptions/{id}/resume")));
    let gone = u64::try_from(GONE * i64::from(PARTITIONS)).unwrap();
    wait::until_so("what is left", PATIENCE, || receiver.arrived("/key") == 1_000 - gone);
    let told = daemon.list("/v1/dead-letters").into_iter().map(|letter| {
        assert_eq!((&letter["reason"], &letter["range"]["from"]), (&json!("retention_lost"), &json!(0)), "{letter}");
        letter["range"]["to"].as_i64().unwrap()
    });
    assert_eq!(told.collect::<Vec<_>>(), [GONE; PARTITIONS as usize], "each partition once");
    house::stop_and_check(&house.home, daemon);
    assert_eq!((receiver.twins("/key"), house::wrong(&receiver, &["/key"])), (0, Vec::new()));
}

#[test]
fn of_two_daemons_on_copies_of_one_store_the_first_stops_with_the_reason() {
    let house = House::new(Broker::shared(), "copies");
    let receiver = Receiver::new(house::KEYS);
    let daemon = house.home.start();
    daemon.subscribe(&receiver.url("/a"), &house::quick("none"));
    house.produce(0..200);
    wait::until_so("all orders", PATIENCE, || receiver.arrived("/a") == 200);
    assert!(daemon.stop().success());
    let archive = house.home.path("backup").display().to_string();
    assert!(house.home.run(&format!("store export {archive}")).status.success());
    let copy: Home = house::home(&house.address, &house.topic, &house.group);
    assert!(copy.run(&format!("store import {archive}")).status.success());

    let mut first = house.home.start();
    let second = copy.spawn();
    let ended = first.until_ended(PATIENCE);
    let said = first.log();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("runs on a copy of this store") && !said.contains("panicked"), "{said}");
    house.produce(200..400);
    wait::until_so("the second to go on", PATIENCE, || receiver.arrived("/a") == 400);
    broker::until_all_committed(&house.address, &house.group, &house.topic, PARTITIONS);
    house::stop_and_check(&copy, second);
    assert_eq!((receiver.twins("/a"), house::wrong(&receiver, &["/a"])), (0, Vec::new()));
}
