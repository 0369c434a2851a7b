//! A clean stop under load brings no twin (INV-9), and a start after a kill delivers at once.

use crate::dice::{Dice, number};
use crate::house::{self, House};
use crate::receiver::Receiver;
use crate::support::{broker::Broker, wait};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
const PATHS: [&str; 2] = ["/a", "/key"];

/// Produces until `done`, a portion at a time, never far ahead of the receiver; gives how many orders.
fn produce(house: &House, receiver: &Receiver, (made, done): (&AtomicU64, &AtomicBool)) {
    const AHEAD: u64 = 1_500;
    while !done.load(Ordering::SeqCst) {
        let from = made.load(Ordering::SeqCst);
        let behind = PATHS.iter().map(|path| receiver.arrived(path)).min().unwrap_or(0);
        if from.saturating_sub(behind) > AHEAD {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        house.produce(from..from + 250);
        made.store(from + 250, Ordering::SeqCst);
    }
}

#[test]
fn clean_stops_under_load_bring_no_twin() {
    let stops = number("HOOKLINE_STOPS", 6);
    let mut dice = Dice::new(&format!("{stops} clean stops"));
    let house = House::new(Broker::shared(), "stops");
    let receiver = Receiver::new(house::KEYS);
    receiver.fail(100);
    let mut daemon = house.home.start();
    daemon.subscribe(&receiver.url("/a"), &house::quick("none"));
    daemon.subscribe(&receiver.url("/key"), &house::quick("key"));
    let (made, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let daemon = thread::scope(|scope| {
        scope.spawn(|| produce(&house, &receiver, (&made, &done)));
        for stop in 1..=stops {
            let before = receiver.arrived("/a");
            wait::until_so("load", PATIENCE, || receiver.arrived("/a") > before + 300);
            thread::sleep(Duration::from_millis(dice.below(700)));
            let said = daemon.log();
            assert!(daemon.stop().success(), "stop {stop}: {said}");
            daemon = house.home.start();
        }
        done.store(true, Ordering::SeqCst);
        daemon
    });
    let orders = made.load(Ordering::SeqCst);
    house.until_settled((&receiver, &daemon), &PATHS, orders);
    assert!(daemon.stop().success());
    let twins = PATHS.map(|path| receiver.twins(path));
    println!("{stops} clean stops under load, {orders} orders: {twins:?} twins");
    let wrong = house::wrong(&receiver, &PATHS);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(twins, [0, 0]);
}

#[test]
fn after_a_kill_and_a_start_the_first_new_delivery_comes_within_three_seconds() {
    let house = House::new(Broker::shared(), "back");
    let receiver = Receiver::new(house::KEYS);
    let mut daemon = house.home.start();
    daemon.subscribe(&receiver.url("/a"), &house::quick("none"));
    let (mut took, mut orders) = (Vec::new(), 0);
    for _ in 0..3 {
        house.produce(orders..orders + 200);
        orders += 200;
        wait::until_so("all orders", PATIENCE, || receiver.arrived("/a") == orders);
        daemon.kill();
        house.produce(orders..orders + 50);
        let begun = Instant::now();
        daemon = house.home.spawn();
        wait::until_so("a new delivery", PATIENCE, || receiver.arrived("/a") > orders);
        took.push(begun.elapsed());
        orders += 50;
        wait::until_so("all orders", PATIENCE, || receiver.arrived("/a") == orders);
    }
    assert!(daemon.stop().success());
    println!("from a start after a kill to the first new delivery: {took:?}");
    assert!(took.iter().min().unwrap() < &Duration::from_secs(3), "{took:?}");
}
