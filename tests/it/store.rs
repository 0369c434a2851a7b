//! The store on its disk: carried elsewhere, compacted, killed in the midst of anything, on a disk that runs full.

use crate::support::{
    account::Balance,
    broker::{self, Broker, Sample},
    daemon::Home,
    endpoint::{Answer, Endpoint},
    minder, shop, wait,
};
use hookline::{
    model::{
        delivery::{LedgerHead, LedgerKey},
        event::IntegrationEvent,
        id::{EventId, Sid},
        record::Origin,
        time::Timestamp,
    },
    store::{Store, batch::Batch, settings::StoreSettings},
};
use serde_json::{Value, json};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(90);

/// A home whose daemon would find no broker.
fn alone() -> Home {
    Home::new("127.0.0.1:1", "g.alone")
}

/// Ledger rows of nobody, each a few KB, durable.
fn fill(path: &Path, rows: i64) {
    let settings = StoreSettings { path: path.to_path_buf(), min_free: 0, ..StoreSettings::default() };
    let store = Store::open(&settings, Box::new(|_| {})).unwrap();
    for offset in 0..rows {
        let time = Timestamp::from_millis(1);
        let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: time };
        let event = IntegrationEvent {
            id: EventId::derive(&origin, "m", 0),
            origin,
            mapping: "m".into(),
            ord: 0,
            source: "urn:t".into(),
            event_type: "t".into(),
            subject: None,
            time,
            tenant: None,
            key: None,
            traceparent: None,
            extensions: Vec::new(),
            data: json!("x".repeat(4_000)),
        };
        let head = LedgerHead { attempts: 1, first: time, due: time, last: None, ordering_key: None, body_len: 0 };
        let mut batch = Batch::new();
        batch.park(&LedgerKey::of(&event, Sid::new(1, 1)), &head, &event);
        store.submit(batch, |result| result.unwrap());
    }
    store.close().unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What `store check --json` finds; it must be sound.
#[track_caller]
fn sound(home: &Home) -> Value {
    let checked = home.run("store check --json");
    assert!(checked.status.success(), "{}", said(&checked));
    serde_json::from_slice(&checked.stdout).unwrap()
}

fn rows(report: &Value, kind: &str) -> u64 {
    let rows = report["rows"].as_array().unwrap().iter().find(|row| row["kind"] == kind);
    rows.map_or(0, |row| row["rows"].as_u64().unwrap())
}

/// A number below `bound`, by chance: an instant to kill at.
fn chance(bound: Duration) -> Duration {
    let micros = u64::try_from(bound.as_micros()).unwrap().max(1);
    Duration::from_micros(RandomState::new().hash_one(0) % micros)
}

#[test]
fn an_archive_carries_everything_that_is_owed_to_another_folder() {
    let topic = Broker::shared().topic("archive", 3);
    let group = format!("g.{topic}");
    let mut home = Home::new(&Broker::shared().address(), &group);
    home.mapping(&shop::mapping(&topic));
    home.config["delivery"]["retry"]["schedule"] = json!(["5s"]);
    let well = Arc::new(AtomicBool::new(false));
    let endpoint = {
        let well = Arc::clone(&well);
        Endpoint::scripted(move |_| Answer::Status(if well.load(Ordering::SeqCst) { 200 } else { 500 }))
    };
    let daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    let paused = daemon.subscribe(&endpoint.url("/b"), &json!({ "ordering": "key" }));
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/pause")).status, 200);
    Broker::shared().produce(&topic, shop::orders(0..200, 3));
    let broken = Sample { partition: 1, key: "k".into(), value: b"not json".to_vec() };
    Broker::shared().produce(&topic, [broken]);
    broker::until_all_committed(&Broker::shared().address(), &group, &topic, 3);
    for command in ["store export x", "store check", "store compact", "store import x"] {
        fs::write(home.path("x"), "anything").unwrap();
        let refused = home.run(command);
        let told = said(&refused);
        assert!(!refused.status.success() && (told.contains("in use") || told.contains("no archive")), "{told}");
    }
    assert!(daemon.stop().success());

    let before = sound(&home);
    assert!(rows(&before, "ledger") > 0 && rows(&before, "cursors") >= 3, "{before}");
    assert_eq!((rows(&before, "subscriptions"), rows(&before, "quarantine")), (2, 1));
    let exported = home.run("store export backup");
    assert!(exported.status.success(), "{}", said(&exported));
    assert!(!home.path("backup.part").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(home.path("backup")).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "secrets may be in it");
    home.config["store"]["path"] = json!(home.path("elsewhere"));
    let imported = home.run("store import backup");
    let told = said(&imported);
    assert!(imported.status.success(), "{told}");
    let old = fs::read_to_string(home.path("store/id")).unwrap();
    assert!(told.contains(old.trim()) && told.contains("must not run any more") && told.contains("replay"), "{told}");
    assert_eq!(sound(&home)["rows"], before["rows"]);
    assert!(home.run("store import backup").status.code() == Some(1), "it is not empty any more");

    well.store(true, Ordering::SeqCst);
    let daemon = home.start();
    assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{paused}/resume")).status, 200);
    for path in ["/a", "/b"] {
        wait::until_so("all orders", PATIENCE, || endpoint.account().arrived(path) == 200);
        assert_eq!(endpoint.account().balance(path, 0..200), Balance::exactly_once(200), "{path}");
    }
    assert_eq!(daemon.list("/v1/quarantine").len(), 1);
    assert!(daemon.stop().success());
}

