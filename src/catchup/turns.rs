//! What a scan decides: which partition comes next and where it begins, who gets on, when it is over, how fast.
//!
//! Pure: places that wait, positions and times in, decisions out. Fair between partitions (who waits longest is
//! served next, but a turn is not cut short) and within one (whoever rode when the time was up lets the others go
//! first). Those who rode together wait for each other, as long as none of them is about to run dry.

use crate::lane::signal::Room;
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How long a scan lasts; then who waits longest is served next (protocol section 6).
pub(crate) const TURN: Duration = Duration::from_secs(5);
/// This close to intake riders ask to join; the lane does not take them from further away (protocol T9).
pub(crate) const CLOSE: i64 = 1_000;
/// After trouble a partition waits; it doubles.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A place, among all subscriptions of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    pub(crate) sid: Sid,
    pub(crate) stream: u128,
}

/// A place that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) at: TopicPartition,
    pub(crate) who: Who,
    pub(crate) next: i64,
    pub(crate) since: Timestamp,
    pub(crate) room: Room,
}

/// What is scanned next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) at: TopicPartition,
    pub(crate) start: i64,
}

/// What a thread does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    Scan(T),
    /// Places wait for others who will have room in a moment.
    Soon,
    /// Nobody waits who can be served.
    Nobody,
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nobody rides any more.
    Empty,
    /// It took its time; who rode still does so from here on.
    Time,
    /// It came up to intake.
    Caught,
    /// Reading, or what follows from it, is not possible now.
    Trouble,
    /// The partition is not ours any more, or the process stops.
    Gone,
}

/// A scan that is over.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) ended: Ended,
    /// Who rode when its time was up.
    pub(crate) rode: HashSet<Who>,
    /// Who got off, being full.
    pub(crate) full: HashSet<Who>,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns(HashMap<TopicPartition, Served>);

/// What is remembered of one partition.
#[derive(Debug, Default)]
struct Served {
    now: Now,
    /// When its turn began: several scans, when riders get off because they are full.
    begun: Timestamp,
    /// When a scan of it ended.
    ended: Timestamp,
    /// Who rode when the time of the last scan was up.
    rode: HashSet<Who>,
    /// Who got off the last scan, being full.
    full: HashSet<Who>,
    not_before: Timestamp,
    wait: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Now {
    #[default]
    Idle,
    Scanned,
}

/// Who waits to get on, by where.
#[derive(Debug)]
pub(crate) struct Platform<T>(BTreeMap<i64, Vec<T>>);

/// Whether live records wait for the processor, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    Busy,
    Quiet,
}

// === impl Turns ===

impl Turns {
    /// The partition that is served next, and where its scan begins; it is nobody else's until [`Turns::over`].
    /// `position` is intake's; a partition without one is not ours, and nothing is read at or past it. A reader that
    /// stands on a partition goes on there until its turn is over: what it has fetched would be thrown away.
    pub(crate) fn choose(
        &mut self,
        (waiting, stands): (&[Waiting], Option<&TopicPartition>),
        position: impl Fn(&TopicPartition) -> Option<i64>,
        now: Timestamp,
    ) -> Next<Choice> {
        self.0.retain(|at, served| served.now == Now::Scanned || waiting.iter().any(|one| one.at == *at));
        let of = waiting.iter().map(|one| &one.at).collect::<HashSet<_>>().into_iter();
        let positions = of.map(|at| (at, position(at))).collect::<HashMap<_, _>>();
        let is_ready = |one: &&Waiting| {
            positions[&one.at].is_some_and(|position| one.next < position)
                && self.0.get(&one.at).is_none_or(|of| of.now == Now::Idle && of.not_before <= now)
        };
        let ready = waiting.iter().filter(is_ready).collect::<Vec<_>>();
        if ready.is_empty() {
            return Next::Nobody;
        }
        let mut places: HashMap<&TopicPartition, Vec<&Waiting>> = HashMap::new();
        ready.iter().for_each(|one| places.entry(&one.at).or_default().push(one));
        places.retain(|at, here| self.0.get(*at).is_none_or(|of| of.are_together(here)));
        let goes_on = |at: &&TopicPartition| self.0.get(at).is_some_and(|of| now.since(of.begun) < TURN);
        let goes_on = stands.filter(|at| places.contains_key(at)).filter(goes_on);
        let together = ready.iter().filter(|one| places.contains_key(&one.at));
        let longest = || together.min_by_key(|one| self.since(one)).map(|one| &one.at);
        let Some(at) = goes_on.or_else(longest).cloned() else { return Next::Soon };
        let (here, again) = (places.remove(&at).unwrap_or_default(), goes_on.is_some());
        let of = self.0.entry(at.clone()).or_default();
        of.now = Now::Scanned;
        if !again {
            of.begun = now;
        }
        // `false` comes first: those who did not ride the last time.
        let start = here.iter().map(|one| (of.rode.contains(&one.who), one.next)).min();
        start.map_or(Next::Nobody, |(_, start)| Next::Scan(Choice { at, start }))
    }

