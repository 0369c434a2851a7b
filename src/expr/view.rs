//! An integration event as expressions of subscribers see it: what `event` stands for in filters and transforms.

use crate::model::event::IntegrationEvent;
use serde_json::{Map, Value, json};

/// A map of `id`, `source`, `type`, `subject`, `time`, `tenant`, `key`, `extensions` and `data`; what an event does not have is
/// null.
#[must_use]
pub fn view(event: &IntegrationEvent) -> Value {
    let extensions = event.extensions.iter().map(|(name, value)| (name.to_string(), value.clone()));
    json!({
        "id": event.id.to_string(),
        "source": &*event.source,
        "type": &*event.event_type,
        "subject": event.subject,
        "time": event.time.to_string(),
        "tenant": event.tenant,
        "key": event.key,
        "extensions": extensions.collect::<Map<_, _>>(),
        "data": event.data,
    })
}
