//! `limits:` what may be open at once.

use crate::config::reading::{Reading, put};
use crate::intake::settings::IntakeSettings;
use crate::quarantine::settings::QuarantineSettings;
use crate::yaml::fields::Field;
use std::ops::RangeInclusive;

/// What all open records may take; the least holds one event of the default size.
const BYTES_IN_FLIGHT: RangeInclusive<u64> = 1 << 20..=64 << 30;
/// How many records of a partition may be open.
const OPEN_RECORDS: RangeInclusive<u64> = 1..=1_000_000;
/// What one record may have; the most is far above what a broker takes by default.
const EVENT_BYTES: RangeInclusive<u64> = 1 << 10..=64 << 20;
/// How many first attempts of one subscription may wait in memory.
const LANE_QUEUE: RangeInclusive<u64> = 1..=100_000;

/// How many partitions may be read again at the same time.
const SCANS: RangeInclusive<u64> = 1..=64;

/// What records may take that were not understood; the least holds one of the default size.
const QUARANTINE: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// What this section says.
pub(crate) struct Limits {
    /// The bounds of intake.
    pub(crate) intake: IntakeSettings,
    /// How long a lane's queue may be, when that is said.
    pub(crate) queue: Option<usize>,
    /// Scans at the same time.
    pub(crate) scans: usize,
    /// The bound of the quarantine.
    pub(crate) quarantine: QuarantineSettings,
}

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Limits {
    let (mut settings, mut queue, mut scans) = (IntakeSettings::default(), None, 2);
    let mut quarantine = QuarantineSettings::default();
    let Some(mut fields) = reading.section(field.clone()) else {
        return Limits { intake: settings, queue, scans, quarantine };
    };
    if let Some(field) = fields.optional("bytes_in_flight") {
        put(&mut settings.bytes_in_flight, field.size(BYTES_IN_FLIGHT, &mut reading.problems));
    }
    if let Some(field) = fields.optional("open_records_per_partition") {
        let records = reading.integer(&field, OPEN_RECORDS);
        put(&mut settings.open_records_per_partition, records.and_then(|n| usize::try_from(n).ok()));
    }
    if let Some(field) = fields.optional("event_bytes") {
        put(&mut settings.event_bytes, field.size(EVENT_BYTES, &mut reading.problems));
    }
    if let Some(field) = fields.optional("lane_queue") {
        queue = reading.integer(&field, LANE_QUEUE).and_then(|n| usize::try_from(n).ok());
    }
    if let Some(field) = fields.optional("catch_up_scans") {
        put(&mut scans, reading.integer(&field, SCANS).and_then(|n| usize::try_from(n).ok()));
    }
    if let Some(field) = fields.optional("quarantine") {
        put(&mut quarantine.bytes, field.size(QUARANTINE, &mut reading.problems));
    }
    fields.finish(&mut reading.problems);
    if settings.event_bytes > settings.bytes_in_flight
        && let Some(field) = field
    {
        let what = "event_bytes is larger than bytes_in_flight";
        field.problem(&mut reading.problems, what, "Such an event would never be admitted; raise bytes_in_flight");
    }
    Limits { intake: settings, queue, scans, quarantine }
}
