//! Killed under load and started again: how long until the first delivery that is new.

use crate::{
    house::{House, subscribe},
    receiver::Mood,
    report::{Limit, Report, size},
    track::Track,
};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Records a second.
const RATE: u64 = 500;
/// How long it lives before it is killed: commits and cursors move meanwhile.
const LIFE: Duration = Duration::from_secs(4);

pub(crate) fn run(report: &mut Report) {
    let house = House::new("kill");
    let mut daemon = house.home.start();
    let well = ["none", "key"].map(|ordering| {
        let endpoint = house.receiver.open(Mood::Well);
        subscribe(&daemon, endpoint, &json!({ "ordering": ordering }));
        endpoint
    });
    // The store has something to bring back: rows and cursors of one that is down.
    let down = house.receiver.open(Mood::Refusing);
    subscribe(&daemon, down, &json!({ "ordering": "key" }));
    let steady = house.steady(0, RATE);
    let mut longest = [0.0_f64; 2];
    for _ in 0..size("HOOKLINE_KILLS", 5) {
        Track::until(&house.receiver, |all| well.iter().all(|end| all[end].arrived + RATE > steady.made()));
        thread::sleep(LIFE);
        daemon.kill();
        let (begun, before) = (Instant::now(), well.map(|endpoint| house.receiver.arrived(endpoint)));
        daemon = house.home.spawn();
        let new = |all: &std::collections::BTreeMap<_, crate::receiver::Account>| {
            well.iter().zip(before).all(|(endpoint, before)| all[endpoint].arrived > before)
        };
        let track = Track::until(&house.receiver, new);
        for ((longest, endpoint), before) in longest.iter_mut().zip(well).zip(before) {
            let first = track.when(endpoint, before + 1).expect("it came");
            *longest = longest.max(first.duration_since(begun).as_secs_f64());
        }
        daemon.until_ready();
    }
    for (ordering, longest) in ["none", "key"].iter().zip(longest) {
        let what = format!("from a start after kill -9 to the first new delivery, ordering: {ordering}, at most");
        report.hold(&what, (longest, "s"), Limit::AtMost(3.0));
    }
    house.receiver.turn(down, Mood::Well);
    let made = steady.stop();
    let all = [well[0], well[1], down];
    house.until_settled(&daemon, &all, made);
    house.in_order(&all[1..], made, report);
    report.none("records that did not come to the one without order", house.receiver.lost(well[0], made));
    assert!(daemon.stop().success());
}
