//! How long Kafka keeps what somebody who is behind still wants. That of a compacted topic perhaps only the last record of
//! a key is left is said once for each topic; that its time is nearly over, once for each subscription and topic.

use crate::catchup::parts::{Parts, Stands};
use crate::kafka::policy::{self, Cleanup};
use crate::kafka::settings::KafkaSettings;
use crate::model::cursor::CursorMode;
use crate::model::id::Sid;
use crate::model::time::Timestamp;
use crate::runtime::clock;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Those who are behind for a moment are not worth a question.
const EVERY: Duration = Duration::from_secs(10);
/// What is left of a topic's retention when somebody hears of it, as a part: of seven days the last seventeen hours.
const LAST: u32 = 10;

/// Looks now and then.
pub(crate) struct Keeping {
    kafka: KafkaSettings,
    next: Instant,
    /// How long topics keep their records, where that is bounded by age.
    known: HashMap<Arc<str>, Option<Duration>>,
    /// Who was warned, and is near the end still.
    warned: HashSet<Who>,
}

/// A subscription and a topic.
type Who = (Sid, Arc<str>);

// === impl Keeping ===

impl Keeping {
    pub(crate) fn new(kafka: KafkaSettings) -> Self {
        Self { kafka, next: Instant::now() + EVERY, known: HashMap::new(), warned: HashSet::new() }
    }

    /// Asks about topics that cursors stand on, and warns who is near the end, when it is time.
    pub(crate) fn look(&mut self, parts: &Parts) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let mut behind = parts.cursors();
        behind.retain(|stands| stands.row.mode == CursorMode::Behind);
        self.ask(behind.iter().map(|stands| &stands.at.topic).collect());
        let hands = parts.directory.hands();
        for ((sid, topic), left) in self.near(&behind, clock::now()) {
            warn!(subscription = %sid, %topic, left_s = left.as_secs(),
                "retention will soon take records that it was not sent yet");
            hands.outbox.near(&hands.store, sid, (&topic, left));
        }
    }

    fn ask(&mut self, topics: HashSet<&Arc<str>>) {
        for topic in topics {
            if self.known.contains_key(topic) {
                continue;
            }
            match policy::of(&self.kafka, topic) {
                Ok(policy) => {
                    if policy.cleanup == Cleanup::Compact {
                        warn!(%topic, "the topic is compacted, and somebody stands behind a cursor on it: \
                            of each key perhaps only the last record is left when it is read");
                    }
                    self.known.insert(Arc::clone(topic), policy.retention);
                }
                Err(error) => {
                    debug!(%topic, %error, "what becomes of the topic's records is not known");
                    self.next = Instant::now() + EVERY * 6; // who may not ask, may not ask soon again
                    return;
                }
            }
        }
    }

    /// Who has come near the end since the last look, and how long it has at the partition where it has least.
    fn near(&mut self, behind: &[Stands], now: Timestamp) -> Vec<(Who, Duration)> {
        let mut least: HashMap<Who, Duration> = HashMap::new();
        for Stands { sid, at, row } in behind {
            let Some(retention) = self.known.get(&at.topic).copied().flatten() else { continue };
            let Some(near) = row.near else { continue };
            let left = retention.saturating_sub(now.since(near));
            if left <= retention / LAST {
                let known = least.entry((*sid, Arc::clone(&at.topic))).or_insert(left);
                *known = left.min(*known);
            }
        }
        let before = std::mem::replace(&mut self.warned, least.keys().cloned().collect());
        least.into_iter().filter(|(who, _)| !before.contains(who)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cursor::{BehindReason, CursorRow};
    use crate::model::record::TopicPartition;

    #[test]
    fn who_comes_near_the_end_is_told_once_until_it_is_far_from_it_again() {
        let mut keeping = Keeping::new(KafkaSettings::default());
        keeping.known = [("week", Some(70_000)), ("ever", None)]
            .map(|(topic, millis)| (topic.into(), millis.map(Duration::from_millis)))
            .into();
        let (sid, minute) = (Sid::new(1, 1), Timestamp::from_millis);
        let stands = |topic: &str, partition, near: Option<i64>| {
            let at = TopicPartition { topic: topic.into(), partition };
            let (near, since, reason) = (near.map(minute), Timestamp::default(), BehindReason::Slow);
            let row = CursorRow { mode: CursorMode::Behind, offset: 5, near, since, reason, to: None };
            Stands { sid, at, row }
        };
        let behind = [stands("week", 0, Some(9_000)), stands("week", 1, Some(5_000)), stands("week", 2, None)];
        assert!(keeping.near(&behind, minute(60_000)).is_empty(), "an eighth is left of the oldest");
        let told = keeping.near(&behind, minute(70_000));
        assert_eq!(told, [((sid, "week".into()), Duration::from_millis(5_000))]);
        assert!(keeping.near(&behind, minute(80_000)).is_empty(), "it was told");
        assert!(keeping.near(&[stands("week", 1, Some(79_000))], minute(80_000)).is_empty(), "it went on");
        assert_eq!(keeping.near(&behind, minute(80_000)).len(), 1, "again");
        assert!(keeping.near(&[stands("ever", 0, Some(0))], minute(900_000)).is_empty(), "these stay");
    }
}
