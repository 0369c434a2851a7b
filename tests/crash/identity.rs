//! A store's commits are its own: another store does not go on from them in silence.

use crate::house::{self, House, PARTITIONS};
use crate::receiver::Receiver;
use crate::support::{broker::Broker, wait};
use std::{fs, time::Duration};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_lost_store_is_refused_until_it_is_adopted() {
    let house = House::new(Broker::shared(), "lost-store");
    let receiver = Receiver::new(house::KEYS);
    let daemon = house.home.start();
    daemon.subscribe(&receiver.url("/a"), &house::quick("none"));
    house.produce(0..200);
    wait::until_so("all orders", PATIENCE, || receiver.arrived("/a") == 200);
    let old = fs::read_to_string(house.home.path("store/id")).unwrap();
    assert!(daemon.stop().success());
    fs::remove_dir_all(house.home.path("store")).unwrap();

    let daemon = house.home.spawn();
    daemon.until_unready("hookline store adopt");
    let said = daemon.health("/readyz").unwrap().body;
    assert!(said.contains(old.trim()), "it names the store: {said}");
    daemon.subscribe(&receiver.url("/b"), &house::quick("none"));
    house.produce(200..300);
    let before = house.committed();
    std::thread::sleep(Duration::from_secs(2)); // nothing may happen: a time is all there is to wait for
    assert_eq!((house.committed(), receiver.arrived("/b")), (before, 0), "nothing is read, nothing committed");
    assert_eq!(daemon.log().matches("hookline store adopt").count(), 1, "{}", daemon.log());
    let while_it_runs = house.home.run("store adopt");
    assert!(!while_it_runs.status.success(), "the store is in use");
    assert!(daemon.stop().success());

    let adopted = house.home.run("store adopt");
    let said = String::from_utf8_lossy(&adopted.stdout).into_owned() + &String::from_utf8_lossy(&adopted.stderr);
    assert!(adopted.status.success(), "{said}");
    assert!(said.contains(&format!("{PARTITIONS} partitions")), "{said}");
    let daemon = house.home.start();
    wait::until_so("what came meanwhile", PATIENCE, || receiver.arrived("/b") == 100);
    assert!(daemon.stop().success());
    assert_eq!(receiver.twins("/a") + receiver.twins("/b"), 0);
}

#[test]
fn a_second_member_with_a_store_of_its_own_is_refused_and_the_first_gets_all() {
    let mut house = House::new(Broker::shared(), "second");
    let session = "6000"; // how long a member that says nothing keeps its partitions
    house.home.config["kafka"]["properties"] = serde_json::json!({ "session.timeout.ms": session });
    let receiver = Receiver::new(house::KEYS);
    let first = house.home.start();
    first.subscribe(&receiver.url("/a"), &house::quick("key"));
    house.produce(0..200);
    wait::until_so("all orders", PATIENCE, || receiver.arrived("/a") == 200);

    let mut other = house::home(&house.address, &house.topic, &house.group);
    other.config["kafka"]["properties"] = serde_json::json!({ "session.timeout.ms": session });
    let second = other.spawn();
    second.until_unready("another daemon uses the group");
    house.produce(200..600);
    wait::until_so("the first to have all partitions again", PATIENCE, || receiver.arrived("/a") == 600);
    assert!(second.stop().success());
    house.until_settled((&receiver, &first), &["/a"], 600);
    assert!(first.stop().success());
    assert_eq!((receiver.twins("/a"), house::wrong(&receiver, &["/a"])), (0, Vec::new()));
}
