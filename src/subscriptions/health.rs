//! How a subscription is: where it stands, whether its endpoint is well, what it holds. For those who look.

use crate::lane::gate::{Gate, Shut};
use crate::lane::signal::PlaceKey;
use crate::lane::state::Lane;
use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
use crate::model::record::TopicPartition;
use crate::model::subscription::State;
use crate::model::time::Timestamp;
use crate::model::weight::Weight;
use crate::subscriptions::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// A subscription at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What keeps it from being live, if anything.
    pub standing: Standing,
    /// Places that intake feeds.
    pub live: usize,
    /// Places behind their cursor.
    pub behind: usize,
    /// Places about to be live.
    pub joining: usize,
    /// The breaker: `closed`, `open` or `probation`.
    pub breaker: &'static str,
    /// Attempts that are out.
    pub in_flight: usize,
    /// First attempts that wait.
    pub queued: usize,
    /// Ledger rows.
    pub rows: usize,
    /// Bytes of these.
    pub bytes: u64,
    /// Dead letters.
    pub letters: Weight,
    /// What is full, if something is: `ledger`, `ledgers` (all together) or `dead_letters`.
    pub full: Option<&'static str>,
    /// When the oldest of these was first attempted or parked.
    pub oldest: Option<Timestamp>,
    /// Since when it has been failing without a success.
    pub failing_since: Option<Timestamp>,
    /// When it last accepted something, in the life of this process.
    pub last_success: Option<Timestamp>,
    /// When an attempt last failed, in the life of this process.
    pub last_failure: Option<Timestamp>,
    /// Failures since the last success, in the life of this process.
    pub consecutive_failures: u32,
    /// What half of the last exchanges took no longer than.
    pub p50: Option<Duration>,
    /// What 99 of 100 of the last exchanges took no longer than.
    pub p99: Option<Duration>,
    /// Where it stands behind, in the order of partitions.
    pub cursors: Vec<Behind>,
    /// Cursor rows in all, with those of replays and of places that are live again.
    pub rows_of_cursors: usize,
}

/// Where a subscription stands behind on one partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Behind {
    /// The partition.
    pub at: TopicPartition,
    /// Everything of it before that is settled.
    pub offset: i64,
    /// About when what stands there was written, if that is known.
    pub near: Option<Timestamp>,
}

/// What keeps a subscription from being live; the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Nothing.
    Live,
    /// Its endpoint fails, or deliveries wait to be tried again.
    Failing,
    /// More comes than its endpoint takes.
    Slow,
    /// Its ledger or its dead letters have no room.
    Full,
    /// It is paused.
    Paused,
    /// It is disabled.
    Disabled,
    /// Its endpoint has not said yet that it wants the events.
    Unverified,
    /// It catches up: it is new and begins in the past, its order changed, or the process was stopped.
    Starting,
}

// === impl Standing ===

impl Standing {
    /// Every one, for tables.
    pub const ALL: [Self; 8] = [
        Self::Live,
        Self::Failing,
        Self::Slow,
        Self::Full,
        Self::Paused,
        Self::Disabled,
        Self::Unverified,
        Self::Starting,
    ];

    /// The name as API and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Failing => "failing",
            Self::Slow => "slow",
            Self::Full => "full",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Unverified => "unverified",
            Self::Starting => "starting",
        }
    }
}

// === impl Health ===

impl Health {
    /// How a subscription of this state is; takes its lane's lock for a moment.
    #[must_use]
    pub fn of(state: State, cell: &Arc<Cell>) -> Self {
        cell.act(|lane, _| Self::read(state, lane))
    }

