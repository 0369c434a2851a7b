//! What scans passed lately, as the rules made it. Riders are seldom at the very same place: whoever is a little behind the
//! others gets it from here, and shares its bodies; from the log it would cost a fetch, the rules and a rendering each time.
//!
//! Only what somebody will come to soon is kept, and so many bytes over all partitions. It knows no lane, and does not keep
//! what was not understood.

use crate::model::event::Emitted;
use crate::pipeline::Pipeline;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are kept, about: ten thousand events of a usual size. A hundred who were away for a minute come back within
/// four seconds and are apart by less.
const MOST: u64 = 16 << 20;
/// What a record costs beside its events.
const RECORD: u64 = 128;
/// An event is kept as its parts and, once it was sent, as the body that was made of them.
const COPIES: u64 = 3;
/// Offsets that somebody will come to soon. Whoever is further ahead of the others reads on alone.
const REACH: i64 = 4_000;
/// How long it is good to know where places stand.
const FRESH: Duration = Duration::from_millis(500);

/// A partition that was not scanned for so long is nobody's any more, or its places do not go forward.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// What scans passed lately; shared by all of them.
#[derive(Default)]
pub(crate) struct Lately(Mutex<Kept>);

/// Where a scan stands, and by what rules.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    /// The epoch of the partition. It is no other partition's, and when a partition comes again its log may be another.
    pub(crate) epoch: u64,
    pub(crate) rules: &'a Arc<Pipeline>,
    /// Everything below was passed.
    pub(crate) here: i64,
}

/// A record that was passed, and what it became.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) offset: i64,
    pub(crate) events: Vec<Arc<Emitted>>,
}

#[derive(Default)]
struct Kept {
    rules: Option<Arc<Pipeline>>,
    /// By epoch.
    logs: HashMap<u64, Log>,
    bytes: u64,
}

/// What is kept of one partition.
struct Log {
    /// Where places stand, in order.
    places: Vec<i64>,
    known: Instant,
    records: BTreeMap<i64, Record>,
}

struct Record {
    /// From here on the log holds nothing else before it.
    from: i64,
    bytes: u64,
    events: Vec<Arc<Emitted>>,
}

// === impl Lately ===

impl Lately {
    /// The next record, if it was kept.
    pub(crate) fn next(&self, spot: Spot<'_>) -> Option<Passed> {
        let kept = self.lock();
        if !kept.is_by(spot.rules) {
            return None;
        }
        let (offset, record) = kept.logs.get(&spot.epoch)?.records.range(spot.here..).next()?;
        (record.from <= spot.here).then(|| Passed { offset: *offset, events: record.events.clone() })
    }

    /// Keeps the record that is the next one after `spot`, if somebody will come to it soon and there is room; gives
    /// whether it is kept.
    pub(crate) fn keep(&self, spot: Spot<'_>, passed: &Passed) -> bool {
        let mut kept = self.lock();
        if !kept.is_by(spot.rules) {
            kept.begin_anew(spot.rules);
        }
        let Kept { logs, bytes: all, .. } = &mut *kept;
        let Some(log) = logs.get_mut(&spot.epoch).filter(|log| wants(&log.places, passed.offset)) else { return false };
        if let Some(known) = log.records.get_mut(&passed.offset) {
            known.from = known.from.min(spot.here);
            return true;
        }
        let bytes = RECORD + COPIES * passed.events.iter().map(|event| u64::from(event.size())).sum::<u64>();
        if *all + bytes > MOST {
            return false;
        }
        *all += bytes;
        log.records.insert(passed.offset, Record { from: spot.here, bytes, events: passed.events.clone() });
        true
    }

    /// Whether it should be told where places stand.
    pub(crate) fn wants_to_know(&self, epoch: u64) -> bool {
        self.lock().logs.get(&epoch).is_none_or(|log| log.known.elapsed() >= FRESH)
    }

    /// Where all stand that are behind on a partition and go forward; lets go of what none of them will come to soon.
    pub(crate) fn know(&self, epoch: u64, mut places: Vec<i64>) {
        places.sort_unstable();
        let (mut kept, known) = (self.lock(), Instant::now());
        let log = kept.logs.entry(epoch).or_insert_with(|| Log { places: Vec::new(), known, records: BTreeMap::new() });
        (log.places, log.known) = (places, known);
        let Log { places, records, .. } = log;
        records.retain(|offset, _| wants(places, *offset));
        kept.tidy(FORGOTTEN);
    }

    /// Lets go of everything that was not scanned for so long.
    pub(crate) fn rest(&self, unused: Duration) {
        self.lock().tidy(unused);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Kept ===

impl Kept {
    fn is_by(&self, rules: &Arc<Pipeline>) -> bool {
        self.rules.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, rules))
    }

    /// What other rules made is nobody's any more.
    fn begin_anew(&mut self, rules: &Arc<Pipeline>) {
        self.rules = Some(Arc::clone(rules));
        self.logs.values_mut().for_each(|log| log.records.clear());
        self.bytes = 0;
    }

