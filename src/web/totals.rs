//! What all lanes hold together, for `/v1/status` and for the gauges of a scrape.

use crate::metrics::gauges::{Gauges, PartitionGauges, SUBSCRIPTIONS, SubscriptionGauges};
use crate::model::cursor::{CursorMode, CursorRow};
use crate::model::record::TopicPartition;
use crate::model::subscription;
use crate::model::time::Timestamp;
use crate::model::weight::Weight;
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
use crate::runtime::status::{Report, Taken};
use crate::subscriptions::Directory;
use crate::subscriptions::health::{Health, Standing};
use crate::subscriptions::snapshot::Entry;
use crate::web::checks;
use crate::web::state::State;
use std::sync::Arc;

/// What all lanes hold together. Every subscription has one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Subscriptions by status.
    pub(crate) subscriptions: Vec<(&'static str, u64)>,
    /// Lanes by what keeps them from being live.
    pub(crate) lanes: Vec<(&'static str, u64)>,
    /// Attempts that are out.
    pub(crate) in_flight: u64,
    /// First attempts that wait.
    pub(crate) queued: u64,
    /// Ledger rows.
    pub(crate) rows: u64,
    /// Bytes of these.
    pub(crate) bytes: u64,
    /// When the oldest of these was first attempted or parked.
    pub(crate) oldest: Option<Timestamp>,
    /// Dead letters.
    pub(crate) letters: Weight,
    /// Cursors.
    pub(crate) cursors: u64,
    /// Offsets from the furthest place that is behind to intake.
    pub(crate) lag: u64,
}

// === impl Totals ===

impl Totals {
    /// Counts; takes each lane's lock for a moment.
    pub(crate) fn of(directory: &Directory) -> Self {
        let mut totals = Self::default();
        let partitions = &directory.hands().partitions;
        let mut by_state = subscription::State::ALL.map(|state| (state, 0));
        let mut by_standing = Standing::ALL.map(|standing| (standing, 0));
        for entry in directory.snapshot().iter() {
            let state = entry.subscription.status.state;
            let health = Health::of(state, &entry.cell);
            by_state.iter_mut().filter(|(other, _)| *other == state).for_each(|(_, count)| *count += 1);
            by_standing.iter_mut().filter(|(other, _)| *other == health.standing).for_each(|(_, count)| *count += 1);
            totals.cursors += health.rows_of_cursors as u64;
            totals.in_flight += health.in_flight as u64;
            totals.queued += health.queued as u64;
            totals.rows += health.rows as u64;
            totals.bytes += health.bytes;
            totals.letters += health.letters;
            totals.oldest = [totals.oldest, health.oldest].into_iter().flatten().min();
            let cursors = entry.cell.act(|lane, _| {
                let cursors = lane.cursors().map(|(place, row)| (place.at.clone(), row));
                cursors.collect::<Vec<_>>()
            });
            totals.lag = cursors.iter().map(|(at, row)| lag(at, row, partitions)).fold(totals.lag, u64::max);
        }
        totals.subscriptions = by_state.map(|(state, count)| (state.as_str(), count)).into();
        totals.lanes = by_standing.map(|(standing, count)| (standing.as_str(), count)).into();
        totals
    }
}

/// The gauges of a scrape. Blocks for a moment: the disk is asked for its free space.
pub(crate) fn gauges(state: &State) -> Gauges {
    let (report, totals, now) = (state.board.read(), Totals::of(&state.directory), clock::now());
    foresee(state, &report);
    let disk = state.store.disk();
    Gauges {
        partitions: partitions(&report, now),
        in_flight_bytes: state.directory.hands().partitions.bytes(),
        lanes: totals.lanes,
        ledger_rows: totals.rows,
        ledger_bytes: totals.bytes,
        ledger_oldest: totals.oldest.map(|oldest| now.since(oldest)),
        dead_letters: totals.letters,
        quarantine: state.quarantine.weight(),
        quarantine_limit: state.quarantine.budget(),
        cursors: totals.cursors,
        cursor_headroom: report.cursor_headroom,
        catch_up_lag: totals.lag,
        store_bytes: disk.taken(),
        store_free_bytes: disk.free(),
        store_min_free: disk.min_free(),
        reload_refused: report.reload.as_ref().is_some_and(|reload| reload.taken == Taken::Refused),
        config_generation: report.generation,
        subscriptions: totals.subscriptions,
        ready: checks::readiness(&report).map(|check| (check.name, u64::from(check.wrong.is_none()))).into(),
        each: if state.per_subscription { each(&state.directory) } else { Vec::new() },
    }
}

/// What is read and what the rules name has its series before the first record, with 0: an increase shows only over one.
fn foresee(state: &State, report: &Report) {
    report.partitions.keys().for_each(|at| state.metrics.reads_topic(&at.topic));
    state.pipeline.load().mappings().for_each(|mapping| state.metrics.has_mapping(mapping));
}

/// Subscriptions one by one, as many as are shown.
fn each(directory: &Directory) -> Vec<SubscriptionGauges> {
    let partitions = &directory.hands().partitions;
    let one = |entry: &Arc<Entry>| {
        let (ledger_bytes, rows) = entry.cell.act(|lane, _| {
            let main = lane.cursors().filter(|(place, _)| place.stream == 0);
            (lane.counts().bytes, main.map(|(place, row)| (place.at.clone(), row)).collect::<Vec<_>>())
        });
        let lag = rows.iter().map(|(at, row)| lag(at, row, partitions)).sum();
        let (id, tally) = (entry.subscription.id.clone(), &entry.cell.tally);
        SubscriptionGauges { id, attempts: tally.attempts(), failures: tally.failures(), ledger_bytes, lag }
    };
    directory.snapshot().iter().take(SUBSCRIPTIONS).map(one).collect()
}

/// How far a place is behind intake, or behind the end of its replay.
fn lag(at: &TopicPartition, row: &CursorRow, partitions: &Partitions) -> u64 {
    let position = partitions.with(at, |progress| progress.position());
    let Some(position) = position.filter(|_| row.mode == CursorMode::Behind) else { return 0 };
    u64::try_from(row.to.map_or(position, |to| to.min(position)) - row.offset).unwrap_or(0)
}

fn partitions(report: &Report, now: Timestamp) -> Vec<PartitionGauges> {
    let one = |(at, partition): (&crate::model::record::TopicPartition, &crate::runtime::status::PartitionReport)| {
        PartitionGauges {
            topic: at.topic.clone(),
            partition: at.partition,
            lag: partition.end.map(|end| u64::try_from(end - partition.watermark).unwrap_or(0)),
            age: partition.oldest.map(|oldest| now.since(oldest)),
            unsettled: partition.unsettled as u64,
        }
    };
    report.partitions.iter().map(one).collect()
}