    fn read(state: State, lane: &Lane) -> Self {
        let (counts, vitals) = (lane.counts(), lane.vitals());
        let rows: Vec<_> = lane.cursors().collect();
        let behind = |row: &CursorRow| row.mode == CursorMode::Behind;
        let main = rows.iter().filter(|(key, row)| key.stream == 0 && behind(row));
        let reason = main.clone().map(|(_, row)| row.reason).min_by_key(|reason| *reason as u8);
        let behind =
            |(key, row): &(&PlaceKey, CursorRow)| Behind { at: key.at.clone(), offset: row.offset, near: row.near };
        let mut cursors: Vec<_> = main.map(behind).collect();
        cursors.sort_unstable();
        Self {
            standing: standing(state, lane, reason),
            live: counts.live,
            behind: counts.behind,
            joining: counts.joining,
            breaker: lane.breaker(),
            in_flight: counts.in_flight,
            queued: counts.queued,
            rows: counts.rows,
            bytes: counts.bytes,
            letters: counts.letters,
            full: lane.full(),
            oldest: lane.ledger_oldest(),
            failing_since: vitals.failing_since(),
            last_success: vitals.last_success(),
            last_failure: vitals.last_failure(),
            consecutive_failures: vitals.consecutive_failures(),
            p50: vitals.percentile(50),
            p99: vitals.percentile(99),
            cursors,
            rows_of_cursors: rows.len(),
        }
    }
}

fn standing(state: State, lane: &Lane, behind: Option<BehindReason>) -> Standing {
    match (state, lane.gate()) {
        (State::Disabled, _) => return Standing::Disabled,
        (State::Paused, _) => return Standing::Paused,
        (State::Unverified, _) => return Standing::Unverified,
        (State::Active, Gate::Shut(Shut::Breaker)) => return Standing::Failing,
        (State::Active, Gate::Shut(Shut::LedgerFull | Shut::DeadLettersFull)) => return Standing::Full,
        (State::Active, Gate::Open | Gate::HalfOpen(_) | Gate::Shut(_)) => {}
    }
    match behind {
        _ if lane.vitals().failing_since().is_some() => Standing::Failing,
        Some(BehindReason::Slow) => Standing::Slow,
        // The gate is open again: what the place went behind for is over, and it catches up.
        Some(_) => Standing::Starting,
        None if lane.counts().rows > 0 => Standing::Failing,
        None => Standing::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::settings::DeliverySettings;
    use crate::lane::signal::{Finished, Turn};
    use crate::model::delivery::{LedgerHead, LedgerKey};
    use crate::model::id::{EventId, Sid};
    use crate::model::outcome::{Answer, Outcome, RetryAfter};

    /// A row is tried: the answer comes after so many milliseconds.
    fn tried(lane: &mut Lane, (offset, begun): (i64, i64), (status, took): (u16, i64)) {
        let (mut effects, mut dice) = (Vec::new(), || 0.5);
        let (at, event) = (TopicPartition { topic: "t".into(), partition: 0 }, EventId::from_bytes([1; 16]));
        let key = LedgerKey { at, sid: lane.sid, stream: 0, offset, ord: 0, event };
        let (now, ended) = (Timestamp::from_millis(begun), Timestamp::from_millis(begun + took));
        let head = LedgerHead { attempts: 0, first: now, due: now, last: None, ordering_key: None, body_len: 0 };
        let mut turn = Turn { now, dice: &mut dice, effects: &mut effects };
        lane.adopt(vec![(key, head)], &mut turn);
        let attempt = lane.start(now).unwrap().attempt;
        let answer = Answer { status, retry_after: RetryAfter::Absent, head: Default::default() };
        turn.now = ended;
        lane.finished(Finished { attempt, outcome: Outcome::Answered(answer), event: None }, &mut turn);
    }

    #[test]
    fn health_tells_how_an_endpoint_does() {
        let mut lane = Lane::new(Sid::new(1, 1), DeliverySettings::default());
        for n in 0..98 {
            tried(&mut lane, (n, 1_000 * n), (204, 20));
        }
        tried(&mut lane, (98, 98_000), (500, 900));
        tried(&mut lane, (99, 99_000), (500, 900));
        let health = Health::read(State::Active, &lane);
        let at = |millis| Some(Timestamp::from_millis(millis));
        assert_eq!((health.last_success, health.last_failure), (at(97_020), at(99_900)));
        assert_eq!((health.failing_since, health.consecutive_failures), (at(98_900), 2));
        assert_eq!(health.standing, Standing::Failing);
        let close = |took: Option<Duration>, millis: u128| {
            took.is_some_and(|took| took.as_millis().abs_diff(millis) <= millis / 10)
        };
        assert!(close(health.p50, 20) && close(health.p99, 900), "{health:?}");
    }
}