#[test]
fn what_is_no_store_and_no_archive_is_told_and_nothing_is_made() {
    let mut home = alone();
    for command in ["store check", "store export x", "store compact"] {
        let refused = home.run(command);
        assert!(said(&refused).contains("there is no store in"), "{}", said(&refused));
        assert_eq!(refused.status.code(), Some(1));
    }
    assert!(!home.path("store").exists() && !home.path("x").exists() && !home.path("x.part").exists());
    fs::write(home.path("x"), "{}").unwrap();
    for (file, says) in [("x", "no archive"), ("absent", "cannot read absent")] {
        let refused = home.run(&format!("store import {file}"));
        assert!(said(&refused).contains(says), "{}", said(&refused));
    }
    fill(&home.path("store"), 10);
    home.config["store"]["min_free"] = json!("1TiB");
    let refused = home.run("store compact");
    assert!(said(&refused).contains("make room"), "{}", said(&refused));
}

#[test]
fn a_damaged_store_is_told_by_check_and_replaced_by_its_backup() {
    let home = alone();
    fill(&home.path("store"), 300);
    assert!(home.run("store export backup").status.success());
    let data = home.path("store/db");
    let mut bytes = fs::read(&data).unwrap();
    // Most of it: what the log has left behind is nobody's loss, and where that lies is chance.
    let eighth = bytes.len() / 8;
    bytes[eighth..eighth * 7].fill(0x5a);
    fs::write(&data, bytes).unwrap();
    let checked = home.run("store check");
    let told = said(&checked);
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(told.contains("hookline store import --replace") && !told.contains("panicked"), "{told}");
    let replaced = home.run("store import --replace backup");
    assert!(replaced.status.success() && said(&replaced).contains("kept in"), "{}", said(&replaced));
    assert_eq!(rows(&sound(&home), "ledger"), 300);
}

#[test]
fn killed_while_it_opens_a_store_stays_whole() {
    let mut home = alone();
    fill(&home.path("store"), 2_000);
    let begun = Instant::now();
    sound(&home);
    let whole = begun.elapsed();
    let mut half_made = 0;
    for round in 0..30 {
        // Every other time the store is made at that moment.
        let fresh = round % 2 == 1;
        home.config["store"]["path"] = json!(home.path(if fresh { "fresh" } else { "store" }));
        let mut child = home.begin(if fresh { "run" } else { "store check" }, &[]);
        thread::sleep(chance(whole));
        let (_, _) = (child.kill(), child.wait());
        minder::ended(child.id());
        let path = home.path(if fresh { "fresh" } else { "store" });
        let left = fs::read_dir(&path).map_or(0, |all| {
            let generating = |name: &str| name.ends_with(".generating");
            all.filter(|entry| generating(&entry.as_ref().unwrap().file_name().to_string_lossy())).count()
        });
        half_made += left;
        let checked = home.run("store check");
        let told = said(&checked);
        let never_begun = fresh && told.contains("there is no store in");
        assert!(checked.status.success() || never_begun, "round {round}: {told}");
        if fresh {
            drop(fs::remove_dir_all(&path));
        }
    }
    home.config["store"]["path"] = json!(home.path("store"));
    assert_eq!(rows(&sound(&home), "ledger"), 2_000);
    println!("30 kills while opening ({whole:?}), {half_made} snapshots were left half made");
}

