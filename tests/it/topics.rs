//! When Kafka is not what it was: topics made anew, partitions added, records taken by retention, logs cut, commits lost,
//! gaps. Nothing that is in the log now is lost, and what was of another topic has other ids.

use crate::support::{
    account::Balance,
    api_call::Call,
    broker::{self, Broker, Sample},
    cluster::{self, Cluster, End},
    daemon::{Daemon, Home},
    endpoint::{Answer, Endpoint},
    shop, wait,
};
use serde_json::{Value, json};
use std::{
    fs,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(90);

/// A daemon's home that reads `topic`, hears of changes of topics within a second, and whose member is forgotten soon.
fn home(address: &str, topic: &str) -> Home {
    let mut home = Home::new(address, &group(topic));
    home.config["kafka"]["properties"] =
        json!({ "topic.metadata.refresh.interval.ms": "1000", "session.timeout.ms": "6000" });
    home.mapping(&shop::mapping(topic));
    home
}

fn group(topic: &str) -> String {
    format!("g.{topic}")
}

/// Orders in partition 0.
fn orders(numbers: Range<u64>) -> impl Iterator<Item = Sample> {
    shop::orders(numbers, 1)
}

#[track_caller]
fn until_arrived(endpoint: &Endpoint, path: &str, orders: u64) {
    let arrived = || endpoint.account().arrived(path);
    wait::until_so(&format!("{orders} orders at {path}"), PATIENCE, || arrived() >= orders);
    assert_eq!(arrived(), orders, "at {path}");
}

#[track_caller]
fn until_committed(topic: &str, partitions: i32) {
    broker::until_all_committed(&Broker::shared().address(), &group(topic), topic, partitions);
}

fn jumps(daemon: &Daemon, reason: &str) -> f64 {
    daemon.metric("hookline_position_jumps_total", &[&format!("reason=\"{reason}\"")])
}

/// The last jump of partition 0, as the status shows it.
fn shown_jump(daemon: &Daemon) -> Value {
    daemon.get("/v1/status")["partitions"][0]["jump"].clone()
}

#[test]
fn a_topic_made_anew_under_a_running_daemon_is_read_from_its_beginning_and_repeats_no_id() {
    let (broker, cluster) = (Broker::shared(), Cluster::at(Broker::shared().address()));
    let topic = broker.topic("anew", 1);
    let (home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    broker.produce(&topic, orders(0..60));
    until_arrived(&endpoint, "/a", 60);
    until_committed(&topic, 1);
    cluster.make_anew(&topic, 1);
    // The same orders at the same offsets, and then so many that the old offset is within the new log.
    broker.produce(&topic, orders(0..300));
    until_arrived(&endpoint, "/a", 300);
    until_committed(&topic, 1);
    let balance = endpoint.account().balance("/a", 0..300);
    // Those that librdkafka brought at the old offset before the change was noticed may come twice, with one id.
    let expected = Balance { strangers: 60, twins: balance.twins, ..Balance::exactly_once(300) };
    assert_eq!(balance, expected, "the first sixty came again, each with another id");
    assert!(jumps(&daemon, "made_anew") >= 1.0);
    assert_eq!(shown_jump(&daemon)["reason"], "made_anew");
    // And again, without a restart.
    cluster.delete(&topic);
    wait::until_so("the partition to go", PATIENCE, || daemon.get("/v1/status")["partitions"] == json!([]));
    cluster.make(&topic, 2, &[]);
    broker.produce(&topic, shop::orders(300..400, 2));
    until_arrived(&endpoint, "/a", 400);
    until_committed(&topic, 2);
    assert!(daemon.stop().success());
}

#[test]
fn a_topic_made_anew_while_stopped_keeps_what_the_ledger_owes_and_tells_what_is_lost() {
    let (broker, cluster) = (Broker::shared(), Cluster::at(Broker::shared().address()));
    let topic = broker.topic("anew.stopped", 1);
    let home = home(&broker.address(), &topic);
    let well = Arc::new(AtomicBool::new(false));
    let endpoint = {
        let well = Arc::clone(&well);
        Endpoint::scripted(move |webhook| {
            let refused = webhook.path == "/ill" && !well.load(Ordering::SeqCst);
            Answer::Status(if refused { 500 } else { 200 })
        })
    };
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/well"), &json!({}));
    let ill = daemon.subscribe(&endpoint.url("/ill"), &json!({}));
    broker.produce(&topic, orders(0..200));
    until_arrived(&endpoint, "/well", 200);
    until_committed(&topic, 1);
    // Its breaker is open: what was tried is in the ledger, the rest is behind its cursor.
    wait::until_so("a cursor", PATIENCE, || daemon.metric("hookline_cursors", &[]) > 0.0);
    let owed =
        |daemon: &Daemon| daemon.get(&format!("/v1/subscriptions/{ill}"))["health"]["ledger"]["rows"].as_u64().unwrap();
    wait::until_so("rows", PATIENCE, || owed(&daemon) > 0);
    assert!(daemon.stop().success());
    cluster.make_anew(&topic, 1);
    broker.produce(&topic, orders(200..500));
    well.store(true, Ordering::SeqCst);
    let daemon = home.start();
    until_arrived(&endpoint, "/well", 500);
    wait::until_so("nothing to be owed", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) == 0.0);
    until_committed(&topic, 1);
    let lost = daemon.get(&format!("/v1/dead-letters?subscription={ill}&reason=retention_lost"))["items"].clone();
    let range = &lost[0]["range"];
    assert_eq!(
        (lost.as_array().unwrap().len(), &range["topic"], &range["to"]),
        (1, &json!(topic), &json!(200)),
        "{lost}"
    );
    let from = range["from"].as_u64().unwrap();
    assert!(from > 0, "what was tried before that is owed, and not lost: {lost}");
    until_arrived(&endpoint, "/ill", 300 + from);
    let balance = endpoint.account().balance("/well", 0..500);
    assert_eq!(balance, Balance::exactly_once(500), "no id of the old topic comes again");
    assert_eq!(jumps(&daemon, "made_anew"), 1.0);
    // It can be forgotten, and stays so.
    let id = lost[0]["id"].as_str().unwrap();
    assert_eq!(daemon.call("DELETE", &format!("/v1/dead-letters/{id}")).status, 204);
    wait::until_so("it to be forgotten", PATIENCE, || daemon.get("/v1/dead-letters")["items"] == json!([]));
    assert!(daemon.stop().success());
}

#[test]
fn partitions_and_topics_that_are_made_later_are_read_from_their_beginning_though_the_group_starts_at_the_latest() {
    let (broker, cluster) = (Broker::shared(), Cluster::at(Broker::shared().address()));
    let topic = broker.topic("grown", 1);
    let later = format!("{topic}.later");
    let mut home = home(&broker.address(), &topic);
    home.mapping(&shop::mapping(&later).replace("order-placed", "later-placed"));
    home.config["kafka"]["start"] = json!("latest");
    broker.produce(&topic, orders(1_000..1_010));
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/now"), &json!({ "start": "now" }));
    broker.produce(&topic, orders(0..20));
    until_arrived(&endpoint, "/now", 20);
    until_committed(&topic, 1);
    cluster.grow(&topic, 3);
    // Before the daemon can have heard of it.
    broker.produce(&topic, shop::orders(20..80, 3));
    cluster.make(&later, 1, &[]);
    broker.produce(&later, orders(80..100));
    until_arrived(&endpoint, "/now", 100);
    until_committed(&topic, 3);
    broker::until_all_committed(&broker.address(), &group(&topic), &later, 1);
    assert!(daemon.stop().success());
    assert_eq!(endpoint.account().balance("/now", 0..100), Balance::exactly_once(100));
}

#[test]
fn what_retention_takes_before_it_is_read_is_told_and_the_rest_is_delivered() {
    let (broker, cluster) = (Broker::shared(), Cluster::at(Broker::shared().address()));
    let topic = broker.topic("overtaken", 1);
    let (home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let daemon = home.start();
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({}));
    daemon.subscribe(&endpoint.url("/live"), &json!({}));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    broker.produce(&topic, orders(0..300));
    until_arrived(&endpoint, "/live", 300);
    until_committed(&topic, 1);
    cluster.remove_records(&topic, 0, 100);
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    until_arrived(&endpoint, "/paused", 200);
    let lost = daemon.get(&format!("/v1/dead-letters?subscription={paused}"))["items"].clone();
    let range = json!({ "topic": topic, "partition": 0, "from": 0, "to": 100 });
    assert_eq!((&lost[0]["range"], &lost[1]), (&range, &Value::Null));
    assert!(daemon.stop().success());
    // The group's own place is overtaken, too.
    broker.produce(&topic, orders(300..400));
    cluster.remove_records(&topic, 0, 350);
    let daemon = home.start();
    for (path, arrived) in [("/live", 350), ("/paused", 250)] {
        until_arrived(&endpoint, path, arrived);
    }
    until_committed(&topic, 1);
    assert_eq!(jumps(&daemon, "retention"), 1.0);
    let jump = shown_jump(&daemon);
    assert_eq!((&jump["from"], &jump["to"], &jump["reason"]), (&json!(300), &json!(350), &json!("retention")));
    assert!(daemon.stop().success());
}

#[test]
fn commits_past_the_end_and_commits_that_are_lost_are_made_up_for() {
    let (broker, cluster) = (Broker::shared(), Cluster::at(Broker::shared().address()));
    let topic = broker.topic("commits", 1);
    let (mut home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    broker.produce(&topic, orders(0..100));
    until_arrived(&endpoint, "/a", 100);
    assert!(daemon.stop().success());
    // Lost: `kafka.start` says latest now, and would skip what came meanwhile.
    cluster.forget_group(&group(&topic));
    home.config["kafka"]["start"] = json!("latest");
    broker.produce(&topic, orders(100..150));
    let daemon = home.start();
    until_arrived(&endpoint, "/a", 150);
    until_committed(&topic, 1);
    assert_eq!(jumps(&daemon, "commit_lost"), 1.0);
    assert_eq!(endpoint.account().balance("/a", 0..150), Balance::exactly_once(150), "the copy says where it stood");
    assert!(daemon.stop().success());
    // Past the end.
    cluster.move_commit(&group(&topic), &topic, 5_000);
    broker.produce(&topic, orders(150..200));
    let daemon = home.start();
    until_arrived(&endpoint, "/a", 200);
    until_committed(&topic, 1);
    assert_eq!(jumps(&daemon, "truncated"), 1.0);
    assert_eq!(shown_jump(&daemon)["from"], 5_000);
    assert!(daemon.stop().success());
    // All of it is younger than the margin, so all came again, with the ids of the first time.
    assert_eq!(endpoint.account().balance("/a", 0..200), Balance { twins: 150, ..Balance::exactly_once(200) });
}

#[test]
fn another_group_begins_as_kafka_start_says_though_the_store_knows_where_the_first_one_stood() {
    let broker = Broker::shared();
    let topic = broker.topic("group", 1);
    let (mut home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    broker.produce(&topic, orders(0..20));
    until_arrived(&endpoint, "/a", 20);
    assert!(daemon.stop().success());
    broker.produce(&topic, orders(20..40));
    home.config["kafka"]["group"] = json!(format!("other.{topic}"));
    home.config["kafka"]["start"] = json!("latest");
    let daemon = home.start();
    broker.produce(&topic, orders(40..60));
    until_arrived(&endpoint, "/a", 40);
    assert_eq!(endpoint.account().balance("/a", 0..60).lost, 20, "those that no group of ours was there for");
    assert!(daemon.stop().success());
}

#[test]
fn a_log_that_was_cut_by_a_broker_that_came_back_with_less_is_read_again_by_time() {
    let mut broker = Broker::start();
    let topic = broker.topic("cut", 1);
    let (mut home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    // The member stays one while the broker is away, and finds the log changed under it.
    home.config["kafka"]["properties"] = json!({ "session.timeout.ms": "45000", "reconnect.backoff.max.ms": "500" });
    let mut daemon = home.start();
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({}));
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    broker.produce(&topic, orders(0..100));
    until_arrived(&endpoint, "/a", 100);
    until_arrived(&endpoint, "/paused", 100);
    // What the disk had at this moment is what is left after the accident.
    broker.kill();
    let (log, saved) = (broker.path(&format!("data/{topic}-0")), broker.path("saved"));
    copy(&log, &saved);
    broker.launch();
    daemon.until_ready();
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    broker.produce(&topic, orders(100..200));
    until_arrived(&endpoint, "/a", 200);
    broker::until_all_committed(&broker.address(), &group(&topic), &topic, 1);
    broker.kill();
    fs::remove_dir_all(&log).unwrap();
    copy(&saved, &log);
    broker.launch();
    daemon.until_ready();
    broker.produce(&topic, orders(200..250));
    until_arrived(&endpoint, "/a", 250);
    assert!(jumps(&daemon, "truncated") >= 1.0);
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    until_arrived(&endpoint, "/paused", 150); // 100 to 199 are in no log any more
    broker::until_all_committed(&broker.address(), &group(&topic), &topic, 1);
    assert!(daemon.stop().success());
    for (path, arrived, lost) in [("/a", 250, 0), ("/paused", 150, 100)] {
        let balance = endpoint.account().balance(path, 0..250);
        assert_eq!((balance.arrived, balance.lost, balance.strangers), (arrived, lost, 0), "{path}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn gaps_of_transactions_hold_up_neither_intake_nor_those_behind_nor_the_commit() {
    let broker = Broker::shared();
    let topic = broker.topic("transactions", 1);
    let (home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let daemon = home.start();
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({ "ordering": "key" }));
    daemon.subscribe(&endpoint.url("/live"), &json!({}));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    let all = |numbers: Range<u64>| orders(numbers).collect::<Vec<_>>();
    let (committed, rolled_back) = (End::Committed, End::RolledBack);
    let transactions = vec![
        (all(0..50), committed),
        (all(900..950), rolled_back),
        (all(50..100), committed),
        (all(950..999), rolled_back), // so that the log ends with nothing that is ever read
    ];
    cluster::in_transactions(&broker.address(), &topic, transactions);
    until_arrived(&endpoint, "/live", 100);
    until_committed(&topic, 1);
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    until_arrived(&endpoint, "/paused", 100);
    let behind = || daemon.get(&format!("/v1/subscriptions/{paused}"))["health"]["places"]["live"].clone();
    wait::until_so("it to be live", PATIENCE, || behind() == 1);
    assert!(daemon.stop().success());
    for path in ["/live", "/paused"] {
        assert_eq!(endpoint.account().balance(path, 0..100), Balance::exactly_once(100), "{path}");
    }
}

#[test]
fn on_a_compacted_topic_what_is_left_is_delivered_and_whoever_stands_behind_is_warned_of_once() {
    let (broker, cluster) = (Broker::shared(), Cluster::at(Broker::shared().address()));
    let topic = broker.topic("last.of.each", 1) + ".key";
    let config = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01"), ("segment.ms", "100")];
    cluster.make(&topic, 1, &config);
    let (home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let daemon = home.start();
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({}));
    daemon.subscribe(&endpoint.url("/live"), &json!({}));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    // Each order three times: compaction leaves the last of each, and gaps.
    for round in 1..=3 {
        broker.produce(&topic, orders(0..50));
        wait::until_so("the round", PATIENCE, || endpoint.requests("/live") >= round * 50);
    }
    wait::until_so("compaction", PATIENCE, || {
        broker.produce(&topic, orders(50..51)); // a segment is closed by the next record only
        cluster.count(&topic) < 120
    });
    wait::until_so("a warning", PATIENCE, || daemon.log().contains("the topic is compacted"));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    wait::until_so("what is left", PATIENCE, || endpoint.account().arrived("/paused") == 51);
    let live = || daemon.get(&format!("/v1/subscriptions/{paused}"))["health"]["places"]["live"].clone();
    wait::until_so("it to be live", PATIENCE, || live() == 1);
    until_committed(&topic, 1);
    assert_eq!(daemon.log().matches("the topic is compacted").count(), 1, "once");
    assert!(daemon.stop().success());
}

#[test]
fn what_is_owed_of_a_topic_that_no_mapping_reads_any_more_is_delivered() {
    let broker = Broker::shared();
    let (topic, other) = (broker.topic("forsaken", 1), broker.topic("instead", 1));
    let home = home(&broker.address(), &topic);
    let well = Arc::new(AtomicBool::new(false));
    let endpoint = {
        let well = Arc::clone(&well);
        Endpoint::scripted(move |_| Answer::Status(if well.load(Ordering::SeqCst) { 200 } else { 500 }))
    };
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    broker.produce(&topic, orders(0..5));
    wait::until_so("five rows", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) == 5.0);
    assert!(daemon.stop().success());
    fs::write(home.path("mappings/0.yaml"), shop::mapping(&other)).unwrap();
    well.store(true, Ordering::SeqCst);
    let daemon = home.start();
    until_arrived(&endpoint, "/a", 5);
    broker.produce(&other, orders(5..10));
    until_arrived(&endpoint, "/a", 10);
    wait::until_so("no rows", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) == 0.0);
    assert!(daemon.stop().success());
    let balance = endpoint.account().balance("/a", 0..10);
    assert_eq!((balance.arrived, balance.lost, balance.strangers), (10, 0, 0));
}

#[test]
fn resumed_from_now_a_subscription_gets_what_comes_and_nothing_of_what_lies_between() {
    let broker = Broker::shared();
    let topic = broker.topic("skipped", 3);
    let (home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let daemon = home.start();
    let paused = daemon.subscribe(&endpoint.url("/paused"), &json!({}));
    daemon.subscribe(&endpoint.url("/live"), &json!({}));
    let path = format!("/v1/subscriptions/{paused}");
    assert_eq!(daemon.call("POST", &format!("{path}/pause")).status, 200);
    broker.produce(&topic, shop::orders(0..300, 3));
    until_arrived(&endpoint, "/live", 300);
    until_committed(&topic, 3);
    let resume = Call::new("POST", home.api, &format!("{path}/resume")).json(&json!({ "from": "now" })).send().unwrap();
    assert_eq!(resume.status, 200, "{resume:?}");
    let skipped = resume.json()["skipped"].clone();
    let offsets = |one: &Value| one["to"].as_i64().unwrap() - one["from"].as_i64().unwrap();
    assert_eq!(skipped.as_array().unwrap().iter().map(offsets).sum::<i64>(), 300, "{skipped}");
    broker.produce(&topic, shop::orders(300..400, 3));
    until_arrived(&endpoint, "/live", 400);
    until_arrived(&endpoint, "/paused", 100);
    let daemon = {
        assert!(daemon.stop().success());
        home.start()
    };
    broker.produce(&topic, shop::orders(400..450, 3));
    until_arrived(&endpoint, "/paused", 150);
    until_committed(&topic, 3);
    assert!(daemon.stop().success());
    let balance = endpoint.account().balance("/paused", 300..450);
    assert_eq!(balance, Balance::exactly_once(150), "nothing of what was skipped");
}