    /// A scan is over.
    pub(crate) fn over(&mut self, at: &TopicPartition, over: Over, now: Timestamp) {
        let of = self.0.entry(at.clone()).or_default();
        (of.now, of.ended, of.rode, of.full) = (Now::Idle, now, over.rode, over.full);
        match over.ended {
            Ended::Trouble => {
                of.wait = (of.wait * 2).clamp(WAIT_MIN, WAIT_MAX);
                of.not_before = now.after(of.wait);
            }
            Ended::Empty | Ended::Time | Ended::Caught | Ended::Gone => of.wait = Duration::ZERO,
        }
    }

    /// Since when a place waits for its turn.
    fn since(&self, one: &Waiting) -> Timestamp {
        match self.0.get(&one.at) {
            Some(of) if of.rode.contains(&one.who) => one.since.max(of.ended),
            _ => one.since,
        }
    }
}

// === impl Served ===

impl Served {
    /// Whether a scan is worth its while for these: all who rode together have room again, or one will run dry.
    fn are_together(&self, here: &[&Waiting]) -> bool {
        let together =
            || here.len() >= self.full.len() && self.full.iter().all(|who| here.iter().any(|one| one.who == *who));
        here.iter().any(|one| one.room == Room::Most) || together()
    }
}

// === impl Platform ===

impl<T> Platform<T> {
    /// Those who wait at `here` or further on; for the others the scan has gone.
    pub(crate) fn new(here: i64, waiting: impl Iterator<Item = (i64, T)>) -> Self {
        let mut all: BTreeMap<i64, Vec<T>> = BTreeMap::new();
        for (next, one) in waiting.filter(|(next, _)| *next >= here) {
            all.entry(next).or_default().push(one);
        }
        Self(all)
    }

    /// Those who get on when the scan comes to `offset`.
    pub(crate) fn board(&mut self, offset: i64) -> Vec<T> {
        if self.0.first_key_value().is_none_or(|(next, _)| *next > offset) {
            return Vec::new();
        }
        let later = self.0.split_off(&(offset + 1));
        std::mem::replace(&mut self.0, later).into_values().flatten().collect()
    }

    /// Where the next of them waits.
    pub(crate) fn next(&self) -> Option<i64> {
        self.0.first_key_value().map(|(next, _)| *next)
    }
}

/// Whether a scan that lasts so long, with so many offsets up to intake, is over. Close to intake it may last twice
/// as long: a join that waits for its reader would be called off.
pub(crate) fn is_over(lasted: Duration, left: i64) -> bool {
    lasted >= TURN && (left > CLOSE || lasted >= TURN * 2)
}