#[test]
fn killed_while_it_is_compacted_or_replaced_a_store_stays_whole() {
    let home = alone();
    fill(&home.path("store"), 1_000);
    assert!(home.run("store export backup").status.success());
    for command in ["store compact", "store import --replace backup"] {
        let begun = Instant::now();
        assert!(home.run(command).status.success());
        let whole = begun.elapsed();
        for round in 0..8 {
            let mut child = home.begin(command, &[]);
            thread::sleep(chance(whole));
            let (_, _) = (child.kill(), child.wait());
            minder::ended(child.id());
            assert_eq!(rows(&sound(&home), "ledger"), 1_000, "{command}, round {round}");
        }
        let left = ["new", "old", "swap"].into_iter().find(|name| home.path("store").join(name).exists());
        assert_eq!(left, None, "{command}: what a kill left is removed at the next opening");
    }
}

/// Mounts `size` of memory at `folder`, or says why it does not.
fn small_disk(folder: &Path, size: &str) -> bool {
    fs::create_dir_all(folder).unwrap();
    let options = format!("size={size}");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("skipped: only root may mount a small disk");
        return false;
    }
    minder::mount(folder);
    true
}

#[test]
fn a_disk_that_runs_full_in_the_midst_of_a_write_stops_it_with_the_reason_and_loses_nothing() {
    // The floor looks once a second; now and then it looks in the very moment before the disk is full.
    assert!((0..8).any(|_| runs_full() != Full::NoticedBefore), "the floor noticed each time");
}

/// How a small disk ran full.
#[derive(PartialEq, Eq)]
enum Full {
    /// In the midst of a write.
    Stopped,
    /// The floor noticed before.
    NoticedBefore,
    /// There is no small disk here.
    Skipped,
}

fn runs_full() -> Full {
    const RECORDS: u64 = 60;
    let topic = Broker::shared().topic("enospc", 3);
    let group = format!("g.{topic}");
    let address = Broker::shared().address();
    let mut home = Home::new(&address, &group);
    home.mapping(&shop::mapping(&topic));
    // So that the floor does not notice: what comes within its second is more than there is.
    home.config["store"]["min_free"] = json!("1MiB");
    if !small_disk(&home.path("store"), "6m") {
        return Full::Skipped;
    }
    let endpoint = Endpoint::accepting();
    let mut daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    // What is no JSON is kept whole: much is written at once.
    let broken = |n: u64| Sample {
        partition: i32::try_from(n % 3).unwrap(),
        key: format!("k-{n}"),
        value: format!("{n:06}{}", "x".repeat(200_000)).into_bytes(),
    };
    Broker::shared().produce(&topic, (0..RECORDS).map(broken));
    Broker::shared().produce(&topic, shop::orders(0..30, 3));
    let mut unready = String::new();
    wait::until_so("the daemon to stop by itself", PATIENCE, || {
        if let Some(reply) = daemon.health("/readyz").filter(|reply| reply.status == 503) {
            unready = reply.body;
        }
        daemon.has_ended() || daemon.log().contains("the disk is full: nothing is written")
    });
    let log = daemon.log();
    if !log.contains("No space left on device") && !daemon.has_ended() {
        return Full::NoticedBefore;
    }
    assert_eq!(daemon.until_ended(PATIENCE).code(), Some(1), "{log}");
    assert!(log.contains("No space left on device") && !log.contains("panicked"), "{log}");
    assert!(unready.contains("No space left on device"), "/readyz said {unready:?}");
    let remount = Command::new("mount").args(["-o", "remount,size=200m"]).arg(home.path("store")).status();
    assert!(remount.unwrap().success());
    let daemon = home.start();
    wait::until_so("orders", PATIENCE, || endpoint.account().arrived("/a") == 30);
    broker::until_all_committed(&address, &group, &topic, 3);
    assert_eq!(daemon.list("/v1/quarantine").len() as u64, RECORDS, "each once");
    assert!(daemon.stop().success());
    sound(&home);
    Full::Stopped
}
