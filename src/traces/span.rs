//! A piece of work that is over, as it waits to be sent: typed and small, written out only by who sends it.

use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::EventId;
use crate::model::record::{Origin, Record};
use crate::model::trace::{Context, Parent, SpanId};
use std::sync::Arc;
use url::Url;

/// A piece of work.
#[derive(Debug)]
pub(crate) struct Span {
    /// Its trace and its own id.
    pub(crate) context: Context,
    /// What caused it, if anything did.
    pub(crate) cause: Option<Cause>,
    /// What the record names, when the trace is that one's: its state goes with it.
    pub(crate) record: Option<Arc<Parent>>,
    /// What it has to do with, beside its cause.
    pub(crate) links: Vec<Context>,
    /// When it began and ended, in nanoseconds since 1970.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) work: Work,
    pub(crate) end: End,
}

/// What caused a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Work of somebody else's.
    Theirs(SpanId),
    /// Work of ours.
    Ours(SpanId),
}

/// What was done.
#[derive(Debug)]
pub(crate) enum Work {
    /// A record was read, passed through the rules, and offered to lanes.
    Process(Processed),
    /// The part of it in which the rules were asked.
    Map(Mapped),
    /// An HTTP exchange.
    Attempt(Box<Attempted>),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Well.
    Done,
    /// With an answer of this status.
    Answered(u16),
    /// With a failure, named by a word out of few.
    Failed(&'static str),
}

/// A record that was read.
#[derive(Clone, Debug)]
pub(crate) struct Processed {
    pub(crate) origin: Origin,
    /// Whether it had no value.
    pub(crate) tombstone: bool,
}

/// What the rules made of a record.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    /// The mappings that made events, each once.
    pub(crate) mappings: Vec<Arc<str>>,
    /// How many events they made.
    pub(crate) events: usize,
}

/// An HTTP exchange.
#[derive(Debug)]
pub(crate) struct Attempted {
    /// The subscription's id.
    pub(crate) subscription: String,
    pub(crate) endpoint: Endpoint,
    /// The mapping of the events, where all have the same.
    pub(crate) mapping: Option<Arc<str>>,
    /// Their type, where all have the same.
    pub(crate) event_type: Option<Arc<str>>,
    pub(crate) webhook: EventId,
    pub(crate) events: usize,
}

/// Where an exchange went, without path and query: there is where webhooks have their secrets.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

// === impl End ===

impl End {
    /// Why it failed, if it did.
    pub(crate) fn error(self) -> Option<String> {
        match self {
            Self::Done | Self::Answered(200..300) => None,
            Self::Answered(status) => Some(status.to_string()),
            Self::Failed(why) => Some(why.to_owned()),
        }
    }
}

// === impl Processed ===

impl Processed {
    pub(crate) fn of(record: &Record) -> Self {
        Self { origin: record.origin.clone(), tombstone: record.value.is_none() }
    }
}

// === impl Mapped ===

impl Mapped {
    pub(crate) fn of(events: &[Arc<Emitted>]) -> Self {
        let mut mappings: Vec<Arc<str>> = Vec::new();
        for Emitted { event, .. } in events.iter().map(|emitted| &**emitted) {
            if !mappings.contains(&event.mapping) {
                mappings.push(Arc::clone(&event.mapping));
            }
        }
        Self { mappings, events: events.len() }
    }
}

// === impl Attempted ===

impl Attempted {
    pub(crate) fn of(events: &[Arc<Emitted>], subscription: &str, url: &Url) -> Self {
        let common = |of: fn(&IntegrationEvent) -> &Arc<str>| {
            let (first, rest) = events.split_first()?;
            let first = of(&first.event);
            rest.iter().all(|other| of(&other.event) == first).then(|| Arc::clone(first))
        };
        let webhook = match events {
            [event] => event.event.id,
            events => EventId::of_batch(events.iter().map(|emitted| &emitted.event.id)),
        };
        Self {
            subscription: subscription.to_owned(),
            endpoint: Endpoint {
                scheme: url.scheme().to_owned(),
                host: url.host_str().unwrap_or_default().to_owned(),
                port: url.port_or_known_default(),
            },
            mapping: common(|event| &event.mapping),
            event_type: common(|event| &event.event_type),
            webhook,
            events: events.len(),
        }
    }
}
