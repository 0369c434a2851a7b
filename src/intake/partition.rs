//! One record's way from the log to the lanes: pass it through the rules, admit it, offer what it became.
//!
//! What a record becomes is open until its deliveries settle and its quarantine rows are durable. A lane takes
//! whatever it is offered: what finds no room in it is left to its cursor, and read again later.

use crate::decode;
use crate::lane::signal::Group;
use crate::model::delivery::Ticket;
use crate::model::event::Emitted;
use crate::model::quarantine::{Fault, Quarantined};
use crate::model::record::Record;
use crate::pipeline::{Passage, Pipeline};
use crate::progress::gate::Reason;
use crate::progress::partition::{Admission, Admitted};
use crate::progress::partitions::Partitions;
use crate::registry::desk::{Desk, Said};
use crate::runtime::clock;
use crate::runtime::fault;
use crate::store::batch::Batch;
use crate::subscriptions::Directory;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::snapshot;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tracing::{error, warn};

/// Admits records.
pub(crate) struct Admit {
    pub(crate) pipeline: Arc<ArcSwap<Pipeline>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) desk: Arc<Desk>,
}

/// A record that cannot be admitted yet, and why.
pub(crate) struct Held {
    pub(crate) record: Record,
    pub(crate) reason: Reason,
}

// === impl Admit ===

impl Admit {
    /// Takes a record; gives it back when its schema is being looked up, its mapping stops the partition, or no mapping reads
    /// its topic any more: then the partition is about to go, and what is not admitted is read when somebody asks for
    /// it again.
    pub(crate) fn record(&self, record: Record) -> Option<Held> {
        let passed = self.directory.in_force(|snapshot| {
            let pipeline = self.pipeline.load();
            let passage = pipeline.pass(&record);
            let groups = snapshot.takers(&passage.events);
            // Only rules that read a topic make events of it: then there is no need to look.
            let read = !passage.events.is_empty() || pipeline.reads(&record.origin.topic);
            read.then_some((passage, groups))
        });
        let Some((mut passage, groups)) = passed else { return Some(Held { record, reason: Reason::Store }) };
        if let Some(schema) = passage.absent {
            match self.desk.ask(schema, clock::now()) {
                Said::Wait => return Some(Held { record, reason: Reason::Registry }),
                Said::Nothing(why) => passage.faults.push(decode::fault(why)),
            }
        }
        if let Some(fault) = passage.stop {
            let origin = &record.origin;
            error!(topic = %origin.topic, partition = origin.partition, offset = origin.offset, mapping = fault.mapping,
                field = fault.field, "the partition stops, as its mapping asks (on_error: stop): {}", fault.detail);
            return Some(Held { record, reason: Reason::Store });
        }
        self.admit(record, (passage, groups));
        None
    }

    fn admit(&self, record: Record, (passage, groups): (Passage, Vec<snapshot::Group>)) {
        let hands = self.directory.hands();
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
        let Some(epoch) = epoch.flatten() else { return };
        fault::point("admit.before");
        if admission.pending > 0 {
            self.partitions.hold(bytes);
        }
        count(hands, &record, &passage.events, &groups);
        let ticket = Ticket { at, epoch, offset: record.origin.offset };
        for fault in passage.dropped {
            warn!(offset = ticket.offset, mapping = fault.mapping, "dropped, as its mapping asks: {}", fault.detail);
        }
        for fault in passage.faults {
            self.quarantine(record.clone(), fault, ticket.clone());
        }
        for group in groups {
            let snapshot::Group { cell, events } = group;
            cell.wait_for_room(&ticket.at, events.len());
            let group = Group { epoch, offset: ticket.offset, events };
            cell.act(|lane, turn| lane.offer(&ticket.at, group, turn));
        }
        fault::point("admit.after");
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

fn count(hands: &Hands, record: &Record, events: &[Arc<Emitted>], groups: &[snapshot::Group]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::settings::DeliverySettings;
    use crate::map::written::Rules;
    use crate::metrics::Metrics;
    use crate::model::problem::Problems;
    use crate::model::record::{Origin, TopicPartition};
    use crate::store::Store;
    use crate::store::settings::StoreSettings;
    use crate::yaml::reader;

    fn reading(topic: &str) -> Arc<Pipeline> {
        let text = format!("mappings: [{{ name: all, from: {topic}, emit: {{ type: t.all }} }}]");
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        rules.add_file(&reader::read(&"m.yaml".into(), &text).unwrap(), &mut problems);
        Arc::new(Pipeline::new(rules.finish(&mut problems), Vec::new(), 1 << 20))
    }

    #[test]
    fn what_no_mapping_reads_any_more_is_given_back_and_admitted_when_one_reads_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings { path: folder.path().join("store"), min_free: 0, ..StoreSettings::default() };
        let (store, partitions) = (Store::open(&settings, Box::new(|_| {})).unwrap(), Arc::new(Partitions::default()));
        let hands = Hands::new(store.clone(), Arc::clone(&partitions), Metrics::new());
        let directory = Directory::load(Arc::new(hands), DeliverySettings::default()).unwrap();
        let pipeline = Arc::new(ArcSwap::new(reading("t")));
        let desk = Arc::new(Desk::new(None));
        let admit = Admit { pipeline: Arc::clone(&pipeline), directory, partitions: Arc::clone(&partitions), desk };
        let at = TopicPartition { topic: "t".into(), partition: 0 };
        partitions.open(&at, 0);
        let record = |offset, value: &'static str| {
            let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: clock::now() };
            Record { origin, key: None, headers: Vec::new(), value: Some(value.into()) }
        };
        let position = || partitions.with(&at, |progress| progress.position()).unwrap();
        assert!(admit.record(record(0, "{}")).is_none());
        pipeline.store(reading("other"));
        for value in ["{}", "{"] {
            assert!(admit.record(record(1, value)).is_some());
        }
        assert_eq!(position(), 1);
        assert!(store.quarantined(None, 1).unwrap().is_empty(), "what nobody reads is not misunderstood either");
        pipeline.store(reading("t"));
        assert!(admit.record(record(1, "{}")).is_none());
        assert_eq!(position(), 2);
    }
}
