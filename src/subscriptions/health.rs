//! How a subscription is: where it stands, whether its endpoint is well, what it holds. For those who look.

use crate::lane::gate::{Gate, Shut};
use crate::lane::state::Lane;
use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
use crate::model::record::TopicPartition;
use crate::model::subscription::State;
use crate::model::time::Timestamp;
use crate::model::weight::Weight;
use crate::subscriptions::cell::Cell;
use std::sync::Arc;

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
    /// Where it stands behind, in the order of partitions.
    pub cursors: Vec<(TopicPartition, i64)>,
    /// Cursor rows in all, with those of replays and of places that are live again.
    pub rows_of_cursors: usize,
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
        let counts = lane.counts();
        let rows: Vec<_> = lane.cursors().collect();
        let behind = |row: &CursorRow| row.mode == CursorMode::Behind;
        let main = rows.iter().filter(|(key, row)| key.stream == 0 && behind(row));
        let reason = main.clone().map(|(_, row)| row.reason).min_by_key(|reason| *reason as u8);
        let mut cursors: Vec<_> = main.map(|(key, row)| (key.at.clone(), row.offset)).collect();
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
            failing_since: lane.failing_since(),
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
        _ if lane.failing_since().is_some() => Standing::Failing,
        Some(BehindReason::Slow) => Standing::Slow,
        // The gate is open again: what the place went behind for is over, and it catches up.
        Some(_) => Standing::Starting,
        None if lane.counts().rows > 0 => Standing::Failing,
        None => Standing::Live,
    }
}