/// How long a scan rests after work that took `worked`: all scans together take at most half of a core while live
/// records are open, and half of a core each while there are none.
pub(crate) fn rest(worked: Duration, scans: usize, live: Live) -> Duration {
    let scans = u32::try_from(scans.max(1)).unwrap_or(u32::MAX);
    match live {
        Live::Busy => worked.saturating_mul(scans.saturating_mul(2).saturating_sub(1)),
        Live::Quiet => worked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: "t".into(), partition }
    }

    fn who(name: u128) -> Who {
        Who { sid: Sid::new(0, name), stream: 0 }
    }

    fn waits(partition: i32, name: u128, next: i64, since: i64) -> Waiting {
        Waiting { at: at(partition), who: who(name), next, since: time(since), room: Room::Most }
    }

    fn time(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[expect(clippy::unnecessary_wraps, reason = "a position as the others give it")]
    fn far(_: &TopicPartition) -> Option<i64> {
        Some(1_000_000)
    }

    fn chosen(turns: &mut Turns, waiting: &[Waiting], now: i64) -> Option<(i32, i64)> {
        match turns.choose((waiting, None), far, time(now)) {
            Next::Scan(choice) => Some((choice.at.partition, choice.start)),
            Next::Soon | Next::Nobody => None,
        }
    }

    fn ends(turns: &mut Turns, partition: i32, ended: Ended, rode: &[u128], now: i64) {
        let rode = rode.iter().map(|name| who(*name)).collect();
        turns.over(&at(partition), Over { ended, rode, full: HashSet::new() }, time(now));
    }

    #[test]
    fn the_longest_waiting_place_is_served_next_and_the_scan_begins_at_the_lowest_of_its_partition() {
        let waiting = [waits(0, 1, 5, 200), waits(1, 2, 70, 100), waits(1, 3, 60, 300)];
        let mut turns = Turns::default();
        assert_eq!(chosen(&mut turns, &waiting, 400), Some((1, 60)));
        assert_eq!(chosen(&mut turns, &waiting, 400), Some((0, 5)), "one scan a partition");
        assert_eq!(chosen(&mut turns, &waiting, 400), None);
    }

    #[test]
    fn nothing_is_read_at_or_past_intake_nor_where_it_does_not_read() {
        let waiting = [waits(0, 1, 50, 0), waits(1, 1, 10, 0)];
        let position = |at: &TopicPartition| (at.partition == 0).then_some(50);
        assert_eq!(Turns::default().choose((&waiting, None), position, time(9)), Next::Nobody);
        let choice = Turns::default().choose((&waiting, None), |_| Some(51), time(9));
        assert_eq!(choice, Next::Scan(Choice { at: at(0), start: 50 }));
    }

    #[test]
    fn who_rode_when_the_time_was_up_lets_the_others_go_first() {
        let waiting = [waits(0, 1, 5, 0), waits(0, 2, 900, 50), waits(1, 3, 0, 60)];
        let mut turns = Turns::default();
        assert_eq!(chosen(&mut turns, &waiting, 100), Some((0, 5)));
        ends(&mut turns, 0, Ended::Time, &[1], 5_100);
        assert_eq!(chosen(&mut turns, &waiting, 5_100), Some((0, 900)), "2 has waited since 50");
        ends(&mut turns, 0, Ended::Time, &[2], 10_100);
        assert_eq!(chosen(&mut turns, &waiting, 10_100), Some((0, 5)), "and 1 since 0, for it did not ride");
        ends(&mut turns, 0, Ended::Time, &[1, 2], 15_100);
        assert_eq!(chosen(&mut turns, &waiting, 15_100), Some((1, 0)), "both were served after 60");
        assert_eq!(chosen(&mut turns, &waiting, 15_100), Some((0, 5)), "all rode: the lowest again");
    }

    #[test]
    fn those_who_rode_together_wait_for_each_other_until_one_of_them_will_run_dry() {
        let half = |name, next| Waiting { room: Room::Half, ..waits(0, name, next, 0) };
        let mut turns = Turns::default();
        let mut choose = |waiting: &[Waiting]| turns.choose((waiting, None), far, time(100));
        let scan = |start| Next::Scan(Choice { at: at(0), start });
        assert_eq!(choose(&[half(1, 5)]), scan(5), "it rides with nobody");
        let full = [1, 2, 3].map(who).into();
        turns.over(&at(0), Over { ended: Ended::Empty, rode: HashSet::new(), full }, time(100));
        let mut choose = |waiting: &[Waiting]| turns.choose((waiting, None), far, time(200));
        assert_eq!(choose(&[half(1, 90), half(2, 80)]), Next::Soon);
        assert_eq!(choose(&[half(1, 90), half(4, 80)]), Next::Soon, "a stranger is not who is waited for");
        assert_eq!(choose(&[half(1, 90), half(2, 80), half(3, 85)]), scan(80));
        let full = [1, 2, 3].map(who).into();
        turns.over(&at(0), Over { ended: Ended::Empty, rode: HashSet::new(), full }, time(100));
        let choice = turns.choose((&[half(1, 90), waits(0, 2, 95, 0)], None), far, time(200));
        assert_eq!(choice, scan(90), "2 will run dry, and whoever has room goes along");
    }

    #[test]
    fn a_reader_stays_on_its_partition_until_the_turn_is_over() {
        let mut turns = Turns::default();
        let mut choose = |stands: Option<i32>, since, now| {
            let waiting = [waits(0, 1, 5, 200), waits(1, 1, 70, since)];
            let choice = turns.choose((&waiting, stands.map(at).as_ref()), far, time(now));
            let Next::Scan(choice) = choice else { panic!("{choice:?}") };
            ends(&mut turns, choice.at.partition, Ended::Empty, &[], now);
            choice.at.partition
        };
        assert_eq!(choose(Some(0), 100, 1_000), 1, "the other's turn had not begun");
        assert_eq!(choose(Some(1), 1_500, 5_999), 1, "it got off and waits again, less long than the other");
        assert_eq!(choose(None, 1_500, 5_999), 0, "another thread serves the other");
        assert_eq!(choose(Some(1), 1_500, 6_000), 0, "five seconds are over");
    }

    #[test]
    fn after_trouble_a_partition_waits_and_each_time_longer_up_to_a_minute() {
        let (waiting, mut turns, mut now) = ([waits(0, 1, 5, 0)], Turns::default(), 0);
        for wait in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert_eq!(chosen(&mut turns, &waiting, now), Some((0, 5)));
            ends(&mut turns, 0, Ended::Trouble, &[], now);
            assert_eq!(chosen(&mut turns, &waiting, now + wait - 1), None);
            now += wait;
        }
        assert_eq!(chosen(&mut turns, &waiting, now), Some((0, 5)));
        ends(&mut turns, 0, Ended::Caught, &[], now);
        chosen(&mut turns, &waiting, now);
        ends(&mut turns, 0, Ended::Trouble, &[], now);
        assert_eq!(chosen(&mut turns, &waiting, now + 1_000), Some((0, 5)), "it went well in between");
    }

    #[test]
    fn a_rider_gets_on_where_it_waits_and_not_once_the_scan_has_passed() {
        let mut platform = Platform::new(10, [(9, 'a'), (10, 'b'), (12, 'c'), (12, 'd'), (30, 'e')].into_iter());
        assert_eq!((platform.next(), platform.board(9)), (Some(10), vec![]));
        assert_eq!(platform.board(11), ['b'], "11 is the first record at or after 10");
        assert_eq!(platform.board(12), ['c', 'd']);
        assert_eq!((platform.next(), platform.board(29)), (Some(30), vec![]));
        assert_eq!((platform.board(31), platform.next()), (vec!['e'], None));
    }

    #[test]
    fn a_scan_lasts_five_seconds_and_close_to_intake_twice_that() {
        assert!(!is_over(Duration::from_millis(4_999), i64::MAX));
        assert!(is_over(Duration::from_secs(5), CLOSE + 1));
        assert!(!is_over(Duration::from_millis(9_999), CLOSE));
        assert!(is_over(Duration::from_secs(10), 0));
    }

    #[test]
    fn scans_rest_so_that_all_together_take_half_of_a_core_beside_live_records() {
        let worked = Duration::from_millis(5);
        for scans in [1, 2, 5] {
            let share = worked.as_secs_f64() / (worked + rest(worked, scans, Live::Busy)).as_secs_f64();
            assert!((share * scans as f64 - 0.5).abs() < 1e-9, "{scans} scans");
        }
        assert_eq!(rest(worked, 2, Live::Quiet), worked);
    }
}
