//! Nothing is lost: not by a stop, not by a kill, not by an outage.
//!
//! `HOOKLINE_RECORDS` and `HOOKLINE_KILLS` scale the tests up (100000 and 20 for the full figure), `HOOKLINE_SEED`
//! repeats one with kills.

use crate::support::{
    account::Balance,
    broker::{self, Broker},
    daemon::Home,
    endpoint::{Answer, Endpoint},
    shop, wait,
};
use serde_json::json;
use std::{
    env,
    hash::{BuildHasher, RandomState},
    thread,
    time::Duration,
};

const PARTITIONS: i32 = 12;
const PATIENCE: Duration = Duration::from_secs(120);

/// Random numbers that a seed repeats (splitmix64).
struct Dice(u64);

// === impl Dice ===

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn home(address: &str, topic: &str) -> Home {
    let home = Home::new(address, &format!("g.{topic}"));
    home.mapping(&shop::mapping(topic));
    home
}

/// Produces orders on a thread of its own, in portions, so that there is load all the time.
fn produce_by_and_by(address: String, topic: String, orders: u64) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for from in (0..orders).step_by(2_000) {
            broker::produce(&address, &topic, shop::orders(from..orders.min(from + 2_000), PARTITIONS));
        }
    })
}

#[test]
fn stopped_and_started_every_record_arrives_exactly_once() {
    const STOPS: u64 = 5;
    let orders = number("HOOKLINE_RECORDS", 20_000);
    let broker = Broker::shared();
    let topic = broker.topic("stops", PARTITIONS);
    let (home, endpoint) = (home(&broker.address(), &topic), Endpoint::accepting());
    let mut daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    let producing = produce_by_and_by(broker.address(), topic.clone(), orders);
    for stop in 1..=STOPS {
        let enough = orders * stop / (STOPS + 2);
        wait::until_so("load", PATIENCE, || endpoint.account().arrived("/a") >= enough);
        let said = daemon.log();
        assert!(daemon.stop().success(), "{said}");
        let arrived = endpoint.account().arrived("/a");
        let committed = broker.committed(&format!("g.{topic}"), &topic, PARTITIONS);
        let committed = u64::try_from(committed.into_iter().flatten().sum::<i64>()).unwrap();
        // What did not start is behind a cursor, and committed as well.
        assert!(committed >= arrived, "after stop {stop} {committed} are committed and {arrived} arrived\n{said}");
        daemon = home.start();
    }
    producing.join().unwrap();
    wait::until_so("all orders", PATIENCE, || endpoint.account().arrived("/a") == orders);
    broker::until_all_committed(&broker.address(), &format!("g.{topic}"), &topic, PARTITIONS);
    assert!(daemon.stop().success());
    assert_eq!(endpoint.account().balance("/a", 0..orders), Balance::exactly_once(orders));
    println!("{STOPS} stops: 0 lost, 0 twins among {orders}");
}

#[test]
fn killed_at_random_instants_nothing_is_lost() {
    let (orders, kills) = (number("HOOKLINE_RECORDS", 20_000), number("HOOKLINE_KILLS", 5));
    let seed = number("HOOKLINE_SEED", RandomState::new().hash_one(0) % 1_000_000);
    println!("{orders} records, {kills} kills, HOOKLINE_SEED={seed}");
    let mut dice = Dice(seed);
    let broker = Broker::shared();
    let topic = broker.topic("kills", PARTITIONS);
    // Every fiftieth event is refused at first, so that there are rows in the ledger when it is killed.
    let endpoint = Endpoint::scripted(|webhook| match webhook.attempt {
        1 if webhook.id.bytes().map(u64::from).sum::<u64>() % 50 == 0 => Answer::Status(500),
        _ => Answer::Status(200),
    });
    let home = home(&broker.address(), &topic);
    let mut daemon = home.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    let producing = produce_by_and_by(broker.address(), topic.clone(), orders);
    for kill in 1..=kills {
        let enough = (orders * kill / (kills + 1)).saturating_sub(dice.below(orders / (kills + 1)));
        wait::until_so("load", PATIENCE, || endpoint.account().arrived("/a") >= enough);
        // Not a wait for something: the instant itself is what is random.
        thread::sleep(Duration::from_millis(dice.below(200)));
        daemon.kill();
        // Some die again while they start.
        if dice.below(3) == 0 {
            let again = home.spawn();
            thread::sleep(Duration::from_millis(dice.below(400)));
            again.kill();
        }
        daemon = home.start();
    }
    producing.join().unwrap();
    wait::until_so("all orders", PATIENCE, || endpoint.account().arrived("/a") == orders);
    broker::until_all_committed(&broker.address(), &format!("g.{topic}"), &topic, PARTITIONS);
    wait::until_so("an empty ledger", PATIENCE, || daemon.metric("hookline_ledger_rows", &[]) == 0.0);
    assert!(daemon.stop().success());
    let balance = endpoint.account().balance("/a", 0..orders);
    println!(
        "{kills} kills: {} lost, {} twins among {orders}, each with the id of its first",
        balance.lost, balance.twins
    );
    assert_eq!(balance, Balance { twins: balance.twins, ..Balance::exactly_once(orders) }, "HOOKLINE_SEED={seed}");
}
