//! Target and event to a request, ready to send: body, identity, time, signature, trace.

use crate::deliver::error::BuildError;
use crate::deliver::format::cloudevents_batch;
use crate::deliver::sign::{self, message::Message};
use crate::deliver::target::{Target, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::deliver::{format, headers, trace};
use crate::egress::exchange::Request;
use crate::model::event::Emitted;
use crate::model::id::EventId;
use crate::model::time::Timestamp;
use crate::runtime::random;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::Arc;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Builds the request of one attempt at `now`.
///
/// # Errors
/// [`BuildError`]: the transform fails, or the event's attributes do not fit into headers.
pub fn build(target: &Target, emitted: &Emitted, now: Timestamp) -> Result<Request, BuildError> {
    let own = target.transform.as_ref().map(|transform| transform.apply(&emitted.event)).transpose();
    let own = own.map_err(BuildError::Transform)?.map(Emitted::new);
    let emitted = own.as_ref().unwrap_or(emitted);
    let event = &emitted.event;
    let body = emitted.body(target.format, |event| format::render(target.format, event));
    let mut map = target.headers.clone();
    let bytes = format::add_headers(target.format, event, &mut map);
    if bytes > headers::LIMIT {
        return Err(BuildError::TooLarge { bytes, limit: headers::LIMIT });
    }
    let span = event.traceparent.as_deref().and_then(|parent| trace::child(parent, random::secret()));
    if let Some(span) = span {
        map.insert(TRACEPARENT, HeaderValue::try_from(span).expect("hex and dashes are visible ASCII"));
    }
    Ok(seal(target, map, (event.id, body), now))
}

/// Builds the request of one attempt at `now` with several events. It belongs to no trace: its members have theirs.
///
/// # Errors
/// [`BuildError`]: the transform fails on one of them.
pub fn build_batch(target: &Target, events: &[Arc<Emitted>], now: Timestamp) -> Result<Request, BuildError> {
    let id = EventId::of_batch(events.iter().map(|emitted| &emitted.event.id));
    let body = match &target.transform {
        None => cloudevents_batch::render_all(events),
        Some(transform) => {
            let own =
                events.iter().map(|emitted| transform.apply(&emitted.event).map(|own| Arc::new(Emitted::new(own))));
            cloudevents_batch::render_all(&own.collect::<Result<Vec<_>, _>>().map_err(BuildError::Transform)?)
        }
    };
    Ok(seal(target, target.headers.clone(), (id, body), now))
}

/// Identity, time and signature.
fn seal(target: &Target, mut map: HeaderMap, (id, body): (EventId, Bytes), now: Timestamp) -> Request {
    let id = id.to_string();
    let message = Message { id: &id, timestamp: now.as_seconds(), body: &body };
    let signature = sign::sign(target.keys(now), &message);
    map.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(message.timestamp));
    map.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signature).expect("base64 is visible ASCII"));
    map.insert(WEBHOOK_ID, HeaderValue::try_from(id).expect("an id is visible ASCII"));
    Request { url: target.url.clone(), method: Method::POST, headers: map, body, timeout: target.timeout }
}
