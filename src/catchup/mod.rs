//! Loop 3: the past to lanes that are behind, by shared scans (protocol section 6).
//!
//! Lanes call when a place of theirs waits and has room; a few threads pass over the partitions, one scan each, from
//! the longest waiting place to the next. What is read goes to the lanes by the rules in force. Where a place comes
//! up to intake, intake takes over.

mod aboard;
mod parts;
mod reader;
mod scan;
mod turns;
mod waiters;

use crate::catchup::parts::Parts;
use crate::catchup::reader::Reader;
use crate::catchup::scan::Scan;
use crate::catchup::turns::Turns;
use crate::catchup::waiters::Waiters;
use crate::kafka::settings::KafkaSettings;
use crate::pipeline::Pipeline;
use crate::runtime::shutdown::Shutdown;
use crate::subscriptions::Directory;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a thread waits for a call before it looks again: a back-off may have passed.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks, whatever calls come in: each asks every lane that waits.
const BREATH: Duration = Duration::from_millis(5);
/// How long what was fetched is kept for a place that comes back.
const KEEP: Duration = Duration::from_secs(5);

/// What catching up works with.
pub struct Catchup {
    /// How to reach the brokers.
    pub kafka: KafkaSettings,
    /// The rules in force; swapped whole.
    pub pipeline: Arc<ArcSwap<Pipeline>>,
    /// Who gets what, and whose places wait.
    pub directory: Arc<Directory>,
    /// When it stops.
    pub shutdown: Shutdown,
    /// How many scans there are at once (`limits.catch_up_scans`), at least 1.
    pub scans: usize,
}

// === impl Catchup ===

impl Catchup {
    /// Runs until the stop, on the calling thread and one more for each further scan. Call it before the store
    /// closes; partitions may go before, after or meanwhile.
    pub fn run(self) {
        let Self { kafka, pipeline, directory, shutdown, scans } = self;
        let (waiters, turns) = (Waiters::default(), Mutex::new(Turns::default()));
        let parts = Parts { pipeline, directory, shutdown, scans: scans.max(1), waiters, turns };
        std::thread::scope(|scope| {
            for _ in 1..parts.scans {
                scope.spawn(|| work(&parts, &kafka));
            }
            work(&parts, &kafka);
        });
    }
}

/// One scan after the other.
fn work(parts: &Parts, kafka: &KafkaSettings) {
    let (mut reader, mut scanned) = (Reader::new(kafka.clone()), Instant::now());
    while !parts.shutdown.stopping() {
        if let Some((choice, waiters)) = parts.next() {
            let at = choice.at.clone();
            let over = Scan::new(parts, &mut reader, (choice.at, choice.start)).run(waiters);
            parts.over(&at, over);
            scanned = Instant::now();
            continue;
        }
        if scanned.elapsed() >= KEEP {
            reader.rest();
        }
        std::thread::sleep(BREATH);
        parts.listen(PAUSE);
    }
}
