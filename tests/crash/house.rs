//! What every test here has: a topic of orders that come by key, a daemon that reads it, and a well-kept end.

use crate::receiver::Receiver;
use crate::support::{
    broker::{self, Broker, Sample},
    daemon::{Daemon, Home},
    shop, wait,
};
use serde_json::json;
use std::{
    ops::Range,
    time::{Duration, Instant},
};

pub(crate) const PARTITIONS: i32 = 12;
/// As many keys: each has its partition, and some share one.
pub(crate) const KEYS: u64 = 61;

/// A topic, and who reads it.
pub(crate) struct House {
    pub(crate) address: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) home: Home,
}

// === impl House ===

impl House {
    /// A topic of this stem on `broker`, and a home whose daemon maps it.
    pub(crate) fn new(broker: &Broker, stem: &str) -> Self {
        let topic = broker.topic(stem, PARTITIONS);
        let (address, group) = (broker.address(), format!("g.{topic}"));
        let mut home = home(&address, &topic, &group);
        if std::env::var_os("HOOKLINE_KEEP").is_some() {
            home.config["log"] = json!({ "level": "debug" });
        }
        Self { address, topic, group, home }
    }

    /// Produces orders, each key's in their order, to the key's partition.
    pub(crate) fn produce(&self, numbers: Range<u64>) {
        broker::produce(&self.address, &self.topic, numbers.map(order));
    }

    /// Produces so many records that are no JSON, spread over the partitions.
    pub(crate) fn produce_broken(&self, many: u64) {
        let broken = |n: u64| Sample {
            partition: i32::try_from(n).unwrap() % PARTITIONS,
            key: format!("b-{n}"),
            value: b"not json".to_vec(),
        };
        broker::produce(&self.address, &self.topic, (0..many).map(broken));
    }

    /// What the group has committed, in all.
    pub(crate) fn committed(&self) -> i64 {
        broker::committed(&self.address, &self.group, &self.topic, PARTITIONS).into_iter().flatten().sum()
    }

    /// Waits for the end that every run must have: all orders at all paths, and INV-15: nothing is owed any more.
    #[track_caller]
    pub(crate) fn until_settled(&self, who: (&Receiver, &Daemon), paths: &[&str], orders: u64) {
        const PATIENCE: Duration = Duration::from_secs(180);
        let (receiver, daemon) = who;
        let (begun, mut told) = (Instant::now(), Instant::now());
        for path in paths {
            while receiver.arrived(path) < orders && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(50));
                if told.elapsed() > Duration::from_secs(15) {
                    told = Instant::now();
                    println!("  {path}: {} of {orders}", receiver.arrived(path));
                }
            }
            let lost = receiver.lost(path, orders);
            let partitions = lost.iter().map(|n| partition(*n)).collect::<std::collections::BTreeSet<_>>();
            let first = &lost[..lost.len().min(20)];
            assert!(lost.is_empty(), "{path}: {} lost, in partitions {partitions:?}, first {first:?}", lost.len());
        }
        broker::until_all_committed(&self.address, &self.group, &self.topic, PARTITIONS);
        for nothing in ["hookline_ledger_rows", "hookline_cursors", "hookline_catch_up_lag_records"] {
            wait::until_so(nothing, PATIENCE, || daemon.metric(nothing, &[]) == 0.0);
        }
    }
}

/// Stops the daemon, and reads every row of its store: none may be wrong, and no subscription left any.
#[track_caller]
pub(crate) fn stop_and_check(home: &Home, daemon: Daemon) {
    let said = daemon.log();
    assert!(daemon.stop().success(), "{said}");
    let checked = home.run("store check --json");
    let report = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && report.contains(r#""leftovers": 0"#), "{report}");
}

/// Another home for the same topic and group.
pub(crate) fn home(address: &str, topic: &str, group: &str) -> Home {
    let home = Home::new(address, group);
    home.mapping(&shop::mapping(topic));
    home
}

/// What must never be, over all paths; empty when all is as it should be.
pub(crate) fn wrong(receiver: &Receiver, paths: &[&str]) -> Vec<String> {
    let of =
        |path: &&str| receiver.book(path, |book| book.wrong.iter().map(|what| format!("{path}: {what}")).collect());
    paths.iter().flat_map(|path| -> Vec<String> { of(path) }).collect()
}

/// A subscription's shape for these tests: quick to give up on an attempt.
pub(crate) fn quick(ordering: &str) -> serde_json::Value {
    json!({ "ordering": ordering, "timeout": "1s" })
}

fn partition(n: u64) -> i32 {
    i32::try_from((n % KEYS) % u64::from(PARTITIONS.unsigned_abs())).unwrap()
}

fn order(n: u64) -> Sample {
    Sample { key: format!("k-{}", n % KEYS), ..shop::order(n, partition(n)) }
}
