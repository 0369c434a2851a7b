//! Who stands behind a cursor on a compacted topic gets what is still there when it is read: of each key perhaps only the
//! last record. That is said once for each topic.

use crate::catchup::parts::Parts;
use crate::kafka::cleanup::{self, Cleanup};
use crate::kafka::settings::KafkaSettings;
use crate::model::cursor::CursorMode;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Those who are behind for a moment are not worth a question.
const EVERY: Duration = Duration::from_secs(10);

/// Looks now and then.
pub(crate) struct Compaction {
    kafka: KafkaSettings,
    next: Instant,
    /// Topics whose policy is known.
    known: HashSet<Arc<str>>,
}

// === impl Compaction ===

impl Compaction {
    pub(crate) fn new(kafka: KafkaSettings) -> Self {
        Self { kafka, next: Instant::now() + EVERY, known: HashSet::new() }
    }

    /// Asks about topics that cursors stand on, when it is time.
    pub(crate) fn look(&mut self, parts: &Parts) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let behind = parts.cursors().into_iter().filter(|(_, row)| row.mode == CursorMode::Behind);
        let topics = behind.map(|(at, _)| at.topic).collect::<HashSet<_>>();
        for topic in topics.difference(&self.known.clone()) {
            match cleanup::of(&self.kafka, topic) {
                Ok(Cleanup::Compact) => {
                    warn!(%topic, "the topic is compacted, and somebody stands behind a cursor on it: \
                    of each key perhaps only the last record is left when it is read")
                }
                Ok(Cleanup::Delete) => {}
                Err(error) => {
                    debug!(%topic, %error, "whether the topic is compacted is not known");
                    self.next = Instant::now() + EVERY * 6; // who may not ask, may not ask soon again
                    return;
                }
            }
            self.known.insert(Arc::clone(topic));
        }
    }
}
