//! Every metric: name, type, labels, meaning. `docs/metrics.md` shows this table; tests compare it with that page
//! and with what a scrape holds. Names and labels are for dashboards to rely on.

/// What a metric says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The whole name, with prefix and unit.
    pub name: &'static str,
    /// How its value moves.
    pub kind: Kind,
    /// Label names; their values come from closed or bounded sets.
    pub labels: &'static [&'static str],
    /// What it says, for people.
    pub help: &'static str,
}

/// How a metric's value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Observations, counted in buckets.
    Histogram,
}

/// All of them, in the order of the way of an event.
pub const ALL: [&Definition; 50] = [
    &RECORDS_CONSUMED,
    &RECORDS_MAPPED,
    &RECORDS_UNMATCHED,
    &RECORDS_QUARANTINED,
    &QUARANTINE_ROWS,
    &QUARANTINE_BYTES,
    &QUARANTINE_LIMIT,
    &EVENTS_EMITTED,
    &EVENTS_VALIDATED,
    &PARTITION_LAG,
    &PARTITION_WATERMARK_AGE,
    &PARTITION_UNSETTLED,
    &POSITION_JUMPS,
    &DELIVERIES,
    &ATTEMPTS,
    &ATTEMPT_DURATION,
    &DELIVERY_AGE,
    &IN_FLIGHT_ATTEMPTS,
    &IN_FLIGHT_BYTES,
    &LANES,
    &LEDGER_ROWS,
    &LEDGER_BYTES,
    &LEDGER_OLDEST,
    &CURSORS,
    &CURSOR_HEADROOM,
    &CATCH_UP_READ,
    &CATCH_UP_LAG,
    &LOST_RECORDS,
    &RETRIES,
    &BREAKER_TRANSITIONS,
    &OPERATIONAL_EVENTS,
    &DEAD_LETTERS,
    &DEAD_LETTER_ROWS,
    &DEAD_LETTER_BYTES,
    &BACKPRESSURE,
    &STORE_FLUSH,
    &STORE_BYTES,
    &STORE_FREE_BYTES,
    &STORE_MIN_FREE,
    &SPANS,
    &CONFIG_RELOADS,
    &CONFIG_IN_FORCE,
    &CONFIG_GENERATION,
    &SUBSCRIPTIONS,
    &READY,
    &SUBSCRIPTION_ATTEMPTS,
    &SUBSCRIPTION_FAILURES,
    &SUBSCRIPTION_LEDGER_BYTES,
    &SUBSCRIPTION_LAG,
    &BUILD_INFO,
];

/// Says which build runs; its value is always 1.
pub(crate) const BUILD_INFO: Definition =
    gauge("hookline_build_info", &["version", "commit"], "The build that runs; the value is always 1");

pub(crate) const RECORDS_CONSUMED: Definition =
    counter("hookline_records_consumed_total", &["topic"], "Records admitted from Kafka");
pub(crate) const RECORDS_MAPPED: Definition =
    counter("hookline_records_mapped_total", &["topic"], "Records that became at least one integration event");
pub(crate) const RECORDS_UNMATCHED: Definition =
    counter("hookline_records_unmatched_total", &["topic"], "Records whose events no subscription asked for");
pub(crate) const RECORDS_QUARANTINED: Definition = counter(
    "hookline_records_quarantined_total",
    &["topic", "reason"],
    "Records that could not be decoded or mapped, once per mapping",
);
pub(crate) const QUARANTINE_ROWS: Definition =
    gauge("hookline_quarantine_rows", &[], "Records in quarantine, once per mapping that failed");
pub(crate) const QUARANTINE_BYTES: Definition = gauge("hookline_quarantine_bytes", &[], "Bytes that these take");
pub(crate) const QUARANTINE_LIMIT: Definition =
    gauge("hookline_quarantine_limit_bytes", &[], "Bytes that these may take (limits.quarantine)");
pub(crate) const EVENTS_EMITTED: Definition =
    counter("hookline_events_emitted_total", &["mapping"], "Integration events that a mapping made");
pub(crate) const EVENTS_VALIDATED: Definition = counter(
    "hookline_events_validated_total",
    &["mapping", "result"],
    "Integration events that were held against the schema of their type (catalogue.validate); result is valid or invalid",
);
pub(crate) const PARTITION_LAG: Definition = gauge(
    "hookline_partition_lag_records",
    &["topic", "partition"],
    "Offsets from the watermark to the end of the partition, when last heard of",
);
pub(crate) const PARTITION_WATERMARK_AGE: Definition = gauge(
    "hookline_partition_watermark_age_seconds",
    &["topic", "partition"],
    "How long the oldest unsettled record has been open; 0 when none is",
);
pub(crate) const PARTITION_UNSETTLED: Definition =
    gauge("hookline_partition_unsettled", &["topic", "partition"], "Records with deliveries that are not settled");
pub(crate) const POSITION_JUMPS: Definition = counter(
    "hookline_position_jumps_total",
    &["reason"],
    "Partitions that did not go on where they were left, because the log is not what it was",
);
pub(crate) const DELIVERIES: Definition = counter(
    "hookline_deliveries_total",
    &["outcome"],
    "What came of deliveries: each attempt is accepted, refused, failed or blocked; one given up is expired or dead",
);
pub(crate) const ATTEMPTS: Definition =
    counter("hookline_attempts_total", &["class"], "HTTP exchanges by status class or cause of failure");
pub(crate) const ATTEMPT_DURATION: Definition =
    histogram("hookline_attempt_duration_seconds", "How long an HTTP exchange took, whole");
pub(crate) const DELIVERY_AGE: Definition =
    histogram("hookline_delivery_age_seconds", "From the record's timestamp to its acceptance by an endpoint");
