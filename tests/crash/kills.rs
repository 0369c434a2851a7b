//! Killed at any instant, nothing is lost and no key is out of order.

use crate::dice::{Dice, number};
use crate::house::{self, House, PARTITIONS};
use crate::receiver::{Mood, Receiver};
use crate::support::{broker::Broker, daemon::Daemon, wait};
use std::{
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

/// One that is well, one in order, one with moods, one with moods and in order.
const PATHS: [(&str, &str); 4] = [("/a", "none"), ("/key", "key"), ("/moody", "none"), ("/key-moody", "key")];
const MOODY: [&str; 2] = ["/moody", "/key-moody"];
/// Orders that are produced per kill.
const PORTION: u64 = 300;
/// What may come twice was accepted so long before a kill at most: `settle_within`, a commit, and their own time on a
/// busy machine (INV-10).
const OLDEST_TWIN: Duration = Duration::from_secs(12);

#[cfg(feature = "failpoints")]
const POINTS: &[&str] = hookline::runtime::fault::POINTS;
#[cfg(not(feature = "failpoints"))]
const POINTS: &[&str] = &[];

/// What a run has seen.
#[derive(Default)]
struct Tale {
    orders: u64,
    /// When the broker was away: nothing could be committed.
    away: Option<(Instant, Instant)>,
    kills: Vec<Instant>,
    twins: Vec<u64>,
    first_new: Vec<Duration>,
    at_points: Vec<&'static str>,
}

#[test]
fn killed_at_any_instant_nothing_is_lost_and_every_key_stays_in_order() {
    let kills = number("HOOKLINE_KILLS", 8);
    let mut dice = Dice::new(&format!("{kills} kills"));
    let mut broker = Broker::start();
    let house = House::new(&broker, "crash");
    let receiver = Receiver::new(house::KEYS);
    receiver.fail(100);
    let mut daemon = house.home.start();
    for (path, ordering) in PATHS {
        daemon.subscribe(&receiver.url(path), &house::quick(ordering));
    }
    let mut tale = Tale::default();
    for kill in 1..=kills {
        change_moods(&receiver, &mut dice, kill);
        house.produce(tale.orders..tale.orders + PORTION);
        tale.orders += PORTION;
        if kill == kills / 2 + 1 {
            let gone = Instant::now();
            broker.kill();
            thread::sleep(Duration::from_millis(dice.below(2_000)));
            broker.launch();
            tale.away = Some((gone, Instant::now()));
        }
        daemon = live_and_die(&house, (&receiver, daemon), &mut dice, &mut tale);
        let wrong = house::wrong(&receiver, &PATHS.map(|(path, _)| path));
        assert!(
            wrong.is_empty(),
            "{} wrong after kill {kill}:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(30)].join("\n")
        );
    }
    MOODY.iter().for_each(|path| receiver.mood(path, Mood::Well));
    receiver.fail(0);
    let paths = PATHS.map(|(path, _)| path);
    let begun = Instant::now();
    house.until_settled((&receiver, &daemon), &paths, tale.orders);
    println!("all settled {:?} after the last kill", begun.elapsed());
    let said = daemon.log();
    assert!(daemon.stop().success(), "{said}");
    tale.tell(&receiver);
    let wrong = house::wrong(&receiver, &paths);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}

/// The moody ones change now and then; each mood lasts for some lives.
fn change_moods(receiver: &Receiver, dice: &mut Dice, kill: u64) {
    let moods = [Mood::Well, Mood::Well, Mood::Slow(40), Mood::Failing, Mood::Hanging];
    for path in MOODY {
        if kill % 3 == 1 || dice.below(4) == 0 {
            receiver.mood(path, *dice.one_of(&moods));
        }
    }
}

/// Lets it work, kills it in one of three ways, starts it again.
fn live_and_die(house: &House, who: (&Receiver, Daemon), dice: &mut Dice, tale: &mut Tale) -> Daemon {
    let (receiver, mut daemon) = who;
    // Not waits for something: the instant itself is what is random.
    thread::sleep(Duration::from_millis(dice.below(1_500)));
    if !POINTS.is_empty() && dice.below(4) > 0 {
        let point = *dice.one_of(POINTS);
        let often: &[u64] = match point.split('.').next() {
            Some("close") => &[0],
            Some("open" | "join" | "cursor" | "commit") => &[0, 0, 1, 4],
            _ => &[0, 1, 3, 20, 100],
        };
        let passes = dice.one_of(often);
        tale.killed(receiver);
        daemon.kill();
        daemon = house.home.spawn_with(&[("FAILPOINTS", &format!("{point}={passes}*off->return"))]);
        let until = Instant::now() + Duration::from_millis(500 + dice.below(2_500));
        while !daemon.has_ended() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        if !daemon.has_ended() && point.starts_with("close") {
            daemon.terminate();
            let _: ExitStatus = daemon.until_ended(Duration::from_secs(60));
        }
        if daemon.has_ended() && daemon.log().contains(&format!("failpoint {point}")) {
            tale.at_points.push(point);
        }
    }
    tale.killed(receiver);
    daemon.kill();
    let (begun, before) = (Instant::now(), receiver.arrived("/a"));
    let mut daemon = house.home.spawn();
    if before < tale.orders && dice.below(2) == 0 {
        wait::until_so("a new delivery", Duration::from_secs(60), || {
            receiver.arrived("/a") > before || daemon.has_ended()
        });
        tale.first_new.push(begun.elapsed());
    }
    daemon.until_ready();
    daemon
}

// === impl Tale ===

impl Tale {
    fn killed(&mut self, receiver: &Receiver) {
        let twins = PATHS.iter().map(|(path, _)| receiver.twins(path)).sum();
        self.kills.push(Instant::now());
        self.twins.push(twins);
    }

    fn tell(&self, receiver: &Receiver) {
        let per_kill = self.twins.windows(2).map(|two| two[1] - two[0]).collect::<Vec<_>>();
        let all: u64 = PATHS.iter().map(|(path, _)| receiver.twins(path)).sum();
        println!(
            "{} kills, {} at fail points, {} orders for {} subscriptions on {PARTITIONS} partitions: 0 lost",
            self.kills.len(),
            self.at_points.len(),
            self.orders,
            PATHS.len()
        );
        println!("{all} twins: {:.1} per kill", all as f64 / self.kills.len() as f64);
        println!("twins between two kills: {per_kill:?}");
        let mut first = self.first_new.iter().map(Duration::as_millis).collect::<Vec<_>>();
        first.sort_unstable();
        println!("from a start to the first new delivery (ms): {first:?}");
        let mut points = std::collections::BTreeMap::new();
        self.at_points.iter().for_each(|point| *points.entry(*point).or_insert(0) += 1);
        println!("died at {points:?}");
        let old = self.oldest(receiver);
        println!("the oldest twin was accepted {old:?} before a kill");
        assert!(old < OLDEST_TWIN, "INV-10: a delivery came again that was accepted {old:?} before the kill");
    }

    /// Whether commits of that time had to wait for the broker.
    fn was_away(&self, at: Instant) -> bool {
        self.away.is_some_and(|(gone, back)| at + OLDEST_TWIN > gone && at < back + OLDEST_TWIN)
    }

    /// How long before a kill a delivery was accepted that came again after it.
    fn oldest(&self, receiver: &Receiver) -> Duration {
        let of = |path: &str| {
            receiver.book(path, |book| {
                let twice = book.orders.values().flat_map(|line| line.accepted.windows(2));
                let twice = twice.filter(|two| !self.was_away(two[0]));
                let before = twice.filter_map(|two| {
                    let kill = self.kills.iter().rfind(|kill| **kill < two[1] && **kill > two[0]);
                    let first = self.kills.iter().find(|kill| **kill > two[0]);
                    kill.and(first).map(|kill| *kill - two[0])
                });
                before.max().unwrap_or_default()
            })
        };
        PATHS.iter().map(|(path, _)| of(path)).max().unwrap_or_default()
    }
}
