//! A subscription: a subscriber's standing order. Endpoint, what, and how.

use crate::model::id::Sid;
use crate::model::secret::{Secret, SigningSecret};
use crate::model::time::Timestamp;
use crate::model::verification::Verification;
use serde_json::Value;
use std::{collections::BTreeMap, fmt, time::Duration};

/// A subscriber's standing order. Every value was checked by its reader (`subscriptions::written`).
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Its key in the store.
    pub sid: Sid,
    /// Its id towards users: `sub_` + ULID, or the name a declared one was given.
    pub id: String,
    /// Whose events it sees; cannot change.
    pub tenant: Tenant,
    /// A name for people.
    pub name: Option<String>,
    /// A sentence for people.
    pub description: Option<String>,
    /// Free text by key, for whoever owns it.
    pub metadata: BTreeMap<String, String>,
    /// The endpoint, as parsed and judged by the egress guard.
    pub url: url::Url,
    /// Type patterns, at least one (PT-1).
    pub types: Vec<String>,
    /// A CEL expression over `event`; `None`: all.
    pub filter: Option<String>,
    /// Filters in the dialects of CloudEvents Subscriptions, as they were written; `None`: all.
    pub filters: Option<Value>,
    /// The body's format.
    pub format: Format,
    /// A template over `event` that gives the data this subscriber gets; `None`: the data as they are.
    pub transform: Option<Value>,
    /// Static headers; never one of ours (SW-22).
    pub headers: Vec<(String, String)>,
    /// How requests are authorised.
    pub auth: Option<Auth>,
    /// The signature scheme.
    pub signing: Signing,
    /// Signing secrets, newest first; at least one.
    pub secrets: Vec<SigningSecret>,
    /// Deadline of a whole exchange; `None`: the default of `delivery.timeout`.
    pub timeout: Option<Duration>,
    /// Attempts at the same time; `None`: the default of `delivery.concurrency`.
    pub concurrency: Option<u16>,
    /// When to try again; `None`: the default of `delivery.retry`.
    pub retry: Option<Retry>,
    /// What order is kept.
    pub ordering: Ordering,
    /// What happens when a key is blocked and the ledger full; `None`: the default of `delivery.on_blocked`.
    pub on_blocked: Option<OnBlocked>,
    /// Requests per second; `None`: as many as there are slots for.
    pub rate: Option<u32>,
    /// How first attempts are put together; `None`: each goes alone. Only with [`Format::CloudEventsBatch`].
    pub batch: Option<Batching>,
    /// Where it began; cannot change.
    pub start: Start,
    /// What its endpoint has to say before anything is sent; `None`: nothing.
    pub verification: Option<Verification>,
    /// What it is allowed to do now.
    pub status: Status,
    /// Whether it stands in a file and is read-only in the API.
    pub declared: bool,
    /// Grows by one at every change; the `ETag`.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// Whose events a subscription sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tenant {
    /// Events without tenant only.
    None,
    /// Events of this tenant only.
    One(String),
    /// All events (`*`); for operators.
    All,
}

/// The body formats by name (FMT-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Structured CloudEvents JSON; the default.
    CloudEvents,
    /// A JSON array of structured CloudEvents, one or more.
    CloudEventsBatch,
    /// Data in the body, attributes in `ce-*` headers.
    CloudEventsBinary,
    /// Standard Webhooks: `{type, timestamp, data}`.
    Standard,
    /// The data alone.
    Raw,
}

/// The signature schemes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signing {
    /// Standard Webhooks v1: HMAC-SHA256, secrets `whsec_`.
    Standard,
    /// Standard Webhooks v1a: ed25519, secrets `whsk_`.
    Ed25519,
}

/// How requests are authorised.
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    /// `Authorization: Bearer ...`
    Bearer(Secret),
    /// `Authorization: Basic ...`
    Basic {
        /// The user's name; no colon.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A header of the subscriber's choice.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: Secret,
    },
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Start {
    /// With what comes after it was made.
    #[default]
    Now,
    /// With the oldest record that the log holds.
    Earliest,
    /// With the first record that is not older.
    At(Timestamp),
}

