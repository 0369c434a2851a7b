//! An endpoint that is down costs it next to nothing, and gets its full rate at once when it is back.

use crate::dice::number;
use crate::house::{self, House};
use crate::receiver::{Mood, Receiver};
use crate::support::{broker::Broker, wait};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
/// Orders per second, and in how many portions they come.
const RATE: u64 = 150;
const PORTIONS: u64 = 1;

/// Produces at an even rate until `done`.
fn produce(house: &House, (made, done): (&AtomicU64, &AtomicBool)) {
    let begun = Instant::now();
    for portion in 1.. {
        if done.load(Ordering::SeqCst) {
            return;
        }
        let from = made.load(Ordering::SeqCst);
        house.produce(from..from + RATE / PORTIONS);
        made.store(from + RATE / PORTIONS, Ordering::SeqCst);
        let due = begun + Duration::from_millis(1_000 / PORTIONS) * portion;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn an_endpoint_that_is_down_gets_a_request_a_second_at_most_and_its_full_rate_when_it_is_back() {
    let seconds = number("HOOKLINE_OUTAGE", 14);
    let house = House::new(Broker::shared(), "outage");
    let receiver = Receiver::new(house::KEYS);
    let daemon = house.home.start();
    let paths = ["/key", "/well"];
    daemon.subscribe(&receiver.url("/key"), &house::quick("key"));
    daemon.subscribe(&receiver.url("/well"), &house::quick("none"));
    let (made, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| produce(&house, (&made, &done)));
        wait::until_so("load", PATIENCE, || receiver.arrived("/key") > RATE * 2);
        receiver.mood("/key", Mood::Failing);
        let before = receiver.arrived("/well");
        wait::until_so("the breaker", PATIENCE, || daemon.log().contains("breaker opened"));
        let opened = Instant::now();
        let requests = receiver.book("/key", |book| book.requests.len());
        thread::sleep(Duration::from_secs(seconds).saturating_sub(opened.elapsed()));
        let into = receiver.book("/key", |book| book.requests.len()) - requests;
        receiver.mood("/key", Mood::Well);
        let (back, had) = (Instant::now(), receiver.arrived("/key"));
        let well = receiver.arrived("/well") - before;
        wait::until_so("the first delivery", PATIENCE, || receiver.arrived("/key") > had);
        let first = back.elapsed();
        let probed = Instant::now();
        // Full rate: what was missed comes at a multiple of what is produced, and then it is level with the other.
        wait::until_so("its full rate", PATIENCE, || {
            let (from, at) = (receiver.arrived("/key"), Instant::now());
            thread::sleep(Duration::from_millis(500));
            let rate = (receiver.arrived("/key") - from) as f64 / at.elapsed().as_secs_f64();
            rate >= RATE as f64 * 0.9
        });
        let full = probed.elapsed();
        println!(
            "{seconds} s outage: {into} requests into it ({:.2}/s), the other had {well}; first delivery {first:?} after \
             it was back, full rate {full:?} after that",
            into as f64 / seconds as f64
        );
        assert!(into as u64 <= seconds, "{into} requests in {seconds} s");
        assert!(full < Duration::from_secs(5), "full rate only after {full:?}");
        done.store(true, Ordering::SeqCst);
    });
    house.until_settled((&receiver, &daemon), &paths, made.load(Ordering::SeqCst));
    assert!(daemon.stop().success());
    let wrong = house::wrong(&receiver, &paths);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(receiver.twins("/key") + receiver.twins("/well"), 0);
}