    fn tidy(&mut self, unused: Duration) {
        self.logs.retain(|_, log| log.known.elapsed() < unused);
        self.bytes = self.logs.values().flat_map(|log| log.records.values()).map(|record| record.bytes).sum();
    }
}

/// Whether one of at least two places comes to `offset` soon: nobody else comes by where one stands alone.
fn wants(places: &[i64], offset: i64) -> bool {
    let before = places.partition_point(|place| *place <= offset);
    places.len() > 1 && before > 0 && offset - places[before - 1] <= REACH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::written::Rules;
    use crate::model::event::tests::event;
    use crate::model::problem::Problems;

    fn rules() -> Arc<Pipeline> {
        Arc::new(Pipeline::new(Rules::default().finish(&mut Problems::default()), Vec::new(), 1 << 20))
    }

    fn passed(offset: i64, length: usize) -> Passed {
        let event = event(offset, serde_json::json!("x".repeat(length)));
        Passed { offset, events: vec![Arc::new(Emitted::new(event))] }
    }

    fn next(lately: &Lately, spot: (u64, i64), rules: &Arc<Pipeline>) -> Option<i64> {
        let (epoch, here) = spot;
        lately.next(Spot { epoch, rules, here }).map(|passed| passed.offset)
    }

    fn keep(lately: &Lately, rules: &Arc<Pipeline>, (epoch, here): (u64, i64), passed: &Passed) {
        let _kept = lately.keep(Spot { epoch, rules, here }, passed);
    }

    /// With two who stand at 0 in the epochs 1 and 2.
    fn lately() -> Lately {
        let lately = Lately::default();
        [1, 2].into_iter().for_each(|epoch| lately.know(epoch, vec![0, 0]));
        lately
    }

    #[test]
    fn what_was_passed_is_given_again_over_gaps_and_what_may_have_been_jumped_over_is_not() {
        let (lately, rules) = (lately(), rules());
        keep(&lately, &rules, (1, 4), &passed(4, 9));
        keep(&lately, &rules, (1, 5), &passed(9, 9)); // 5 to 8 are not in the log
        keep(&lately, &rules, (1, 20), &passed(20, 9));
        let given = |here| next(&lately, (1, here), &rules);
        assert_eq!([4, 5, 8, 9].map(given), [Some(4), Some(9), Some(9), Some(9)]);
        assert_eq!(
            [3, 10, 19, 21].map(given),
            [None; 4],
            "nobody was there: there may be something before the next one"
        );
        keep(&lately, &rules, (1, 12), &passed(20, 9));
        assert_eq!(given(13), Some(20));
    }

    #[test]
    fn other_rules_and_another_life_of_the_partition_know_nothing_of_it() {
        let (lately, old, new) = (lately(), rules(), rules());
        keep(&lately, &old, (1, 0), &passed(0, 9));
        assert_eq!((next(&lately, (1, 0), &old), next(&lately, (2, 0), &old)), (Some(0), None));
        assert_eq!(next(&lately, (1, 0), &new), None);
        keep(&lately, &new, (1, 1), &passed(1, 9));
        assert_eq!((next(&lately, (1, 0), &new), next(&lately, (1, 1), &new)), (None, Some(1)));
    }

    #[test]
    fn only_what_somebody_comes_to_soon_is_kept() {
        let (lately, rules) = (Lately::default(), rules());
        let kept = |offset| {
            keep(&lately, &rules, (1, offset), &passed(offset, 9));
            next(&lately, (1, offset), &rules).is_some()
        };
        assert!(!kept(10), "nobody is known");
        lately.know(1, vec![10]);
        assert!(!kept(10), "who is alone reads on");
        lately.know(1, vec![90_000, 100]);
        assert_eq!([99, 100, 100 + REACH, 101 + REACH, 90_000].map(kept), [false, true, true, false, true]);
        lately.know(1, vec![90_000, 101]);
        assert_eq!(
            [100, 100 + REACH, 90_000].map(|here| next(&lately, (1, here), &rules)),
            [None, Some(100 + REACH), Some(90_000)]
        );
        lately.know(1, vec![90_000]);
        assert_eq!(lately.lock().bytes, 0);
    }

    #[test]
    fn p6_it_is_bounded_and_what_goes_makes_room() {
        let (lately, rules) = (lately(), rules());
        let length = usize::try_from(MOST / COPIES / 8).unwrap();
        for offset in 0..100 {
            keep(&lately, &rules, (1, offset), &passed(offset, length));
            assert!(lately.lock().bytes <= MOST);
        }
        let kept = |lately: &Lately| {
            (0..100).filter(|offset| next(lately, (1, *offset), &rules).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&lately), (0..7).collect::<Vec<_>>(), "those behind need what is before them");
        lately.know(1, vec![5, 5]);
        keep(&lately, &rules, (1, 7), &passed(7, length));
        assert_eq!(kept(&lately), [5, 6, 7]);
        lately.rest(Duration::ZERO);
        assert!(kept(&lately).is_empty() && lately.lock().bytes == 0);
    }
}
