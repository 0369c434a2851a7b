//! The budgets of what is open, and what they say: go on, or pause and why.

use crate::progress::partition::Progress;

/// How much may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Bytes of open records, in all.
    pub bytes: u64,
    /// Open records of one partition.
    pub records: usize,
}

/// Why nothing is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Open bytes are at their limit.
    Bytes,
    /// The partition has as many open records as it may.
    Partition,
    /// The schema of its next record is not known yet.
    Registry,
    /// The quarantine has no room for a record of it.
    Quarantine,
    /// The store takes no writes, or a mapping stopped the partition.
    Store,
}

// === impl Gate ===

impl Gate {
    /// Whether a partition must pause, with `open_bytes` open in all.
    #[must_use]
    pub fn shut(&self, progress: &Progress, open_bytes: u64) -> Option<Reason> {
        if open_bytes >= self.bytes {
            return Some(Reason::Bytes);
        }
        (progress.unsettled() >= self.records).then_some(Reason::Partition)
    }

    /// Whether a partition that paused may go on: three quarters of each budget, so that it does not flutter.
    #[must_use]
    pub fn may_resume(&self, progress: &Progress, open_bytes: u64) -> Resume {
        let bytes = open_bytes < self.bytes - self.bytes / 4;
        let records = progress.unsettled() < self.records - self.records / 4;
        if bytes && records { Resume::Yes } else { Resume::NotYet }
    }
}

/// Whether a paused partition may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It may.
    Yes,
    /// Its budgets are still too full.
    NotYet,
}

// === impl Reason ===

impl Reason {
    /// The `reason` label of metrics and status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Partition => "partition",
            Self::Registry => "registry",
            Self::Quarantine => "quarantine",
            Self::Store => "store",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use crate::progress::partition::Admission;

    #[test]
    fn a_partition_pauses_at_its_budget_and_goes_on_at_three_quarters() {
        let gate = Gate { bytes: 1_000, records: 4 };
        let mut progress = Progress::new(1, 0);
        let time = Timestamp::from_millis(0);
        for offset in 0..4 {
            assert_eq!(gate.shut(&progress, 0), None);
            progress.admit(Admission { offset, pending: 1, bytes: 1, admitted: time, written: time });
        }
        assert_eq!(gate.shut(&progress, 0), Some(Reason::Partition));
        progress.settle(0);
        assert_eq!(gate.may_resume(&progress, 0), Resume::NotYet);
        progress.settle(1);
        assert_eq!(gate.may_resume(&progress, 0), Resume::Yes);
        assert_eq!(gate.may_resume(&progress, 750), Resume::NotYet);
        assert_eq!(gate.shut(&progress, 1_000), Some(Reason::Bytes));
    }
}
