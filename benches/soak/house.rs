//! What every part has: a topic, a daemon's home with the default settings, and a receiver.

use crate::{
    load::{self, PARTITIONS, Steady},
    receiver::{Endpoint, Receiver},
    report::Report,
    support::{
        broker::Broker,
        daemon::{Daemon, Home, memory},
        wait,
    },
};
use serde_json::Value;
use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

const MIB: f64 = 1_048_576.0;
/// How long anything may take that has no limit of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3_600);

/// A topic, who reads it, and who receives.
pub(crate) struct House {
    pub(crate) topic: String,
    pub(crate) home: Home,
    pub(crate) receiver: Receiver,
}

// === impl House ===

impl House {
    pub(crate) fn new(stem: &str) -> Self {
        let broker = Broker::shared();
        let topic = broker.topic(stem, PARTITIONS);
        let mut home = Home::new(&broker.address(), &format!("g.{topic}"));
        home.mapping(&load::mapping(&topic));
        home.config["delivery"] = serde_json::json!({}); // the defaults are what is promised
        Self { topic, home, receiver: Receiver::start() }
    }

    /// Produces records as fast as the broker takes them.
    pub(crate) fn produce(&self, numbers: std::ops::Range<u64>) {
        Broker::shared().produce(&self.topic, load::samples(numbers));
    }

    /// Produces records at an even rate from now on.
    pub(crate) fn steady(&self, from: u64, rate: u64) -> Steady {
        Steady::start((&Broker::shared().address(), &self.topic), from, rate)
    }

    /// What the store takes on the disk, in MiB.
    pub(crate) fn disk(&self) -> f64 {
        blocks(&self.home.path("store")) as f64 * 512.0 / MIB
    }

    /// Waits until the breaker of this subscription is open.
    pub(crate) fn until_open(&self, daemon: &Daemon, id: &str) {
        wait::until_so("the breaker to open", Duration::from_secs(120), || {
            daemon.get(&format!("/v1/subscriptions/{id}"))["health"]["breaker"] == "open"
        });
    }

    /// The end that every part must have: each of these has all records below `end`, and nothing is owed any more.
    pub(crate) fn until_settled(&self, daemon: &Daemon, endpoints: &[Endpoint], end: u64) {
        wait::until_so("all to arrive", PATIENCE, || self.receiver.least(endpoints) >= end);
        for nothing in ["hookline_ledger_rows", "hookline_cursors", "hookline_catch_up_lag_records"] {
            wait::until_so(nothing, Duration::from_secs(120), || daemon.metric(nothing, &[]) == 0.0);
        }
    }

    /// Says what came of the records below `end` at these, who have order per key.
    pub(crate) fn in_order(&self, endpoints: &[Endpoint], end: u64, report: &mut Report) {
        let accounts = self.receiver.accounts();
        let ours = || endpoints.iter().map(|endpoint| accounts[endpoint]);
        report.none("records that did not come", endpoints.iter().map(|one| self.receiver.lost(*one, end)).sum());
        report.none("records that came before an earlier one of their key", ours().map(|one| one.disorder).sum());
        report.tell("records that came twice", ours().map(|one| one.twins).sum::<u64>());
    }
}

/// Subscribes `endpoint` to all; gives the subscription's id.
pub(crate) fn subscribe(daemon: &Daemon, endpoint: Endpoint, more: &Value) -> String {
    daemon.subscribe(&endpoint.url(), more)
}

/// What a process has in memory now, in MiB.
pub(crate) fn rss(daemon: &Daemon) -> f64 {
    memory(daemon.pid(), "VmRSS") as f64 / 1_024.0
}

/// Blocks of 512 bytes, as `du` counts them.
fn blocks(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |path: &Path| match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => blocks(path),
        Ok(metadata) => metadata.blocks(),
        Err(_) => 0, // removed meanwhile
    };
    entries.map(|entry| of(&entry.path())).sum()
}
