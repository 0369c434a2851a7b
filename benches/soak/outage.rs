//! Endpoints are away for a minute, each in its own way: few requests into them, and their full rate when they are back.

use crate::{
    house::{House, subscribe},
    receiver::{Endpoint, Mood},
    report::{Limit, Report, size},
    track::Track,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// Records a second.
const RATE: u64 = 200;
/// What was out when the endpoint went away is no probe.
const FALL: Duration = Duration::from_secs(2);
/// How long a probe may be out: what was sent to an endpoint that hangs is waited for, even when it is back.
const TIMEOUT: Duration = Duration::from_secs(15);
const BACK: Duration = Duration::from_secs(5);

pub(crate) fn run(report: &mut Report) {
    let outage = Duration::from_secs(size("HOOKLINE_OUTAGE", 60));
    let house = House::new("outage");
    let daemon = house.home.start();
    let open = |more| {
        let endpoint = house.receiver.open(Mood::Well);
        subscribe(&daemon, endpoint, &more);
        endpoint
    };
    let neighbour = open(json!({ "ordering": "key" }));
    let away = [
        ("failing", Mood::Failing, BACK),
        ("refusing", Mood::Refusing, BACK),
        ("hanging, timeout 2 s", Mood::Hanging, BACK),
        ("hanging, timeout 15 s", Mood::Hanging, BACK + TIMEOUT),
    ];
    let away = away.map(|(what, mood, limit)| {
        let timeout = if what.ends_with(" 2 s") { "2s" } else { "15s" };
        (what, (mood, limit), open(json!({ "ordering": "key", "timeout": timeout })))
    });
    let steady = house.steady(0, RATE);
    Track::until(&house.receiver, |all| away.iter().all(|(.., end)| all[end].arrived > 5 * RATE));
    let gone = Instant::now();
    away.iter().for_each(|(_, (mood, _), endpoint)| house.receiver.turn(*endpoint, *mood));
    let meanwhile = Track::during(&house.receiver, outage);
    let (back, missed) = (Instant::now(), steady.made());
    let refused = away.each_ref().map(|(.., endpoint)| probes(house.receiver.refused(*endpoint), gone));
    let had = away.each_ref().map(|(.., endpoint)| house.receiver.arrived(*endpoint));
    away.iter().for_each(|(.., endpoint)| house.receiver.turn(*endpoint, Mood::Well));
    let track = Track::during(&house.receiver, TIMEOUT + BACK * 2);
    for (((what, (_, limit), endpoint), probes), had) in away.iter().zip(refused).zip(had) {
        let often = probes as f64 / (outage - FALL).as_secs_f64();
        report.hold(&format!("{what}: requests into it"), (often, "a second"), Limit::AtMost(1.0));
        let first = track.when(*endpoint, had + 1).map_or(f64::INFINITY, |at| at.duration_since(back).as_secs_f64());
        report.tell(&format!("{what}: first delivery after it was back (s)"), format!("{first:.1}"));
        let full = track.reached(*endpoint, 0.9 * RATE as f64, Duration::from_millis(500));
        let full = full.map_or(f64::INFINITY, |at| at.duration_since(back).as_secs_f64());
        let limit = Limit::AtMost(limit.as_secs_f64());
        report.hold(&format!("{what}: full rate after it was back"), (full, "s"), limit);
        let all = track.when_whole(*endpoint, missed).map_or(f64::INFINITY, |at| at.duration_since(back).as_secs_f64());
        report.tell(&format!("{what}: all that it missed after it was back (s)"), format!("{all:.1}"));
    }
    let rate = meanwhile.between(neighbour, (gone, back)) / RATE as f64;
    report.hold("rate of the neighbour meanwhile, of what was produced", (100.0 * rate, "%"), Limit::AtLeast(95.0));
    let made = steady.stop();
    let all = away.map(|(.., endpoint)| endpoint).into_iter().chain([neighbour]).collect::<Vec<Endpoint>>();
    house.until_settled(&daemon, &all, made);
    house.in_order(&all, made, report);
    assert!(daemon.stop().success());
}

/// How many requests came after the endpoint had gone, but for those that were out or found it gone.
fn probes(refused: Vec<Duration>, gone: Instant) -> usize {
    let since = gone.elapsed().saturating_sub(FALL);
    refused.into_iter().filter(|ago| *ago < since).count()
}
