//! One record's way from the log to the lanes: pass it through the rules, admit it, offer what it became.
//!
//! What a record becomes is open until its deliveries settle and its quarantine rows are durable. A lane takes
//! whatever it is offered: what finds no room in it is left to its cursor, and read again later.

use crate::catalogue::published::Verdict;
use crate::lane::signal::Group;
use crate::metrics::Validity;
use crate::model::delivery::Ticket;
use crate::model::event::Emitted;
use crate::model::quarantine::{Fault, Quarantined};
use crate::model::record::Record;
use crate::pipeline::Pipeline;
use crate::progress::partition::{Admission, Admitted};
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
use crate::runtime::fault;
use crate::store::batch::Batch;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::{self, Directory};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tracing::{error, warn};

/// Between two lines in the log about events that do not fit their schema: a mapping that is wrong is wrong each time,
/// and the metric counts them all.
const COMPLAINT: Duration = Duration::from_secs(1);

/// Admits records.
pub(crate) struct Admit {
    directory: Arc<Directory>,
    partitions: Arc<Partitions>,
    /// When one complained last, in milliseconds.
    complained: AtomicI64,
}

// === impl Admit ===

impl Admit {
    pub(crate) fn new(directory: Arc<Directory>, partitions: Arc<Partitions>) -> Self {
        Self { directory, partitions, complained: AtomicI64::new(0) }
    }

    /// Takes a record; gives it back when its mapping stops the partition.
    pub(crate) fn record(&self, pipeline: &Pipeline, record: Record) -> Option<Record> {
        let hands = self.directory.hands();
        let passage = pipeline.pass(&record);
        if let Some(fault) = passage.stop {
            let origin = &record.origin;
            error!(topic = %origin.topic, partition = origin.partition, offset = origin.offset, mapping = fault.mapping,
                field = fault.field, "the partition stops, as its mapping asks (on_error: stop): {}", fault.detail);
            return Some(record);
        }
        let groups = self.directory.snapshot().takers(&passage.events);
        let deliveries: usize = groups.iter().map(|group| group.events.len()).sum();
        let (now, bytes) = (clock::now(), record.size() as u64);
        let admission = Admission {
            offset: record.origin.offset,
            pending: u32::try_from(deliveries + passage.faults.len()).unwrap_or(u32::MAX),
            bytes,
            admitted: now,
            written: record.origin.timestamp,
        };
        let at = record.origin.topic_partition();
        let epoch = self.partitions.with(&at, |progress| match progress.admit(admission) {
            Admitted::Now => Some(progress.epoch()),
            Admitted::Before => None,
        });
        let epoch = epoch.flatten()?;
        fault::point("admit.before");
        if admission.pending > 0 {
            self.partitions.hold(bytes);
        }
        count(hands, &record, &passage.events, &groups);
        passage.events.iter().for_each(|emitted| self.judge(pipeline, emitted));
        let ticket = Ticket { at, epoch, offset: record.origin.offset };
        for fault in passage.dropped {
            warn!(offset = ticket.offset, mapping = fault.mapping, "dropped, as its mapping asks: {}", fault.detail);
        }
        for fault in passage.faults {
            self.quarantine(record.clone(), fault, ticket.clone());
        }
        for group in groups {
            let subscriptions::Group { cell, events } = group;
            cell.wait_for_room(&ticket.at, events.len());
            let group = Group { epoch, offset: ticket.offset, events };
            cell.act(|lane, turn| lane.offer(&ticket.at, group, turn));
        }
        fault::point("admit.after");
        None
    }

    /// Counts whether an event is what the catalogue promises. It leaves all the same: whoever waits for it is better
    /// off with it, and the mapping is mended by whoever looks at the metric.
    fn judge(&self, pipeline: &Pipeline, emitted: &Emitted) {
        let event = &emitted.event;
        let (validity, misfits) = match pipeline.judge(event) {
            Verdict::Unknown => return,
            Verdict::Fits => (Validity::Valid, Vec::new()),
            Verdict::Misfits(misfits) => (Validity::Invalid, misfits),
        };
        self.directory.hands().metrics.event_validated(&event.mapping, validity);
        let (now, last) = (clock::now().as_millis(), self.complained.load(Ordering::Relaxed));
        if let Some(misfit) = misfits.first()
            && u128::from(now.abs_diff(last)) >= COMPLAINT.as_millis()
        {
            self.complained.store(now, Ordering::Relaxed);
            warn!(mapping = %event.mapping, event_type = %event.event_type, id = %event.id, field = misfit.path,
                "an event does not fit the schema of its type, and is delivered all the same: {}", misfit.discreet);
        }
    }

    /// INVARIANT (P7): a record that was not understood is durable before its offset may be committed.
    fn quarantine(&self, record: Record, fault: Fault, ticket: Ticket) {
        let hands = self.directory.hands();
        hands.metrics.records_quarantined(&record.origin.topic, fault.reason);
        warn!(topic = %record.origin.topic, partition = record.origin.partition, offset = record.origin.offset,
            mapping = fault.mapping, field = fault.field, "quarantined: {}", fault.detail);
        let mut batch = Batch::new();
        batch.quarantine(&Quarantined { record, at: clock::now(), fault });
        let partitions = Arc::clone(&self.partitions);
        hands.store.submit(batch, move |result| match result {
            Ok(()) => partitions.settle(&ticket),
            Err(error) => error!(offset = ticket.offset, %error, "a record could not be quarantined"),
        });
    }
}

fn count(hands: &Hands, record: &Record, events: &[Arc<Emitted>], groups: &[subscriptions::Group]) {
    let topic = &record.origin.topic;
    hands.metrics.records_consumed(topic, 1);
    if !events.is_empty() {
        hands.metrics.records_mapped(topic, 1);
        if groups.is_empty() {
            hands.metrics.records_unmatched(topic, 1);
        }
    }
    for event in events {
        hands.metrics.events_emitted(&event.event.mapping, 1);
    }
}
