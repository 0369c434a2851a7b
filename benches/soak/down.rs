//! A hundred subscribers are down at once; when they are back they share what is read.

use crate::{
    house::{House, rss, subscribe},
    receiver::Mood,
    report::{Limit, Report, size},
    support::{broker, broker::Broker, daemon::Daemon},
    track::Track,
};
use serde_json::json;

pub(crate) fn run(report: &mut Report) {
    let (records, subscribers) = (size("HOOKLINE_RECORDS", 5_000), size("HOOKLINE_SUBSCRIBERS", 100));
    let house = House::new("down");
    let daemon = house.home.start();
    let moods = [Mood::Refusing, Mood::Failing].into_iter().cycle();
    let down = (0..subscribers).zip(moods).map(|(_, mood)| house.receiver.open(mood)).collect::<Vec<_>>();
    let ids = down.iter().map(|end| subscribe(&daemon, *end, &json!({ "ordering": "key" }))).collect::<Vec<_>>();
    let before = house.disk();
    house.produce(0..records);
    ids.iter().for_each(|id| house.until_open(&daemon, id));
    let address = Broker::shared().address();
    broker::until_all_committed(&address, &format!("g.{}", house.topic), &house.topic, crate::load::PARTITIONS);
    let disk = (house.disk() - before) / subscribers as f64;
    report.hold(&format!("disk for {records} records, for each that is down"), (disk, "MiB"), Limit::AtMost(16.0));
    report.tell("ledger rows of all", daemon.metric("hookline_ledger_rows", &[]));
    report.tell("records read while all are down", read(&daemon));
    report.tell("memory (MiB)", format!("{:.0}", rss(&daemon)));

    down.iter().for_each(|endpoint| house.receiver.turn(*endpoint, Mood::Well));
    let track = Track::until(&house.receiver, |all| down.iter().all(|end| all[end].whole >= records));
    let rates = down.iter().map(|endpoint| track.rate(*endpoint, (0, records)));
    report.tell("deliveries a second, all together", format!("{:.0}", rates.sum::<f64>()));
    report.tell("memory (MiB)", format!("{:.0}", rss(&daemon)));
    let times = read(&daemon) / records as f64;
    let what = format!("records read for {subscribers} who were down, of what passed");
    report.hold(&what, (times, "x"), Limit::AtMost(3.0));
    house.until_settled(&daemon, &down, records);
    house.in_order(&down, records, report);
    assert!(daemon.stop().success());
}

fn read(daemon: &Daemon) -> f64 {
    daemon.metric("hookline_catch_up_records_read_total", &[])
}
