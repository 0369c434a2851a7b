//! Killed at any instant, nothing is lost and no key is out of order.

use crate::dice::{Dice, number};
use crate::house::{self, House, PARTITIONS};
use crate::operator::Operator;
use crate::receiver::{Mood, Receiver};
use crate::support::{broker::Broker, daemon::Daemon, wait};
use std::{
    collections::HashSet,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

/// One that is well, one in order, one with moods, one with moods and in order.
const PATHS: [(&str, &str); 4] = [("/a", "none"), ("/key", "key"), ("/moody", "none"), ("/key-moody", "key")];
const MOODY: [&str; 2] = ["/moody", "/key-moody"];
/// One that gives up some for good: every order that `GIVEN_UP` divides is dead at once.
const PICKY: &str = "/picky";
const GIVEN_UP: u64 = 97;
/// Orders that are produced per kill, and records that nobody can read.
const PORTION: u64 = 300;
const BROKEN: u64 = 2;
/// What may come twice was accepted so long before a kill at most: `settle_within`, a commit, and their own time on a
/// busy machine (INV-10).
const OLDEST_TWIN: Duration = Duration::from_secs(12);

#[cfg(feature = "failpoints")]
const POINTS: &[&str] = hookline::runtime::fault::POINTS;
#[cfg(not(feature = "failpoints"))]
const POINTS: &[&str] = &[];

/// Points that this run cannot come by again and again.
const ELSEWHERE: [&str; 2] = ["topic.number", "cursor.lost"];

/// What a run has seen.
#[derive(Default)]
struct Tale {
    orders: u64,
    broken: u64,
    /// When the broker was away: nothing could be committed.
    away: Option<(Instant, Instant)>,
    kills: Vec<Instant>,
    twins: Vec<u64>,
    first_new: Vec<Duration>,
    at_points: Vec<&'static str>,
    /// Points that are still to be died at before any comes again.
    deck: Vec<&'static str>,
}

#[test]
fn killed_at_any_instant_nothing_is_lost_and_every_key_stays_in_order() {
    let kills = number("HOOKLINE_KILLS", 8);
    let mut dice = Dice::new(&format!("{kills} kills"));
    let mut broker = Broker::start();
    let house = House::new(&broker, "crash");
    let receiver = Receiver::new(house::KEYS);
    receiver.fail(100);
    house.home.write_config();
    if !POINTS.is_empty() {
        // A topic has its number made once, when its partitions come for the first time: that is the first to die at.
        let mut daemon = house.home.spawn_with(&[("FAILPOINTS", "topic.number=return")]);
        wait::until_so("death at the first row", Duration::from_secs(60), || daemon.has_ended());
        assert!(daemon.log().contains("failpoint topic.number"), "{}", daemon.log());
    }
    let mut daemon = house.home.start();
    for (path, ordering) in PATHS {
        daemon.subscribe(&receiver.url(path), &house::quick(ordering));
    }
    let picky = daemon.subscribe(&receiver.url(PICKY), &house::quick("none"));
    receiver.mood(PICKY, Mood::Picky(GIVEN_UP));
    let mut operator = Operator::new(house.home.api, &receiver);
    let mut tale = Tale::default();
    for kill in 1..=kills {
        change_moods(&receiver, &mut dice, kill);
        house.produce(tale.orders..tale.orders + PORTION);
        house.produce_broken(BROKEN);
        tale.broken += BROKEN;
        tale.orders += PORTION;
        if kill == kills / 2 + 1 {
            let gone = Instant::now();
            broker.kill();
            thread::sleep(Duration::from_millis(dice.below(2_000)));
            broker.launch();
            tale.away = Some((gone, Instant::now()));
        }
        daemon = live_and_die(&house, (&receiver, daemon, &mut operator), &mut dice, &mut tale);
        operator.look(&daemon);
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
    let made = operator.end(&daemon);
    let paths = PATHS.iter().map(|(path, _)| *path).chain(made.iter().map(String::as_str)).collect::<Vec<_>>();
    let begun = Instant::now();
    house.until_settled((&receiver, &daemon), &paths, tale.orders);
    println!("all settled {:?} after the last kill; made meanwhile: {made:?}", begun.elapsed());
    given_up(&receiver, &daemon, (&picky, tale.orders));
    assert_eq!(daemon.list("/v1/quarantine").len() as u64, tale.broken, "what nobody can read is kept, once");
    house::stop_and_check(&house.home, daemon);
    tale.tell(&receiver);
    let wrong = house::wrong(&receiver, &paths);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}

/// Every order is accepted or a dead letter. One that was a dead letter right before a kill may be one again.
fn given_up(receiver: &Receiver, daemon: &Daemon, (picky, orders): (&str, u64)) {
    let letters = daemon.list("/v1/dead-letters");
    assert!(letters.iter().all(|letter| letter["subscription"] == picky), "{letters:?}");
    let ids = letters.iter().map(|letter| letter["event"]["id"].to_string()).collect::<HashSet<_>>();
    let expected = orders.div_ceil(GIVEN_UP);
    println!("{} dead letters of {expected} orders", letters.len());
    assert_eq!(ids.len() as u64, expected);
    assert_eq!(receiver.arrived(PICKY), orders - expected);
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
fn live_and_die(house: &House, who: (&Receiver, Daemon, &mut Operator), dice: &mut Dice, tale: &mut Tale) -> Daemon {
    let (receiver, mut daemon, operator) = who;
    // Not waits for something: the instant itself is what is random.
    thread::sleep(Duration::from_millis(dice.below(1_500)));
    if !POINTS.is_empty() && dice.below(4) > 0 {
        let point = tale.deal(dice);
        let often: &[u64] = match point.split('.').next() {
            Some("close" | "subscription" | "replay") => &[0],
            Some("park" | "dead" | "quarantine") => &[0, 1, 3],
            Some("open" | "join" | "cursor" | "commit") => &[0, 0, 1, 4],
            _ => &[0, 1, 3, 20, 100],
        };
        let passes = dice.one_of(often);
        tale.killed(receiver);
        daemon.kill();
        until_idle(receiver);
        daemon = house.home.spawn_with(&[("FAILPOINTS", &format!("{point}={passes}*off->return"))]);
        let until = Instant::now() + Duration::from_millis(500 + dice.below(2_500));
        while !daemon.has_ended() && Instant::now() < until {
            operator.act(dice);
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
    until_idle(receiver);
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

/// Until the receiver has seen that the dead one's connections are gone: what comes then is no second request beside them.
fn until_idle(receiver: &Receiver) {
    wait::until_so("the end of what was out", Duration::from_secs(30), || receiver.is_idle());
}

// === impl Tale ===

impl Tale {
    /// Every point comes, in an order by chance, before one comes again.
    fn deal(&mut self, dice: &mut Dice) -> &'static str {
        if self.deck.is_empty() {
            self.deck = POINTS.to_vec();
            self.deck.retain(|point| !ELSEWHERE.contains(point));
        }
        let at = dice.below(self.deck.len() as u64);
        self.deck.swap_remove(usize::try_from(at).unwrap())
    }

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
        let never = POINTS
            .iter()
            .filter(|point| !points.contains_key(*point) && !ELSEWHERE.contains(point))
            .collect::<Vec<_>>();
        println!("did not come by {never:?}");
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
