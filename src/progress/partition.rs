//! One assigned partition: what was admitted, what of it is settled, how far the group may commit.
//!
//! Takes offsets as they are admitted and settled, in any order and with gaps, and gives the watermark `W`: the
//! lowest offset with an unsettled delivery, else the next offset to admit. Pure: no I/O, no clock. Knows
//! neither what a delivery is nor who settles it.

use crate::model::time::Timestamp;
use std::collections::BTreeMap;

/// How far one partition is, in one epoch of its assignment.
///
/// INVARIANT (INV-1): the watermark is never above an offset with unsettled deliveries
/// (`the_watermark_is_what_a_plain_set_says`).
#[derive(Debug)]
pub struct Progress {
    epoch: u64,
    position: i64,
    last: Option<Timestamp>,
    open: BTreeMap<i64, Open>,
    bytes: u64,
}

/// A record with unsettled deliveries. Records without any have no entry.
#[derive(Debug)]
struct Open {
    pending: u32,
    bytes: u64,
    admitted: Timestamp,
    written: Timestamp,
}

/// A record as it is admitted.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Its offset; at or above the position.
    pub offset: i64,
    /// Its deliveries and quarantine rows that must settle; 0 is an answer.
    pub pending: u32,
    /// The bytes it holds in memory until then.
    pub bytes: u64,
    /// When it was admitted.
    pub admitted: Timestamp,
    /// Its own timestamp.
    pub written: Timestamp,
}

// === impl Progress ===

impl Progress {
    /// Begins an epoch at `position`, the next offset to admit.
    #[must_use]
    pub fn new(epoch: u64, position: i64) -> Self {
        Self { epoch, position, last: None, open: BTreeMap::new(), bytes: 0 }
    }

    /// Admits a record and moves the position behind it; one below the position changes nothing.
    pub fn admit(&mut self, record: Admission) -> Admitted {
        if record.offset < self.position {
            return Admitted::Before;
        }
        self.position = record.offset + 1;
        self.last = Some(record.written);
        if record.pending > 0 {
            self.bytes += record.bytes;
            let Admission { offset, pending, bytes, admitted, written } = record;
            self.open.insert(offset, Open { pending, bytes, admitted, written });
        }
        Admitted::Now
    }

    /// Settles one delivery of the record at `offset`; gives the bytes set free when it was the last one.
    pub fn settle(&mut self, offset: i64) -> u64 {
        let Some(open) = self.open.get_mut(&offset) else { return 0 };
        open.pending -= 1;
        if open.pending > 0 {
            return 0;
        }
        let bytes = open.bytes;
        self.open.remove(&offset);
        self.bytes -= bytes;
        bytes
    }

    /// Moves the position over a gap: there is no record in `position..to`.
    pub fn skip_to(&mut self, to: i64) {
        self.position = self.position.max(to);
    }

    /// What stands before the position was written at this time; without it nothing is known before the first record.
    pub fn recall(&mut self, written: Option<Timestamp>) {
        self.last = written;
    }

    /// `W`: everything below is settled.
    #[must_use]
    pub fn watermark(&self) -> i64 {
        self.open.first_key_value().map_or(self.position, |(offset, _)| *offset)
    }

    /// The timestamp of a record at or next to the watermark; `None`: not known.
    #[must_use]
    pub fn watermark_time(&self) -> Option<Timestamp> {
        self.open.first_key_value().map(|(_, open)| open.written).or(self.last)
    }

    /// The next offset to admit.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The epoch of this assignment.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Records with unsettled deliveries.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.open.len()
    }

    /// Bytes of the records with unsettled deliveries.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest record with unsettled deliveries was admitted.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.open.first_key_value().map(|(_, open)| open.admitted)
    }
}

