//! One record's way from the log to the lanes: pass it through the rules, admit it, offer what it became.
//!
//! What a record becomes is open until its deliveries settle and its quarantine rows are durable. A lane takes
//! whatever it is offered: what finds no room in it is left to its cursor, and read again later. A record that cannot
//! go on is given back whole, before anything came of it.

use crate::catalogue::published::Verdict;
use crate::decode;
use crate::lane::signal::{Group, PlaceKey};
use crate::metrics::Validity;
use crate::model::delivery::Ticket;
use crate::model::event::Emitted;
use crate::model::quarantine::{Fault, Owed};
use crate::model::record::{Origin, Record};
use crate::pipeline::{Passage, Pipeline};
use crate::progress::gate::Reason;
use crate::progress::partition::{Admission, Admitted};
use crate::progress::partitions::Partitions;
use crate::quarantine::{self, NoRoom, Quarantine};
use crate::registry::desk::{Desk, Said};
use crate::runtime::clock;
use crate::runtime::fault;
use crate::subscriptions::Directory;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::snapshot;
use crate::traces::tracer::{Passing, Tracer};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tracing::field::display;
use tracing::{error, warn};

/// Between two lines in the log about events that do not fit their schema: a mapping that is wrong is wrong each time,
/// and the metric counts them all.
const COMPLAINT: Duration = Duration::from_secs(1);

/// Admits records.
pub(crate) struct Admit {
    pub(crate) pipeline: Arc<ArcSwap<Pipeline>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) tracer: Tracer,
    /// When one complained last about an event that does not fit its schema, in milliseconds.
    pub(crate) complained: AtomicI64,
}

/// A record that cannot go on now, and its partition with it.
pub(crate) struct Stopped {
    pub(crate) record: Record,
    pub(crate) reason: Reason,
    /// What stops it, a sentence for people; `None` where somebody else says so.
    pub(crate) why: Option<String>,
}

/// What a record becomes, by which rules, and who takes it.
struct Passed {
    pipeline: Arc<Pipeline>,
    passage: Passage,
    groups: Vec<snapshot::Group>,
    /// Who wants to know what becomes of it.
    passing: Option<Box<Passing>>,
}

// === impl Admit ===

impl Admit {
    /// Takes a record.
    ///
    /// # Errors
    /// It comes back: its mapping stops the partition, its schema is being looked up, it belongs into a quarantine that
    /// has no room, or no mapping reads its topic any more: then the partition is about to go.
    pub(crate) fn record(&self, record: Record) -> Result<(), Box<Stopped>> {
        let mut passing = self.tracer.passing(&record);
        let passed = self.directory.in_force(|snapshot| {
            let pipeline = self.pipeline.load_full();
            let passage = pipeline.pass(&record);
            passing.iter_mut().for_each(|passing| passing.asked(&passage.events));
            let groups = snapshot.takers(&passage.events);
            // Only rules that read a topic make events of it: then there is no need to look.
            let read = !passage.events.is_empty() || pipeline.reads(&record.origin.topic);
            read.then_some(Passed { pipeline, passage, groups, passing })
        });
        let Some(mut passed) = passed else {
            return Err(Box::new(Stopped { record, reason: Reason::Store, why: None }));
        };
        if let Some(schema) = passed.passage.absent {
            match self.desk.ask(schema, clock::now()) {
                Said::Wait => return Err(Box::new(Stopped { record, reason: Reason::Registry, why: None })),
                Said::Nothing(why) => passed.passage.faults.push(decode::fault(why)),
            }
        }
        if let Some((reason, why)) = self.stops(&record, &passed.passage) {
            return Err(Box::new(Stopped { record, reason, why: Some(why) }));
        }
        self.admit(record, passed);
        Ok(())
    }

