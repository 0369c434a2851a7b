//! What a scan decides: which partition comes next and where it begins, who gets on, when it is over, how fast.
//!
//! Pure: places that wait, positions and times in, decisions out. Fair between partitions (who waits longest is
//! served next, but a turn is not cut short) and within one (whoever rode lets those go first who stand elsewhere).
//! Those who rode together wait for each other, as long as none of them is about to run dry, and a reader waits a moment
//! for whom it stands before: who is full has room again a few milliseconds later, and to go elsewhere and come back
//! throws away twice what was fetched (anticipatory scheduling, as of disks).

use crate::lane::signal::Room;
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How long a scan lasts; then who waits longest is served next (protocol section 6).
pub(crate) const TURN: Duration = Duration::from_secs(5);
/// How long the same places are served while others wait elsewhere on the partition.
pub(crate) const RIDE: Duration = Duration::from_millis(500);
/// So many offsets are read through to where the next place waits: a seek costs more.
pub(crate) const NEAR: i64 = 256;
/// How long a reader waits where it stands for those who got off: about what a seek costs.
const HOLD: Duration = Duration::from_millis(25);
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

/// Where the reader of a thread stands: there its last scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) at: TopicPartition,
    pub(crate) here: i64,
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
    /// Everything before this was passed.
    pub(crate) here: i64,
    /// Who rode to the end.
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
    /// When its turn began: several rides.
    begun: Timestamp,
    /// When its ride began: several scans, when riders get off because they are full. None when others come first.
    ride: Option<Timestamp>,
    /// When a scan of it ended, and where.
    ended: Timestamp,
    here: i64,
    /// Who rode in its last ride.
    rode: HashSet<Who>,
    /// Who got off the last scan, being full.
    full: HashSet<Who>,
    /// Whether those who got off come back in time.
    hopes: Hopes,
    not_before: Timestamp,
    wait: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hopes {
    #[default]
    Yes,
    /// Until the next turn.
    No,
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
        (waiting, stand): (&[Waiting], Option<&Stand>),
        position: impl Fn(&TopicPartition) -> Option<i64>,
        now: Timestamp,
    ) -> Next<Choice> {
        self.forget(waiting, now);
        let ready = self.ready(waiting, position, now);
        let mine = stand.filter(|stand| self.0.get(&stand.at).is_some_and(|of| of.is_turn_of(stand, now)));
        if let Some(next) = mine.and_then(|stand| self.goes_on(stand, &ready, now)) {
            return next;
        }
        if ready.is_empty() {
            return Next::Nobody;
        }
        let is_held = |at: &TopicPartition| {
            self.0.get(at).is_some_and(|of| of.holds(now)) && mine.is_none_or(|mine| mine.at != *at)
        };
        let mut places: HashMap<&TopicPartition, Vec<&Waiting>> = HashMap::new();
        ready.iter().filter(|one| !is_held(&one.at)).for_each(|one| places.entry(&one.at).or_default().push(one));
        places.retain(|at, here| self.0.get(*at).is_none_or(|of| of.are_together(here)));
        let again = mine.map(|stand| &stand.at).filter(|at| places.contains_key(at));
        let together = ready.iter().filter(|one| places.contains_key(&one.at));
        let longest = || together.min_by_key(|one| self.since(one)).map(|one| &one.at);
        let Some(at) = again.or_else(longest).cloned() else { return Next::Soon };
        let here = places.remove(&at).unwrap_or_default();
        let of = self.0.entry(at.clone()).or_default();
        if again.is_none() {
            (of.begun, of.hopes) = (now, Hopes::Yes);
        }
        // `false` comes first: those who did not ride the last time.
        let start = here.iter().map(|one| (of.rode.contains(&one.who), one.next)).min();
        (of.now, of.ride) = (Now::Scanned, Some(now));
        of.rode.clear();
        start.map_or(Next::Nobody, |(_, start)| Next::Scan(Choice { at, start }))
    }

    /// Lets go of partitions that are nobody's any more.
    fn forget(&mut self, waiting: &[Waiting], now: Timestamp) {
        let waits = |at: &TopicPartition| waiting.iter().any(|one| one.at == *at);
        self.0.retain(|at, of| of.now == Now::Scanned || now.since(of.ended) < TURN || waits(at));
    }

    /// The places that can be served now.
    fn ready<'w>(
        &self,
        waiting: &'w [Waiting],
        position: impl Fn(&TopicPartition) -> Option<i64>,
        now: Timestamp,
    ) -> Vec<&'w Waiting> {
        let of = waiting.iter().map(|one| &one.at).collect::<HashSet<_>>().into_iter();
        let positions = of.map(|at| (at, position(at))).collect::<HashMap<_, _>>();
        let is_ready = |one: &&Waiting| {
            positions[&one.at].is_some_and(|position| one.next < position)
                && self.0.get(&one.at).is_none_or(|of| of.now == Now::Idle && of.not_before <= now)
        };
        waiting.iter().filter(is_ready).collect()
    }

    /// Whether a reader goes on where it stands, or waits there; `None` when others come first, or nobody comes back.
    fn goes_on(&mut self, stand: &Stand, ready: &[&Waiting], now: Timestamp) -> Option<Next<Choice>> {
        let of = self.0.get_mut(&stand.at)?;
        let here = ready.iter().copied().filter(|one| one.at == stand.at);
        let (near, far) = here.partition::<Vec<_>, _>(|one| (one.next - of.here).abs() <= NEAR);
        if !far.is_empty() && of.ride.is_none_or(|begun| now.since(begun) >= RIDE) {
            return None;
        }
        if !near.is_empty() && of.are_together(&near) {
            of.now = Now::Scanned;
            return Some(Next::Scan(Choice { at: stand.at.clone(), start: near.iter().map(|one| one.next).min()? }));
        }
        if of.holds(now) {
            return Some(Next::Soon);
        }
        if near.is_empty() {
            of.hopes = Hopes::No;
        }
        None
    }

    /// A scan is over.
    pub(crate) fn over(&mut self, at: &TopicPartition, over: Over, now: Timestamp) {
        let of = self.0.entry(at.clone()).or_default();
        (of.now, of.ended, of.here) = (Now::Idle, now, over.here);
        of.rode.extend(over.rode.into_iter().chain(over.full.iter().cloned()));
        of.full = over.full;
        if over.ended == Ended::Time {
            of.ride = None;
        }
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
    /// Whether this reader stands where its last scan ended, and the turn goes on.
    fn is_turn_of(&self, stand: &Stand, now: Timestamp) -> bool {
        self.now == Now::Idle && self.here == stand.here && now.since(self.begun) < TURN
    }

    /// Whether its reader waits for those who got off.
    fn holds(&self, now: Timestamp) -> bool {
        self.hopes == Hopes::Yes && !self.full.is_empty() && self.now == Now::Idle && now.since(self.ended) < HOLD
    }

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

/// What a thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worked {
    /// On a processor.
    pub(crate) cpu: Duration,
    /// From its last rest on.
    pub(crate) took: Duration,
}

