//! Target and event to a request, ready to send: body, identity, time, signature, trace.

use crate::deliver::error::TooLarge;
use crate::deliver::sign::{self, message::Message};
use crate::deliver::target::{Target, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::deliver::{format, headers, trace};
use crate::egress::exchange::Request;
use crate::model::event::Emitted;
use crate::model::time::Timestamp;
use crate::runtime::random;
use http::{HeaderName, HeaderValue, Method};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Builds the request of one attempt at `now`.
///
/// # Errors
/// [`TooLarge`] when the event's attributes do not fit into headers.
pub fn build(target: &Target, emitted: &Emitted, now: Timestamp) -> Result<Request, TooLarge> {
    let event = &emitted.event;
    let body = emitted.body(target.format, |event| format::render(target.format, event));
    let mut map = target.headers.clone();
    let bytes = format::add_headers(target.format, event, &mut map);
    if bytes > headers::LIMIT {
        return Err(TooLarge { bytes, limit: headers::LIMIT });
    }
    let id = event.id.to_string();
    let message = Message { id: &id, timestamp: now.as_seconds(), body: &body };
    let signature = sign::sign(target.keys(now), &message);
    map.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(message.timestamp));
    map.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signature).expect("base64 is visible ASCII"));
    map.insert(WEBHOOK_ID, HeaderValue::try_from(id).expect("an id is visible ASCII"));
    let span = event.traceparent.as_deref().and_then(|parent| trace::child(parent, random::secret()));
    if let Some(span) = span {
        map.insert(TRACEPARENT, HeaderValue::try_from(span).expect("hex and dashes are visible ASCII"));
    }
    Ok(Request { url: target.url.clone(), method: Method::POST, headers: map, body, timeout: target.timeout })
}
