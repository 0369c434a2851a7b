//! Target and event to a request, ready to send: body, identity, time, trace, signature.

use crate::deliver::error::BuildError;
use crate::deliver::format::cloudevents_batch;
use crate::deliver::sign::{self, message::Message};
use crate::deliver::target::{Target, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::deliver::{format, headers};
use crate::egress::exchange::Request;
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::EventId;
use crate::model::time::Timestamp;
use crate::model::trace::{Context, Parent};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::Arc;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// When an attempt is made, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Its time.
    pub now: Timestamp,
    /// The piece of work that it is, when it belongs to a trace.
    pub trace: Option<Context>,
}

// === impl Moment ===

impl From<Timestamp> for Moment {
    /// An attempt that belongs to no trace.
    fn from(now: Timestamp) -> Self {
        Self { now, trace: None }
    }
}

/// Builds the request of one attempt.
///
/// # Errors
/// [`BuildError`]: the transform fails, or the event's attributes do not fit into headers.
pub fn build(target: &Target, emitted: &Emitted, moment: Moment) -> Result<Request, BuildError> {
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
    follow(&mut map, event, moment.trace);
    Ok(seal(target, map, (event.id, body), moment.now))
}

/// Builds the request of one attempt with several events.
///
/// # Errors
/// [`BuildError`]: the transform fails on one of them.
pub fn build_batch(target: &Target, events: &[Arc<Emitted>], moment: Moment) -> Result<Request, BuildError> {
    let id = EventId::of_batch(events.iter().map(|emitted| &emitted.event.id));
    let body = match &target.transform {
        None => cloudevents_batch::render_all(events),
        Some(transform) => {
            let own =
                events.iter().map(|emitted| transform.apply(&emitted.event).map(|own| Arc::new(Emitted::new(own))));
            cloudevents_batch::render_all(&own.collect::<Result<Vec<_>, _>>().map_err(BuildError::Transform)?)
        }
    };
    let mut map = target.headers.clone();
    events.iter().take(1).for_each(|first| follow(&mut map, &first.event, moment.trace));
    Ok(seal(target, map, (id, body), moment.now))
}

/// Tells the receiver which piece of work this is. The state of a trace goes with it and with no other.
fn follow(map: &mut HeaderMap, event: &IntegrationEvent, trace: Option<Context>) {
    let Some(context) = trace else { return };
    let span = HeaderValue::try_from(context.to_string()).expect("hex and dashes are visible ASCII");
    map.insert(TRACEPARENT, span);
    let parent = event.traceparent.as_deref().filter(|parent| parent.context().trace == context.trace);
    if let Some(state) = parent.and_then(Parent::state) {
        map.insert(TRACESTATE, HeaderValue::try_from(state).expect("it was read as visible ASCII and spaces"));
    }
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