/// How long a scan rests after some work: all scans together take at most half of a core while live records are open,
/// and half of a core each while there are none. Whatever it waited for since its last rest counts as one.
pub(crate) fn rest(worked: Worked, scans: usize, live: Live) -> Duration {
    let scans = u32::try_from(scans.max(1)).unwrap_or(u32::MAX);
    let shares = match live {
        Live::Busy => scans.saturating_mul(2),
        Live::Quiet => 2,
    };
    worked.cpu.saturating_mul(shares).saturating_sub(worked.took)
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
        turns.over(&at(partition), Over { ended, here: 0, rode, full: HashSet::new() }, time(now));
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
        turns.over(&at(0), Over { ended: Ended::Empty, here: 0, rode: HashSet::new(), full }, time(100));
        let mut choose = |waiting: &[Waiting]| turns.choose((waiting, None), far, time(200));
        assert_eq!(choose(&[half(1, 90), half(2, 80)]), Next::Soon);
        assert_eq!(choose(&[half(1, 90), half(4, 80)]), Next::Soon, "a stranger is not who is waited for");
        assert_eq!(choose(&[half(1, 90), half(2, 80), half(3, 85)]), scan(80));
        let full = [1, 2, 3].map(who).into();
        turns.over(&at(0), Over { ended: Ended::Empty, here: 0, rode: HashSet::new(), full }, time(100));
        let choice = turns.choose((&[half(1, 90), waits(0, 2, 95, 0)], None), far, time(200));
        assert_eq!(choice, scan(90), "2 will run dry, and whoever has room goes along");
    }

    /// A reader that stands where its last scan on partition 0 ended, with a rider that is full.
    fn stands(turns: &mut Turns, here: i64, full: u128, now: i64) -> Stand {
        let over = Over { ended: Ended::Empty, here, rode: HashSet::new(), full: [who(full)].into() };
        turns.over(&at(0), over, time(now));
        Stand { at: at(0), here }
    }

    fn begins(partition: i32, start: i64) -> Next<Choice> {
        Next::Scan(Choice { at: at(partition), start })
    }

    #[test]
    fn a_reader_stays_on_its_partition_until_the_turn_is_over_also_when_nobody_waits_for_a_moment() {
        let mut turns = Turns::default();
        assert_eq!(chosen(&mut turns, &[waits(0, 1, 5, 0), waits(1, 1, 5, 10)], 1_000), Some((0, 5)));
        for now in (1_000..6_000).step_by(100) {
            let stand = stands(&mut turns, now, 1, now);
            assert_eq!(turns.choose((&[], Some(&stand)), far, time(now)), Next::Soon);
            let waiting = [waits(0, 1, now, 0), waits(1, 1, 5, 10)];
            assert_eq!(turns.choose((&waiting, Some(&stand)), far, time(now + 99)), begins(0, now), "at {now}");
        }
        let stand = stands(&mut turns, 6_000, 1, 6_000);
        let waiting = [waits(0, 1, 6_000, 0), waits(1, 1, 5, 10)];
        assert_eq!(turns.choose((&waiting, Some(&stand)), far, time(6_000)), begins(1, 5), "five seconds are over");
    }

    #[test]
    fn a_reader_waits_a_moment_for_who_got_off_and_hopes_no_more_when_it_was_in_vain() {
        let mut turns = Turns::default();
        assert_eq!(chosen(&mut turns, &[waits(0, 1, 5, 0), waits(0, 2, 9_000, 0)], 100), Some((0, 5)));
        let stand = stands(&mut turns, 261, 1, 110);
        let other = [waits(0, 2, 9_000, 0)];
        assert_eq!(turns.choose((&other, Some(&stand)), far, time(134)), Next::Soon);
        assert_eq!(turns.choose((&other, None), far, time(134)), Next::Soon, "nor does another thread jump in");
        let both = [waits(0, 1, 261, 0), waits(0, 2, 9_000, 0)];
        assert_eq!(turns.choose((&both, Some(&stand)), far, time(134)), begins(0, 261));
        let stand = stands(&mut turns, 517, 1, 140);
        assert_eq!(turns.choose((&other, Some(&stand)), far, time(165)), begins(0, 9_000), "it did not come back");
        let stand = stands(&mut turns, 9_256, 2, 170);
        let other = [waits(0, 1, 517, 0)];
        assert_eq!(turns.choose((&other, Some(&stand)), far, time(171)), begins(0, 517));
    }

    #[test]
    fn who_waits_elsewhere_on_the_partition_goes_first_after_half_a_second() {
        let mut turns = Turns::default();
        let waiting = |first, second| [waits(0, 1, first, 0), waits(0, 2, second, 0)];
        assert_eq!(chosen(&mut turns, &waiting(5, 9_000), 100), Some((0, 5)));
        let mut choose = |(here, full), waiting: &[Waiting], now| {
            let stand = stands(&mut turns, here, full, now);
            turns.choose((waiting, Some(&stand)), far, time(now))
        };
        assert_eq!(choose((300, 1), &waiting(300, 9_000), 599), begins(0, 300));
        assert_eq!(choose((600, 1), &waiting(600, 9_000), 600), begins(0, 9_000));
        assert_eq!(choose((9_300, 2), &waiting(600, 9_300), 1_099), begins(0, 9_300));
        assert_eq!(choose((9_600, 2), &waiting(600, 9_600), 1_100), begins(0, 600));
        assert_eq!(choose((700, 1), &waiting(700, 950), 1_101), begins(0, 700), "these two ride together from here");
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
    fn scans_take_half_of_a_core_in_all_while_live_records_are_open_and_each_while_there_are_none() {
        let work = |took| Worked { cpu: Duration::from_millis(5), took: Duration::from_millis(took) };
        let share = |took, scans, live| {
            let rest = rest(work(took), scans, live).as_secs_f64();
            0.005 / (took as f64 / 1e3 + rest)
        };
        for scans in 1..=8 {
            assert!((share(5, scans, Live::Busy) * scans as f64 - 0.5).abs() < 1e-6, "{scans}");
            assert!((share(8, scans, Live::Busy) * scans as f64 - 0.5).abs() < 1e-6, "{scans}: it stood in line");
        }
        assert!((share(5, 2, Live::Quiet) - 0.5).abs() < 1e-6);
        assert_eq!(rest(work(900), 2, Live::Busy), Duration::ZERO, "it waited longer than it would have rested");
    }
}
