//! How far endpoints were at what time: what rates are taken from.

use crate::{
    house::PATIENCE,
    receiver::{Account, Endpoint, Receiver},
};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

/// How often endpoints are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What was seen, in order.
#[derive(Default)]
pub(crate) struct Track(Vec<(Instant, BTreeMap<Endpoint, Account>)>);

// === impl Track ===

impl Track {
    /// Looks until it is enough.
    pub(crate) fn until(receiver: &Receiver, enough: impl Fn(&BTreeMap<Endpoint, Account>) -> bool) -> Self {
        let (begun, mut track) = (Instant::now(), Self::default());
        loop {
            let accounts = receiver.accounts();
            let done = enough(&accounts);
            track.0.push((Instant::now(), accounts));
            if done {
                return track;
            }
            assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain");
            thread::sleep(LOOK);
        }
    }

    /// Looks for so long.
    pub(crate) fn during(receiver: &Receiver, time: Duration) -> Self {
        let begun = Instant::now();
        Self::until(receiver, |_| begun.elapsed() >= time)
    }

    /// When `endpoint` first had this many.
    pub(crate) fn when(&self, endpoint: Endpoint, arrived: u64) -> Option<Instant> {
        self.0.iter().find(|(_, accounts)| accounts[&endpoint].arrived >= arrived).map(|(at, _)| *at)
    }

    /// When `endpoint` first had all below this number.
    pub(crate) fn when_whole(&self, endpoint: Endpoint, number: u64) -> Option<Instant> {
        self.0.iter().find(|(_, accounts)| accounts[&endpoint].whole >= number).map(|(at, _)| *at)
    }

    /// Records a second at `endpoint` between a tenth and nine tenths of the way from one count to the other.
    pub(crate) fn rate(&self, endpoint: Endpoint, (from, to): (u64, u64)) -> f64 {
        let tenth = (to - from) / 10;
        let [begin, end] = [from + tenth, to - tenth].map(|count| self.when(endpoint, count).expect("it came so far"));
        self.between(endpoint, (begin, end))
    }

    /// Records a second at `endpoint` between two instants.
    pub(crate) fn between(&self, endpoint: Endpoint, (begin, end): (Instant, Instant)) -> f64 {
        let within = self.0.iter().filter(|(at, _)| (begin..=end).contains(at)).collect::<Vec<_>>();
        let (Some((begin, first)), Some((end, last))) = (within.first(), within.last()) else { return 0.0 };
        let took = end.duration_since(*begin).as_secs_f64();
        (last[&endpoint].arrived - first[&endpoint].arrived) as f64 / took.max(LOOK.as_secs_f64())
    }

    /// When `endpoint` first got as many as `rate` a second for as long as `time`.
    pub(crate) fn reached(&self, endpoint: Endpoint, rate: f64, time: Duration) -> Option<Instant> {
        let ends = self.0.iter().map(|(at, _)| *at).filter(|at| *at >= self.0[0].0 + time);
        ends.into_iter().find(|end| self.between(endpoint, (*end - time - LOOK, *end)) >= rate)
    }
}
