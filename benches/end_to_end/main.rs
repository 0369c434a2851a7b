//! End to end, at full load, in one run: the daemon beside a bare loop, on the same broker and receiver.
//!
//! `make bench`. Orders of 570 bytes in 12 partitions of a real Apache Kafka; a receiver that is a process of its own,
//! so that its time is nobody else's. What is measured lies between a tenth and nine tenths of the orders: start and
//! end are left out. Compare within one run, as ratios: machines differ. `HOOKLINE_RECORDS` (100000) and
//! `HOOKLINE_ROUNDS` (4) scale it; of several rounds the best counts. `cargo bench -- bare-loop-alone` and
//! `hookline-alone` measure only one of the two.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark may fail loudly, and asks the system itself"
)]

mod bare_loop;
mod measure;
mod receiver;
#[path = "../../tests/it/support/mod.rs"]
mod support;
#[allow(dead_code, reason = "two benches share it, and each uses a part")]
mod wire;

use measure::Figure;
use receiver::Receiver;
use serde_json::json;
use support::{
    broker::Broker,
    daemon::{Daemon, Home},
    shop,
};

const PARTITIONS: i32 = 12;
const WELL: [&str; 4] = ["/a", "/b", "/c", "/d"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["receiver"] => receiver::serve(),
        ["bare-loop", address, topic, group, url] => bare_loop::run([address, topic, group], url),
        ["bare-loop-alone", ..] => println!("{}", one_subscriber_bare(Broker::shared(), records())),
        ["hookline-alone", ..] => println!("{}", one_subscriber(Broker::shared(), records())),
        _ => compare(),
    }
}

fn compare() {
    let (records, rounds) = (records(), number("HOOKLINE_ROUNDS", 4));
    let broker = Broker::shared();
    let (mut bare, mut daemon) = (Figure::none(), Figure::none());
    let (mut well, mut ill) = (Figure::none(), Figure::none());
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}: bare loop, hookline, five subscribers, one of them ill");
        bare = bare.better(one_subscriber_bare(broker, records));
        daemon = daemon.better(one_subscriber(broker, records));
        well = well.better(five_subscribers(broker, records / 4, "/e"));
        ill = ill.better(five_subscribers(broker, records / 4, receiver::HANGS));
    }
    println!("\n{records} orders of 570 bytes, {PARTITIONS} partitions, best of {rounds} rounds\n");
    println!("  {:<34} {:>10} {:>18} {:>10}", "", "events/s", "CPU us per event", "RSS MiB");
    for (what, figure) in [
        ("bare loop, 1 subscriber", bare),
        ("hookline, 1 subscriber", daemon),
        ("hookline, 5 subscribers: 4 of them", well),
        ("hookline, 1 of 5 hangs: the 4", ill),
    ] {
        println!("  {what:<34} {figure}");
    }
    println!("\n  CPU of hookline / bare loop: {:.2} x", daemon.cpu / bare.cpu);
    println!("  rate of the 4 when the fifth hangs: {:.0} %", 100.0 * ill.rate / well.rate);
}

fn one_subscriber_bare(broker: &Broker, records: u64) -> Figure {
    let topic = broker.topic("bench", PARTITIONS);
    broker.produce(&topic, shop::orders(0..records, PARTITIONS));
    let receiver = Receiver::start();
    let loops = bare_loop::start(&broker.address(), &topic, &receiver.url("/a"));
    measure::under_load(loops.id(), records, || receiver.count(&["/a"]))
}

fn one_subscriber(broker: &Broker, records: u64) -> Figure {
    let (receiver, topic) = (Receiver::start(), broker.topic("bench", PARTITIONS));
    let (daemon, _home) = loaded(broker, &topic, &[receiver.url("/a")], records);
    let figure = measure::under_load(daemon.pid(), records, || receiver.count(&["/a"]));
    assert!(daemon.stop().success());
    figure
}

fn five_subscribers(broker: &Broker, records: u64, fifth: &str) -> Figure {
    let (receiver, topic) = (Receiver::start(), broker.topic("bench", PARTITIONS));
    let urls: Vec<_> = WELL.into_iter().chain([fifth]).map(|path| receiver.url(path)).collect();
    let (daemon, _home) = loaded(broker, &topic, &urls, records);
    let figure = measure::under_load(daemon.pid(), 4 * records, || receiver.count(&WELL));
    assert!(daemon.stop().success());
    figure
}

/// A daemon with these subscribers, started on a topic that is full already.
fn loaded(broker: &Broker, topic: &str, urls: &[String], records: u64) -> (Daemon, Home) {
    let mut home = Home::new(&broker.address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(topic));
    // The default schedule and timeout; a ledger that has room for all that one who hangs is owed.
    home.config["delivery"] = json!({ "ledger_budget": "1GiB" });
    let daemon = home.start();
    urls.iter().for_each(|url| drop(daemon.subscribe(url, &json!({}))));
    assert!(daemon.stop().success());
    broker.produce(topic, shop::orders(0..records, PARTITIONS));
    (home.spawn(), home)
}

fn records() -> u64 {
    number("HOOKLINE_RECORDS", 100_000)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
