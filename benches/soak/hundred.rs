//! A hundred subscribers, of whom one hangs and one fails: the other 98 must not feel it.
//!
//! With the two and without them in turns: at an even rate well below what the machine can do, for the age of records;
//! at full speed, for the rate. Then memory and disk over `MINUTES`, with the two.

use crate::{
    house::{House, PATIENCE, rss, subscribe},
    measure::{self, Figure},
    receiver::{Endpoint, Mood},
    report::{Limit, Report, size},
    support::{daemon::Daemon, wait},
};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};

const WELL: usize = 98;
/// Records a second; each becomes a hundred deliveries.
const RATE: u64 = 20;
/// Long enough for the one who hangs to be parked (5 s), to time out (15 s), and to be probed.
const WINDOW: Duration = Duration::from_secs(25);
/// Less than two segments of sled's file is no growth.
const SEGMENTS: f64 = 1.0;

struct Story {
    house: House,
    daemon: Daemon,
    well: Vec<Endpoint>,
    made: u64,
}

/// The two, while they are there.
struct Ill([String; 2]);

pub(crate) fn run(report: &mut Report) {
    let house = House::new("hundred");
    let daemon = house.home.start();
    let well = (0..WELL).map(|_| house.receiver.open(Mood::Well)).collect::<Vec<_>>();
    well.iter().for_each(|endpoint| drop(subscribe(&daemon, *endpoint, &json!({}))));
    let mut story = Story { house, daemon, well, made: 0 };
    let rounds = size("HOOKLINE_ROUNDS", 2);
    story.ages(rounds, report);
    story.rates(rounds, report);
    story.flat(size("HOOKLINE_MINUTES", 1), report);
    let lost = story.well.iter().map(|one| story.house.receiver.lost(*one, story.made)).sum();
    report.none("records that did not come to the 98", lost);
    assert!(story.daemon.stop().success());
}

// === impl Story ===

impl Story {
    /// Ages at an even rate, without and with the two, in turns; the median of the rounds counts.
    fn ages(&mut self, rounds: u64, report: &mut Report) {
        let steady = self.house.steady(self.made, RATE);
        let under_way = || self.house.receiver.least(&self.well) > self.made + RATE;
        wait::until_so("the producer to be under way", PATIENCE, under_way);
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            without.push(self.age());
            let ill = Ill::come(self);
            with.push(self.age());
            ill.go(self);
        }
        self.made = steady.stop();
        report.tell("p99 of ages at an even rate, each round without the two (ms)", list(&without));
        report.tell("and each with them (ms)", list(&with));
        let (without, with) = (median(without), median(with));
        report.hold("p99 with the two, of that without", (with / without, "x"), Limit::AtMost(1.2));
    }

    fn age(&self) -> f64 {
        thread::sleep(Duration::from_secs(1)); // whoever came or went has come or gone
        self.house.receiver.forget_ages();
        thread::sleep(WINDOW);
        self.house.receiver.ages(&self.well).p99
    }

    /// Rates at full speed, without and with the two, in turns; the best of the rounds counts.
    fn rates(&mut self, rounds: u64, report: &mut Report) {
        let records = size("HOOKLINE_RECORDS", 1_500);
        let (mut without, mut with) = (Figure::none(), Figure::none());
        for _ in 0..rounds {
            without = without.better(self.rate(records));
            let ill = Ill::come(self);
            self.burst(RATE * 5);
            ill.0.iter().for_each(|id| self.house.until_open(&self.daemon, id));
            with = with.better(self.rate(records));
            ill.go(self);
        }
        report.tell("at full speed without the two (events/s, CPU us per event, RSS MiB)", without);
        report.tell("and with them", with);
        report.hold("rate without the two, of that with them", (without.rate / with.rate, "x"), Limit::AtMost(1.2));
    }

    fn rate(&mut self, records: u64) -> Figure {
        let before = self.house.receiver.sum(&self.well);
        self.house.produce(self.made..self.made + records);
        self.made += records;
        let arrived = || self.house.receiver.sum(&self.well) - before;
        let figure = measure::under_load(self.daemon.pid(), records * WELL as u64, arrived);
        self.until_all();
        figure
    }

    fn burst(&mut self, records: u64) {
        self.house.produce(self.made..self.made + records);
        self.made += records;
        self.until_all();
    }

    fn until_all(&self) {
        let all = || self.house.receiver.least(&self.well) >= self.made;
        wait::until_so("all at the 98", PATIENCE, all);
    }

    /// Memory and disk with the two, once a second.
    fn flat(&mut self, minutes: u64, report: &mut Report) {
        let (steady, ill) = (self.house.steady(self.made, RATE), Ill::come(self));
        let (mut memory, mut disk) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60 * minutes) {
            thread::sleep(Duration::from_secs(1));
            memory.push(rss(&self.daemon));
            disk.push(self.house.disk());
        }
        self.made = steady.stop();
        ill.go(self);
        self.until_all();
        for (what, sizes) in [("memory", memory), ("disk", disk)] {
            let tenth = (sizes.len() / 10).max(1);
            let seen = sizes.chunks(tenth).map(|some| some[some.len() - 1]).collect::<Vec<_>>();
            report.tell(&format!("{what} in {minutes} min (MiB)"), list(&seen));
            let of = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
            let middle = of(&sizes[sizes.len() / 2..sizes.len() / 2 + tenth]);
            let end = of(&sizes[sizes.len() - tenth..]);
            let most = middle * 0.1;
            let most = if what == "disk" { most.max(SEGMENTS) } else { most };
            report.hold(&format!("{what}: growth in the last half"), (end - middle, "MiB"), Limit::AtMost(most));
        }
    }
}

// === impl Ill ===

impl Ill {
    fn come(story: &Story) -> Self {
        let one = |mood| {
            let endpoint = story.house.receiver.open(mood);
            subscribe(&story.daemon, endpoint, &json!({}))
        };
        Self([one(Mood::Hanging), one(Mood::Failing)])
    }

    fn go(self, story: &Story) {
        for id in self.0 {
            assert_eq!(story.daemon.call("DELETE", &format!("/v1/subscriptions/{id}")).status, 204);
        }
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    let middle = of.len() / 2;
    if of.len() % 2 == 1 { of[middle] } else { (of[middle - 1] + of[middle]) / 2.0 }
}

fn list(of: &[f64]) -> String {
    of.iter().map(|one| format!("{one:.1}")).collect::<Vec<_>>().join(" ")
}