/// What order deliveries keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ordering {
    /// None.
    #[default]
    None,
    /// That of the log among events with the same key and partition.
    Key,
}

/// What happens when an ordering key is blocked and the ledger is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnBlocked {
    /// The subscription waits.
    #[default]
    Wait,
    /// The first delivery of the key that blocks most is given up.
    DeadLetter,
}

/// How first attempts are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Events at most; at least 2.
    pub max_events: usize,
    /// Bytes of events at most; a single one may be larger.
    pub max_bytes: u64,
    /// How long the first of a batch waits for the others; less than `settle_within`.
    pub max_wait: Duration,
}

/// When a failed delivery is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Waits after the first, second, ... failure; the last repeats. At least one.
    pub schedule: Vec<Duration>,
    /// A failed attempt of a delivery older than this ends it.
    pub max_age: Duration,
    /// Share of each wait by which it is varied up and down: 0.0..=1.0.
    pub jitter: f64,
}

/// What a subscription is allowed to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Why, for people.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// The states of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Deliveries are attempted.
    Active,
    /// Nothing is attempted until the operator resumes it.
    Paused,
    /// Nothing is attempted until somebody resumes it: the endpoint said 410, or failed for too long.
    Disabled,
    /// Nothing is attempted until its endpoint has said that it wants the events.
    Unverified,
}

// === impl Subscription ===

impl Subscription {
    /// Whether something may be sent to its endpoint, as far as that depends on what it said.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verification.as_ref().is_none_or(|verification| verification.consent.is_some())
    }

    /// The state of one that nobody paused and nothing disabled.
    #[must_use]
    pub fn at_work(&self) -> State {
        if self.is_verified() { State::Active } else { State::Unverified }
    }
}

// === impl Format ===

impl Format {
    /// Every format, for tables.
    pub const ALL: [Self; 5] =
        [Self::CloudEvents, Self::CloudEventsBatch, Self::CloudEventsBinary, Self::Standard, Self::Raw];

    /// The name as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::CloudEventsBatch => "cloudevents-batch",
            Self::CloudEventsBinary => "cloudevents-binary",
            Self::Standard => "standard",
            Self::Raw => "raw",
        }
    }
}

// === impl Signing ===

impl Signing {
    /// Every scheme, for tables.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Ed25519];

    /// The name as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Ed25519 => "ed25519",
        }
    }
}

// === impl Auth ===

impl Auth {
    /// The kind as the API shows it; the rest is never returned.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "bearer",
            Self::Basic { .. } => "basic",
            Self::Header { .. } => "header",
        }
    }
}

// === impl Start ===

impl Start {
    /// Reads `now`, `earliest` or a time.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "now" => Some(Self::Now),
            "earliest" => Some(Self::Earliest),
            time => Timestamp::parse(time).map(Self::At),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Earliest => f.write_str("earliest"),
            Self::At(time) => time.fmt(f),
        }
    }
}

// === impl Ordering ===

impl Ordering {
    /// Every order, for tables.
    pub const ALL: [Self; 2] = [Self::None, Self::Key];

    /// The name as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Key => "key",
        }
    }
}

// === impl OnBlocked ===

impl OnBlocked {
    /// Every answer, for tables.
    pub const ALL: [Self; 2] = [Self::Wait, Self::DeadLetter];

    /// The name as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::DeadLetter => "dead_letter",
        }
    }
}

// === impl Tenant ===

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("(none)"),
            Self::One(tenant) => f.write_str(tenant),
            Self::All => f.write_str("*"),
        }
    }
}

// === impl State ===

impl State {
    /// Every state, for tables.
    pub const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::Disabled, Self::Unverified];

    /// The name as users read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Unverified => "unverified",
        }
    }
}
