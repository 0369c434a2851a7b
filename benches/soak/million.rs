//! Two subscribers are down while a million records pass, one refusing, one hanging; then both are back.
//!
//! Their live rate is measured first, then what they cost while they are down, then how fast they catch up while a
//! live neighbour goes on. `RECORDS` says how many pass, `OUTAGE` for how many seconds more they are down.

use crate::{
    house::{House, rss, subscribe},
    receiver::{Endpoint, Mood},
    report::{Limit, Report, size},
    support::{broker, broker::Broker, daemon::Daemon},
    track::Track,
};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Records a second while they catch up.
const RATE: u64 = 500;
/// How long the neighbour is looked at before.
const BEFORE: Duration = Duration::from_secs(10);

struct Story {
    house: House,
    daemon: Daemon,
    neighbour: Endpoint,
    down: [Down; 2],
    made: u64,
}

struct Down {
    what: &'static str,
    mood: Mood,
    endpoint: Endpoint,
    id: String,
    /// Records a second while it was well and live.
    live: f64,
}

pub(crate) fn run(report: &mut Report) {
    let records = size("HOOKLINE_RECORDS", 100_000);
    let mut story = Story::begin();
    story.live((records / 4).max(20_000), report);
    story.while_down(records, report);
    story.back(report);
    let ends = [story.neighbour, story.down[0].endpoint, story.down[1].endpoint];
    story.house.until_settled(&story.daemon, &ends, story.made);
    story.house.in_order(&ends[1..], story.made, report);
    report.tell("disk at the end (MiB)", format!("{:.1}", story.house.disk()));
    report.tell("memory at the end (MiB)", format!("{:.0}", rss(&story.daemon)));
    assert!(story.daemon.stop().success());
}

// === impl Story ===

impl Story {
    fn begin() -> Self {
        let house = House::new("million");
        let daemon = house.home.start();
        let neighbour = house.receiver.open(Mood::Well);
        subscribe(&daemon, neighbour, &json!({}));
        let down = [("refusing", Mood::Refusing), ("hanging", Mood::Hanging)].map(|(what, mood)| {
            let endpoint = house.receiver.open(Mood::Well);
            let id = subscribe(&daemon, endpoint, &json!({ "ordering": "key" }));
            Down { what, mood, endpoint, id, live: 0.0 }
        });
        Self { house, daemon, neighbour, down, made: 0 }
    }

    /// How fast all three are when they are live: the daemon is started on a topic that is full.
    fn live(&mut self, records: u64, report: &mut Report) {
        self.daemon.terminate();
        self.daemon.until_ended(crate::support::daemon::STOP);
        self.house.produce(0..records);
        self.made = records;
        self.daemon = self.house.home.start();
        let ends = [self.neighbour, self.down[0].endpoint, self.down[1].endpoint];
        let track = Track::until(&self.house.receiver, |all| ends.iter().all(|end| all[end].arrived >= records));
        for down in &mut self.down {
            down.live = track.rate(down.endpoint, (0, records));
            report.tell(&format!("live rate of the {} one (records/s)", down.what), format!("{:.0}", down.live));
        }
    }

    fn while_down(&mut self, records: u64, report: &mut Report) {
        let before = self.house.disk();
        self.down.iter().for_each(|down| self.house.receiver.turn(down.endpoint, down.mood));
        let from = self.made;
        self.house.produce(from..from + records);
        self.made += records;
        let track = Track::until(&self.house.receiver, |all| all[&self.neighbour].arrived >= self.made);
        let rate = track.rate(self.neighbour, (from, self.made));
        report.tell("rate of the neighbour while they pass (records/s)", format!("{rate:.0}"));
        self.down.iter().for_each(|down| self.house.until_open(&self.daemon, &down.id));
        thread::sleep(Duration::from_secs(size("HOOKLINE_OUTAGE", 20))); // probes fail, and wait longer and longer
        let (broker, group) = (Broker::shared().address(), format!("g.{}", self.house.topic));
        broker::until_all_committed(&broker, &group, &self.house.topic, crate::load::PARTITIONS);
        let disk = (self.house.disk() - before) / 2.0;
        report.hold(&format!("disk for {records} records, for each that is down"), (disk, "MiB"), Limit::AtMost(16.0));
        report.tell("ledger rows of both", self.daemon.metric("hookline_ledger_rows", &[]));
        report.tell("memory (MiB)", format!("{:.0}", rss(&self.daemon)));
    }

    fn back(&mut self, report: &mut Report) {
        let (receiver, neighbour) = (&self.house.receiver, self.neighbour);
        let steady = self.house.steady(self.made, RATE);
        Track::until(receiver, |all| all[&neighbour].arrived > self.made + RATE); // its producer is under way
        receiver.forget_ages();
        let before = Track::during(receiver, BEFORE);
        let quiet = receiver.ages(&[neighbour]);
        let arrived = self.down.each_ref().map(|down| receiver.arrived(down.endpoint));
        self.down.iter().for_each(|down| receiver.turn(down.endpoint, Mood::Well));
        let (back, end) = (Instant::now(), steady.made());
        receiver.forget_ages();
        let track = Track::until(receiver, |all| self.down.iter().all(|down| all[&down.endpoint].whole >= end));
        let caught = Instant::now();
        let busy = receiver.ages(&[neighbour]);
        self.made = steady.stop();
        for (down, from) in self.down.iter().zip(arrived) {
            let first = track.when(down.endpoint, from + 1).expect("it came");
            let (what, after) = (down.what, first.duration_since(back).as_secs_f64());
            report.tell(&format!("{what}: first delivery after it was back (s)"), format!("{after:.1}"));
            let last = track.when_whole(down.endpoint, end).expect("it came");
            let rate = (end - from) as f64 / last.duration_since(first).as_secs_f64();
            let what = format!("{what}: rate of catching up to the last one, {rate:.0} records/s, of its live rate");
            report.hold(&what, (100.0 * rate / down.live, "%"), Limit::AtLeast(70.0));
        }
        let [quietly, meanwhile] =
            [before.between(neighbour, (back - BEFORE, back)), track.between(neighbour, (back, caught))];
        let share = 100.0 * meanwhile / quietly;
        report.hold("rate of the live neighbour meanwhile, of that before", (share, "%"), Limit::AtLeast(95.0));
        report.tell("its p50 and p99 before (ms)", format!("{:.1} {:.1}", quiet.p50, quiet.p99));
        report.tell("its p50 and p99 meanwhile (ms)", format!("{:.1} {:.1}", busy.p50, busy.p99));
    }
}
