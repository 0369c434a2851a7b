//! Every metric moves when what it tells of happens: a day with everything in it. Against a real Kafka.

use crate::support::{
    broker::{Broker, Sample},
    daemon::{Daemon, Home},
    endpoint::{Answer, Endpoint},
    shop, wait,
};
use hookline::metrics::table::ALL;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 2;
const ORDERS: u64 = 2_000;
const RELOADS: &str = "hookline_config_reloads_total";
const CATCH_UP: &str = "hookline_catch_up_records_read_total";
const UNMATCHED: &str = "hookline_records_unmatched_total";
/// What needs a log that is cut or made anew, which `topics` does, or a collector, which `traces` has.
const ELSEWHERE: [&str; 3] = ["hookline_position_jumps_total", "hookline_lost_records_total", "hookline_spans_total"];

/// What was seen to move so far.
struct Day<'d> {
    daemon: &'d Daemon,
    seen: BTreeSet<&'static str>,
}

// === impl Day ===

impl Day<'_> {
    /// Waits until every metric has moved but `later` ones.
    #[track_caller]
    fn until(&mut self, what: &str, later: &[&str]) {
        let mut missing = Vec::new();
        let moved = wait::so_within(PATIENCE, || {
            self.seen.extend(moved(self.daemon));
            let names = ALL.iter().map(|one| one.name);
            missing =
                names.filter(|n| !ELSEWHERE.contains(n) && !later.contains(n) && !self.seen.contains(n)).collect();
            missing.is_empty()
        });
        assert!(moved, "{what}: {missing:?} did not move");
    }
}

/// The metrics that a scrape has with another value than 0.
fn moved(daemon: &Daemon) -> BTreeSet<&'static str> {
    let text = daemon.health("/metrics").map(|reply| reply.body).unwrap_or_default();
    let above =
        |line: &str| line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok_and(|v| v > 0.0));
    let of = |name: &str| {
        let ours = |rest: &str| rest.starts_with(['{', ' ']) || rest.starts_with("_count");
        text.lines().any(|line| line.strip_prefix(name).is_some_and(ours) && above(line))
    };
    ALL.iter().map(|one| one.name).filter(|name| of(name)).collect()
}

fn home() -> (String, Home) {
    let topic = Broker::shared().topic("metrics", PARTITIONS);
    let mut home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(&topic));
    home.mapping(&format!("events: {{ {}: {{ schema: {{ type: object }} }} }}", shop::PLACED));
    home.config["catalogue"] = json!({ "validate": "all" });
    home.config["metrics"]["per_subscription"] = json!(true);
    home.config["delivery"]["breaker"] = json!({ "consecutive": 2 });
    home.config["limits"] = json!({ "open_records_per_partition": 20 });
    (topic, home)
}

#[test]
fn every_metric_moves_when_what_it_tells_of_happens() {
    let (topic, home) = home();
    let endpoint = Endpoint::scripted(|webhook| match webhook.path.as_str() {
        "/fails" => Answer::Status(500),
        "/refuses" => Answer::Status(415),
        "/hangs" => Answer::Hang,
        _ => Answer::Status(200),
    });
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/good"), &json!({ "tenant": "*" }));
    // What is read before: without it those who are behind would have no headroom at all.
    Broker::shared().produce(&topic, shop::orders(ORDERS..ORDERS + 10, PARTITIONS));
    wait::until_so("the first ten", PATIENCE, || endpoint.account().arrived("/good") == 10);
    for path in ["/fails", "/refuses", "/hangs"] {
        daemon.subscribe(&endpoint.url(path), &json!({ "tenant": "*" }));
    }
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({ "tenant": "*" }));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    let garbage = Sample { partition: 0, key: "x".into(), value: b"{".to_vec() };
    Broker::shared().produce(&topic, std::iter::once(garbage).chain(shop::orders(0..ORDERS, PARTITIONS)));
    let mut day = Day { daemon: &daemon, seen: BTreeSet::new() };
    let later = [RELOADS, CATCH_UP, UNMATCHED];
    day.until("what happens by itself", &later);
    assert_eq!(daemon.call("POST", "/v1/reload").status, 200);
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    for one in daemon.list("/v1/subscriptions") {
        let id = one["id"].as_str().unwrap();
        if id != paused {
            assert_eq!(daemon.call("DELETE", &format!("/v1/subscriptions/{id}")).status, 204);
        }
    }
    wait::until_so("all to be caught up with", PATIENCE, || endpoint.account().arrived("/paused") == ORDERS);
    day.until("a reload and catching up", &[UNMATCHED]);
    assert_eq!(daemon.call("DELETE", &format!("/v1/subscriptions/{paused}")).status, 204);
    Broker::shared().produce(&topic, shop::orders(0..1, PARTITIONS));
    day.until("a record that nobody asked for", &[]);
    let series = daemon.health("/metrics").unwrap().body;
    assert!(!series.contains("hookline_subscription_attempts_total{"), "gone subscriptions leave no series");
    assert!(daemon.stop().success());
}