pub(crate) const IN_FLIGHT_ATTEMPTS: Definition =
    gauge("hookline_in_flight_attempts", &[], "HTTP exchanges that are out now");
pub(crate) const IN_FLIGHT_BYTES: Definition =
    gauge("hookline_in_flight_bytes", &[], "Bytes of records that are open, in memory");
pub(crate) const LANES: Definition = gauge("hookline_lanes", &["state"], "Lanes by state");
pub(crate) const CURSORS: Definition =
    gauge("hookline_cursors", &[], "Places of subscriptions and replays that a durable cursor stands for");
pub(crate) const LEDGER_ROWS: Definition =
    gauge("hookline_ledger_rows", &[], "Deliveries that failed and wait to be tried again");
pub(crate) const LEDGER_BYTES: Definition = gauge("hookline_ledger_bytes", &[], "Bytes that these take");
pub(crate) const LEDGER_OLDEST: Definition =
    gauge("hookline_ledger_oldest_seconds", &[], "Age of the oldest of these; 0 when there is none");
pub(crate) const DEAD_LETTER_ROWS: Definition =
    gauge("hookline_dead_letter_rows", &[], "Deliveries that were given up and are kept");
pub(crate) const DEAD_LETTER_BYTES: Definition = gauge("hookline_dead_letter_bytes", &[], "Bytes that these take");
pub(crate) const RETRIES: Definition = counter("hookline_retries_total", &[], "Attempts that were not the first");
pub(crate) const CURSOR_HEADROOM: Definition = gauge(
    "hookline_cursor_retention_headroom_seconds",
    &[],
    "About how long until retention takes records that are not delivered, at the place that is nearest to it",
);
pub(crate) const CATCH_UP_READ: Definition =
    counter("hookline_catch_up_records_read_total", &[], "Records read again, once for all who are behind");
pub(crate) const CATCH_UP_LAG: Definition = gauge(
    "hookline_catch_up_lag_records",
    &[],
    "Offsets from the place that is furthest behind to what intake reads; 0 when none is",
);
pub(crate) const LOST_RECORDS: Definition = counter(
    "hookline_lost_records_total",
    &[],
    "Offsets that retention took before a subscription or replay that was behind had read them",
);
pub(crate) const BREAKER_TRANSITIONS: Definition =
    counter("hookline_breaker_transitions_total", &["to"], "Breakers that went over to this state");
pub(crate) const OPERATIONAL_EVENTS: Definition = counter(
    "hookline_operational_events_total",
    &["outcome"],
    "Operational events, once for each subscription that gets them: owed, or dropped because there was no room",
);
pub(crate) const DEAD_LETTERS: Definition =
    counter("hookline_dead_letters_total", &["reason"], "Deliveries that were given up");
pub(crate) const BACKPRESSURE: Definition = counter(
    "hookline_backpressure_seconds_total",
    &["reason"],
    "Seconds in which reading of Kafka was paused, and why; reasons may overlap",
);
pub(crate) const STORE_FLUSH: Definition =
    histogram("hookline_store_flush_seconds", "How long it took to make a tick's changes durable");
pub(crate) const STORE_BYTES: Definition = gauge("hookline_store_bytes", &[], "Bytes of the store's files");
pub(crate) const STORE_FREE_BYTES: Definition =
    gauge("hookline_store_free_bytes", &[], "Free bytes of the disk that holds the store");
pub(crate) const STORE_MIN_FREE: Definition = gauge(
    "hookline_store_min_free_bytes",
    &[],
    "Free bytes below which nothing is written and Kafka is not read (store.min_free)",
);
pub(crate) const SPANS: Definition = counter(
    "hookline_spans_total",
    &["result"],
    "Spans of recorded traces; result is exported, dropped (the queue was full) or failed (the collector did not take them)",
);
pub(crate) const CONFIG_RELOADS: Definition =
    counter("hookline_config_reloads_total", &["result"], "Tries to load another configuration");
pub(crate) const CONFIG_IN_FORCE: Definition = gauge(
    "hookline_config_last_reload_successful",
    &[],
    "0 when the last try to load another configuration was refused, else 1",
);
pub(crate) const CONFIG_GENERATION: Definition =
    gauge("hookline_config_generation", &[], "The generation of the rules in force, from 1");
pub(crate) const SUBSCRIPTIONS: Definition = gauge("hookline_subscriptions", &["status"], "Subscriptions by status");
pub(crate) const SUBSCRIPTION_ATTEMPTS: Definition = counter(
    "hookline_subscription_attempts_total",
    &["subscription"],
    "HTTP exchanges with the endpoint of a subscription (metrics.per_subscription)",
);
pub(crate) const SUBSCRIPTION_FAILURES: Definition = counter(
    "hookline_subscription_failures_total",
    &["subscription"],
    "Those of them that were not accepted (metrics.per_subscription)",
);
pub(crate) const SUBSCRIPTION_LEDGER_BYTES: Definition = gauge(
    "hookline_subscription_ledger_bytes",
    &["subscription"],
    "Bytes of its deliveries that failed and wait to be tried again (metrics.per_subscription)",
);
pub(crate) const SUBSCRIPTION_LAG: Definition = gauge(
    "hookline_subscription_lag_records",
    &["subscription"],
    "Offsets from where it stands behind to what intake reads, over all partitions; 0 when it is live (metrics.per_subscription)",
);

pub(crate) const READY: Definition = gauge("hookline_ready", &["check"], "Whether a check of /readyz passes: 1 or 0");

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Definition {
    Definition { name, kind: Kind::Histogram, labels: &[], help }
}

// === impl Kind ===

impl Kind {
    /// The name as the text format writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}