/// Whether a record is new to its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is admitted now.
    Now,
    /// It stands below the position: it was admitted before, and must be left alone.
    Before,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
    use std::collections::BTreeSet;

    fn at(offset: i64, pending: u32) -> Admission {
        let time = Timestamp::from_millis(offset);
        Admission { offset, pending, bytes: 10, admitted: time, written: time }
    }

    #[test]
    fn the_commit_waits_for_the_lowest_unsettled_offset() {
        let mut progress = Progress::new(1, 100);
        for offset in [100, 101, 105] {
            progress.admit(at(offset, 1));
        }
        progress.settle(105);
        assert_eq!((progress.watermark(), progress.position()), (100, 106));
        progress.settle(100);
        assert_eq!(progress.watermark(), 101);
        progress.settle(101);
        assert_eq!((progress.watermark(), progress.bytes()), (106, 0), "a gap in offsets is normal");
    }

    #[test]
    fn a_record_that_was_admitted_before_is_left_alone() {
        let mut progress = Progress::new(1, 5);
        assert_eq!(progress.admit(at(4, 1)), Admitted::Before);
        assert_eq!((progress.unsettled(), progress.position()), (0, 5));
    }

    /// A plain model: the set of (offset, delivery) pairs that are open.
    #[derive(Clone, Debug, Default)]
    struct Model {
        next: i64,
        open: BTreeSet<(i64, u32)>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Admit { gap: i64, pending: u32 },
        Settle { nth: usize },
        Skip { by: i64 },
    }

    impl ReferenceStateMachine for Model {
        type State = Model;
        type Transition = Step;

        fn init_state() -> BoxedStrategy<Model> {
            Just(Model::default()).boxed()
        }

        fn transitions(_: &Model) -> BoxedStrategy<Step> {
            prop_oneof![
                3 => (0..3i64, 0..4u32).prop_map(|(gap, pending)| Step::Admit { gap, pending }),
                4 => (0..64usize).prop_map(|nth| Step::Settle { nth }),
                1 => (0..3i64).prop_map(|by| Step::Skip { by }),
            ]
            .boxed()
        }

        fn apply(mut model: Model, step: &Step) -> Model {
            match step {
                Step::Admit { gap, pending } => {
                    let offset = model.next + gap;
                    model.open.extend((0..*pending).map(|n| (offset, n)));
                    model.next = offset + 1;
                }
                Step::Settle { nth } => {
                    if let Some(one) = model.nth(*nth) {
                        model.open.remove(&one);
                    }
                }
                Step::Skip { by } => model.next += by,
            }
            model
        }
    }

    impl Model {
        fn nth(&self, nth: usize) -> Option<(i64, u32)> {
            (!self.open.is_empty()).then(|| *self.open.iter().nth(nth % self.open.len()).unwrap())
        }
    }

    struct Real {
        progress: Progress,
        model: Model,
    }

    impl StateMachineTest for Real {
        type SystemUnderTest = Real;
        type Reference = Model;

        fn init_test(model: &Model) -> Real {
            Real { progress: Progress::new(1, 0), model: model.clone() }
        }

        fn apply(mut real: Real, model: &Model, step: Step) -> Real {
            match step {
                Step::Admit { gap, pending } => {
                    real.progress.admit(at(real.model.next + gap, pending));
                }
                Step::Settle { nth } => {
                    if let Some((offset, _)) = real.model.nth(nth) {
                        real.progress.settle(offset);
                    }
                }
                Step::Skip { by } => real.progress.skip_to(real.model.next + by),
            }
            real.model = model.clone();
            real
        }

        fn check_invariants(real: &Real, model: &Model) {
            let lowest = model.open.first().map_or(model.next, |(offset, _)| *offset);
            assert_eq!(real.progress.watermark(), lowest);
            assert_eq!(real.progress.position(), model.next);
            let records: BTreeSet<i64> = model.open.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(real.progress.unsettled(), records.len());
            assert_eq!(real.progress.bytes(), 10 * records.len() as u64);
            assert_eq!(real.progress.oldest(), records.first().map(|offset| Timestamp::from_millis(*offset)));
        }
    }

    prop_state_machine! {
        #[test]
        fn the_watermark_is_what_a_plain_set_says(sequential 1..60 => Real);
    }
}
