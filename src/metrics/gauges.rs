//! What is looked up at a scrape instead of being counted all the time. Made anew each time, so that two scrapes
//! at once do not disturb each other and what is gone leaves no series behind.

use crate::metrics::registry::Book;
use crate::metrics::table;
use crate::model::weight::Weight;
use prometheus::proto::MetricFamily;
use std::sync::Arc;
use std::time::Duration;

/// The values of gauges at the moment of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// The assigned partitions.
    pub partitions: Vec<PartitionGauges>,
    /// Bytes of open records.
    pub in_flight_bytes: u64,
    /// How many lanes are in a state, for each.
    pub lanes: Vec<(&'static str, u64)>,
    /// Cursor rows, in all.
    pub cursors: u64,
    /// Ledger rows, in all.
    pub ledger_rows: u64,
    /// Bytes of ledger rows, in all.
    pub ledger_bytes: u64,
    /// Age of the oldest ledger row.
    pub ledger_oldest: Option<Duration>,
    /// Dead letters, of all subscriptions.
    pub dead_letters: Weight,
    /// Quarantined records.
    pub quarantine: Weight,
    /// Bytes that these may take.
    pub quarantine_limit: u64,
    /// How long until retention reaches a cursor; `None` when that is not known, or there is none.
    pub cursor_headroom: Option<Duration>,
    /// Offsets from the furthest place that is behind to intake.
    pub catch_up_lag: u64,
    /// Bytes of the store's files.
    pub store_bytes: u64,
    /// Free bytes of the store's disk.
    pub store_free_bytes: u64,
    /// Free bytes below which the store writes nothing.
    pub store_min_free: u64,
    /// Whether the last try to load another configuration was refused.
    pub reload_refused: bool,
    /// The generation of the rules in force.
    pub config_generation: u64,
    /// How many subscriptions have a status, for each.
    pub subscriptions: Vec<(&'static str, u64)>,
    /// Whether a check of readiness passes (1) or not (0), for each.
    pub ready: Vec<(&'static str, u64)>,
    /// Subscriptions one by one, where that is asked for.
    pub each: Vec<SubscriptionGauges>,
}

/// How far one partition is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionGauges {
    /// The topic; above the bound of topics its partitions are left out.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Records that are not settled, up to the end; `None` while the end is not known.
    pub lag: Option<u64>,
    /// How long the oldest unsettled record has been open.
    pub age: Option<Duration>,
    /// Records with unsettled deliveries.
    pub unsettled: u64,
}

/// One subscription, since its process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionGauges {
    /// Its id; above [`SUBSCRIPTIONS`] subscriptions the rest is left out.
    pub id: String,
    /// Attempts that ended.
    pub attempts: u64,
    /// Those of them that were not accepted.
    pub failures: u64,
    /// Bytes of its ledger rows.
    pub ledger_bytes: u64,
    /// Offsets from where it stands to intake, over all partitions.
    pub lag: u64,
}

/// Subscriptions that are shown one by one, at most (PM-2): with more of them somebody asks the API for the few he means.
pub const SUBSCRIPTIONS: usize = 1_000;

/// Series of partitions, at most: 10,000 partitions in one process are beyond what it can read.
const PARTITIONS: usize = 10_000;

// === impl Gauges ===

impl Gauges {
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let book = Book::new();
        let set = |what, value: u64| book.gauge(what).set(number(value));
        set(&table::IN_FLIGHT_BYTES, self.in_flight_bytes);
        set(&table::CURSORS, self.cursors);
        set(&table::LEDGER_ROWS, self.ledger_rows);
        set(&table::LEDGER_BYTES, self.ledger_bytes);
        book.gauge(&table::LEDGER_OLDEST).set(self.ledger_oldest.unwrap_or_default().as_secs_f64());
        set(&table::DEAD_LETTER_ROWS, self.dead_letters.rows);
        set(&table::DEAD_LETTER_BYTES, self.dead_letters.bytes);
        set(&table::QUARANTINE_ROWS, self.quarantine.rows);
        set(&table::QUARANTINE_BYTES, self.quarantine.bytes);
        set(&table::QUARANTINE_LIMIT, self.quarantine_limit);
        set(&table::CATCH_UP_LAG, self.catch_up_lag);
        if let Some(headroom) = self.cursor_headroom {
            book.gauge(&table::CURSOR_HEADROOM).set(headroom.as_secs_f64());
        }
        set(&table::STORE_BYTES, self.store_bytes);
        set(&table::STORE_FREE_BYTES, self.store_free_bytes);
        set(&table::STORE_MIN_FREE, self.store_min_free);
        set(&table::CONFIG_IN_FORCE, u64::from(!self.reload_refused));
        set(&table::CONFIG_GENERATION, self.config_generation);
        let counted =
            [(&table::LANES, &self.lanes), (&table::SUBSCRIPTIONS, &self.subscriptions), (&table::READY, &self.ready)];
        for (what, counts) in counted {
            let gauges = book.gauges(what);
            for (value, count) in counts {
                gauges.with_label_values(&[value]).set(number(*count));
            }
        }
        self.partitions(&book);
        self.each(&book);
        book.gather()
    }

    /// Counts that their subscriptions hold: with a subscription its series go.
    fn each(&self, book: &Book) {
        let (attempts, failures) =
            (book.counters(&table::SUBSCRIPTION_ATTEMPTS), book.counters(&table::SUBSCRIPTION_FAILURES));
        let (bytes, lag) = (book.gauges(&table::SUBSCRIPTION_LEDGER_BYTES), book.gauges(&table::SUBSCRIPTION_LAG));
        for one in self.each.iter().take(SUBSCRIPTIONS) {
            let id = [one.id.as_str()];
            attempts.with_label_values(&id).inc_by(one.attempts);
            failures.with_label_values(&id).inc_by(one.failures);
            bytes.with_label_values(&id).set(number(one.ledger_bytes));
            lag.with_label_values(&id).set(number(one.lag));
        }
    }

    fn partitions(&self, book: &Book) {
        let lag = book.gauges(&table::PARTITION_LAG);
        let age = book.gauges(&table::PARTITION_WATERMARK_AGE);
        let unsettled = book.gauges(&table::PARTITION_UNSETTLED);
        for one in self.partitions.iter().take(PARTITIONS) {
            let partition = one.partition.to_string();
            let labels: [&str; 2] = [&one.topic, &partition];
            if let Some(records) = one.lag {
                lag.with_label_values(&labels).set(number(records));
            }
            age.with_label_values(&labels).set(one.age.unwrap_or_default().as_secs_f64());
            unsettled.with_label_values(&labels).set(number(one.unsettled));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "above 2^53 the last digits do not matter")]
fn number(value: u64) -> f64 {
    value as f64
}