    fn admit(&self, record: Record, passed: Passed) {
        let Passed { pipeline, passage, groups, mut passing } = passed;
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
        passage.events.iter().for_each(|emitted| self.judge(&pipeline, emitted));
        let ticket = Ticket { at, epoch, offset: record.origin.offset };
        if let (Some(passing), Some(fault)) = (&mut passing, passage.faults.iter().chain(&passage.dropped).next()) {
            passing.failed(fault.reason.as_str());
        }
        quarantine::tell_dropped(&record, &passage.dropped);
        if !passage.faults.is_empty() {
            self.quarantine(&record, passage.faults, &ticket);
        }
        for group in groups {
            let snapshot::Group { cell, events } = group;
            cell.wait_for_room(&ticket.at, events.len());
            let group = Group { epoch, offset: ticket.offset, events };
            cell.act(|lane, turn| lane.offer(&ticket.at, group, turn));
        }
        fault::point("admit.after");
        passing.into_iter().for_each(|passing| passing.offered());
    }

    /// Why a record cannot go on, if so.
    fn stops(&self, record: &Record, passage: &Passage) -> Option<(Reason, String)> {
        if let Some(fault) = &passage.stop {
            return Some((Reason::Store, fault.stops()));
        }
        let why = self.quarantine.admits(record, &passage.faults).err()?;
        let reason = match why {
            NoRoom::Full => Reason::Quarantine,
            NoRoom::Unread(_) => Reason::Store,
        };
        let detail = passage.faults.first().map(|fault| fault.detail.as_str()).unwrap_or_default();
        Some((reason, format!("{why}. This one: {detail}")))
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
            let trace_id = event.traceparent.as_deref().map(|parent| display(parent.context().trace));
            warn!(mapping = %event.mapping, event_type = %event.event_type, id = %event.id, field = misfit.path, trace_id,
                "an event does not fit the schema of its type, and is delivered all the same: {}", misfit.discreet);
        }
    }

    /// It is owed to all that are live; to those who are behind their readers bring it.
    ///
    /// INVARIANT (P7): a record that was not understood is durable before its offset may be committed.
    fn quarantine(&self, record: &Record, faults: Vec<Fault>, ticket: &Ticket) {
        let Origin { offset, .. } = record.origin;
        let place = PlaceKey { at: ticket.at.clone(), stream: 0 };
        let behind = self.directory.hands().readers.with_cursors().into_iter();
        let behind = behind.filter(|cell| cell.act(|lane, _| lane.is_left_to_reader(&place, offset)));
        let owed = Owed::to_live(clock::now(), behind.map(|cell| cell.sid).collect());
        fault::point("quarantine");
        for fault in faults {
            let (partitions, ticket) = (Arc::clone(&self.partitions), ticket.clone());
            self.quarantine.keep(record, (fault, owed.clone()), move |result| match result {
                Ok(()) => partitions.settle(&ticket),
                Err(error) => error!(offset, %error, "a record could not be quarantined"),
            });
        }
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
    use crate::model::quarantine::Filter;
    use crate::model::record::{Origin, TopicPartition};
    use crate::quarantine::settings::QuarantineSettings;
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
        let quarantine = Quarantine::open(store.clone(), Metrics::new(), QuarantineSettings::default()).unwrap();
        let admit = Admit {
            pipeline: Arc::clone(&pipeline),
            directory,
            partitions: Arc::clone(&partitions),
            desk,
            quarantine: Arc::new(quarantine),
            tracer: Tracer::default(),
            complained: AtomicI64::default(),
        };
        let at = TopicPartition { topic: "t".into(), partition: 0 };
        partitions.open(&at, 0);
        let record = |offset, value: &'static str| {
            let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: clock::now() };
            Record { origin, key: None, headers: Vec::new(), value: Some(value.into()) }
        };
        let position = || partitions.with(&at, |progress| progress.position()).unwrap();
        assert!(admit.record(record(0, "{}")).is_ok());
        pipeline.store(reading("other"));
        for value in ["{}", "{"] {
            assert!(admit.record(record(1, value)).is_err());
        }
        assert_eq!(position(), 1);
        assert!(
            store.quarantine_ids(&Filter::default(), None, 1).unwrap().is_empty(),
            "what nobody reads is not misunderstood either"
        );
        pipeline.store(reading("t"));
        assert!(admit.record(record(1, "{}")).is_ok());
        assert_eq!(position(), 2);
    }
}
