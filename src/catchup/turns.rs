//! What a scan decides: which partition comes next and where it begins, who gets on, when it is over, how fast.
//!
//! Pure: places that wait, positions and times in, decisions out. Fair between partitions (who waits longest is
//! served next) and within one (whoever rode when the time was up lets the others go first).

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
}

/// What is scanned next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) at: TopicPartition,
    pub(crate) start: i64,
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

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns(HashMap<TopicPartition, Served>);

/// What is remembered of one partition.
#[derive(Debug, Default)]
struct Served {
    now: Now,
    /// When a scan of it ended.
    ended: Timestamp,
    /// Who rode when the time of the last scan was up.
    rode: HashSet<Who>,
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
    /// `position` is intake's; a partition without one is not ours, and nothing is read at or past it.
    pub(crate) fn choose(
        &mut self,
        waiting: &[Waiting],
        position: impl Fn(&TopicPartition) -> Option<i64>,
        now: Timestamp,
    ) -> Option<Choice> {
        self.0.retain(|at, served| served.now == Now::Scanned || waiting.iter().any(|one| one.at == *at));
        let of = waiting.iter().map(|one| &one.at).collect::<HashSet<_>>().into_iter();
        let positions = of.map(|at| (at, position(at))).collect::<HashMap<_, _>>();
        let is_ready = |one: &&Waiting| {
            positions[&one.at].is_some_and(|position| one.next < position)
                && self.0.get(&one.at).is_none_or(|of| of.now == Now::Idle && of.not_before <= now)
        };
        let ready = waiting.iter().filter(is_ready).collect::<Vec<_>>();
        let at = ready.iter().min_by_key(|one| self.since(one)).map(|one| one.at.clone())?;
        let here = ready.into_iter().filter(|one| one.at == at);
        let of = self.0.entry(at.clone()).or_default();
        of.now = Now::Scanned;
        // `false` comes first: those who did not ride the last time.
        let (_, start) = here.map(|one| (of.rode.contains(&one.who), one.next)).min()?;
        Some(Choice { at, start })
    }

    /// A scan is over.
    pub(crate) fn over(&mut self, at: &TopicPartition, over: (Ended, HashSet<Who>), now: Timestamp) {
        let (ended, rode) = over;
        let of = self.0.entry(at.clone()).or_default();
        (of.now, of.ended, of.rode) = (Now::Idle, now, rode);
        match ended {
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
        Waiting { at: at(partition), who: who(name), next, since: time(since) }
    }

    fn time(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[expect(clippy::unnecessary_wraps, reason = "a position as the others give it")]
    fn far(_: &TopicPartition) -> Option<i64> {
        Some(1_000_000)
    }

    fn chosen(turns: &mut Turns, waiting: &[Waiting], now: i64) -> Option<(i32, i64)> {
        turns.choose(waiting, far, time(now)).map(|choice| (choice.at.partition, choice.start))
    }

    fn ends(turns: &mut Turns, partition: i32, ended: Ended, rode: &[u128], now: i64) {
        turns.over(&at(partition), (ended, rode.iter().map(|name| who(*name)).collect()), time(now));
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
        assert_eq!(Turns::default().choose(&waiting, position, time(9)), None);
        let choice = Turns::default().choose(&waiting, |_| Some(51), time(9)).unwrap();
        assert_eq!((choice.at.partition, choice.start), (0, 50));
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
