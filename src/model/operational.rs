//! Operational events: changes of state that an operator subscribes to like to any other event (`docs/events.md`).
//!
//! No record stands behind one. Its origin is a place that Kafka cannot have, so that its id, its ledger rows and its dead
//! letters are like those of every event.

use crate::model::event::IntegrationEvent;
use crate::model::id::{EventId, Sid};
use crate::model::record::{Origin, TopicPartition};
use crate::model::subscription::{Subscription, Tenant};
use crate::model::time::Timestamp;
use serde_json::{Map, Value, json};

/// The topic of their origin. No topic of Kafka has an `@` in its name.
pub const TOPIC: &str = "@hookline";
/// What made them, where other events name their mapping; their source, too.
const MAKER: &str = "hookline";
const SOURCE: &str = "/hookline";

/// A change of state, before it is an integration event.
#[derive(Clone, Debug, PartialEq)]
pub struct Operational {
    /// Its place among all of them: later ones have larger numbers, also after a restart.
    pub number: i64,
    /// The subscription it is about.
    pub about: Sid,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: Happening,
    /// What else its data say.
    pub detail: Map<String, Value>,
}

/// What happens to subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happening {
    /// Its endpoint fails.
    Failing,
    /// Its endpoint is well again.
    Recovered,
    /// Nothing new is tried: its ledger or its dead letters are full.
    Blocked,
    /// They have room again.
    Unblocked,
    /// It was paused.
    Paused,
    /// It goes on: it was paused, or disabled.
    Resumed,
    /// Its endpoint said that it wants the events.
    Verified,
    /// Its endpoint has to say so, again or for the first time at another URL.
    Unverified,
    /// It was disabled.
    Disabled,
    /// Retention will soon take records that were not read for it yet.
    Near,
    /// Retention took records before they were read for it.
    Lost,
}

/// Where operational events come from, as ledger rows have it.
#[must_use]
pub fn place() -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition: 0 }
}

// === impl Happening ===

impl Happening {
    /// Every one, for tables.
    pub const ALL: [Self; 11] = [
        Self::Failing,
        Self::Recovered,
        Self::Blocked,
        Self::Unblocked,
        Self::Paused,
        Self::Resumed,
        Self::Verified,
        Self::Unverified,
        Self::Disabled,
        Self::Near,
        Self::Lost,
    ];

    /// The type of its event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "hookline.subscription.failing",
            Self::Recovered => "hookline.subscription.recovered",
            Self::Blocked => "hookline.subscription.blocked",
            Self::Unblocked => "hookline.subscription.unblocked",
            Self::Paused => "hookline.subscription.paused",
            Self::Resumed => "hookline.subscription.resumed",
            Self::Verified => "hookline.subscription.verified",
            Self::Unverified => "hookline.subscription.unverified",
            Self::Disabled => "hookline.subscription.disabled",
            Self::Near => "hookline.retention.near",
            Self::Lost => "hookline.retention.lost",
        }
    }
}

// === impl Operational ===

impl Operational {
    /// The event; `about` is its subscription as it is now. Its ordering key is the subscription.
    #[must_use]
    pub fn event(&self, about: &Subscription) -> IntegrationEvent {
        let TopicPartition { topic, partition } = place();
        let origin = Origin { topic, partition, offset: self.number, timestamp: self.at };
        let tenant = match &about.tenant {
            Tenant::None => Value::Null,
            tenant => json!(tenant.to_string()),
        };
        let subscription = json!({ "id": about.id, "name": about.name, "tenant": tenant });
        let mut data = Map::from_iter([("subscription".to_owned(), subscription)]);
        data.extend(self.detail.clone());
        IntegrationEvent {
            id: EventId::derive(&origin, MAKER, 0),
            origin,
            mapping: MAKER.into(),
            ord: 0,
            source: SOURCE.into(),
            event_type: self.what.as_str().into(),
            subject: Some(about.id.clone()),
            time: self.at,
            tenant: None,
            key: Some(about.id.clone()),
            traceparent: None,
            extensions: Vec::new(),
            data: Value::Object(data),
        }
    }
}
