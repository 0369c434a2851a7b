//! A store that is written anew or replaced, killed at each of its steps: one of both is there, whole.

use crate::house::{self, House};
use crate::receiver::{Mood, Receiver};
use crate::support::{broker::Broker, daemon::Home, minder, wait};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(feature = "failpoints")]
const POINTS: &[&str] = hookline::runtime::fault::UPKEEP;
#[cfg(not(feature = "failpoints"))]
const POINTS: &[&str] = &[];

/// Runs a command that is told to die at a point; whether it did.
fn dies(home: &Home, command: &str, point: &str) -> bool {
    let mut child = home.begin(command, &[("FAILPOINTS", point)]);
    let ended = child.wait().unwrap();
    minder::ended(child.id());
    !ended.success()
}

#[test]
fn killed_at_each_step_of_compacting_and_replacing_what_is_owed_is_delivered_once() {
    let house = House::new(Broker::shared(), "upkeep");
    let receiver = Receiver::new(house::KEYS);
    receiver.mood("/a", Mood::Failing);
    let daemon = house.home.start();
    daemon.subscribe(&receiver.url("/a"), &house::quick("none"));
    house.produce(0..300);
    house.produce_broken(20);
    wait::until_so("rows", PATIENCE, || {
        daemon.metric("hookline_ledger_rows", &[]) > 0.0
            && daemon.metric("hookline_cursors", &[]) > 0.0
            && daemon.list("/v1/quarantine").len() == 20
    });
    house::stop_and_check(&house.home, daemon);
    assert!(house.home.run("store export backup").status.success());
    let rows = |home: &Home| String::from_utf8(home.run("store check").stdout).unwrap();
    let before = rows(&house.home);
    let mut deaths = 0;
    for command in ["store compact", "store import --replace backup"] {
        for point in POINTS {
            for passes in 0.. {
                if !dies(&house.home, command, &format!("{point}={passes}*off->return")) {
                    break;
                }
                deaths += 1;
                assert_eq!(rows(&house.home), before, "{command}, {point} after {passes}");
            }
        }
    }
    println!("{deaths} deaths at {} points", POINTS.len());
    assert!(POINTS.is_empty() || deaths >= 2 * (POINTS.len() + 8), "each file goes and comes by a step of its own");
    receiver.mood("/a", Mood::Well);
    let daemon = house.home.start();
    house.until_settled((&receiver, &daemon), &["/a"], 300);
    assert_eq!(daemon.list("/v1/quarantine").len(), 20);
    house::stop_and_check(&house.home, daemon);
    assert_eq!((receiver.twins("/a"), house::wrong(&receiver, &["/a"])), (0, Vec::new()));
}
