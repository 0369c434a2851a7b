//! `cloudevents-batch`: a JSON array of structured CloudEvents (CJ-1, CH-6). What goes alone is an array of one.

use crate::deliver::format::cloudevents;
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::subscription::Format;
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// What receivers of batches are told.
pub const CONTENT_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";

/// A batch of one.
#[must_use]
pub fn render(event: &IntegrationEvent) -> Bytes {
    array([cloudevents::render(event)].iter())
}

/// A batch of several, in their order. Each is rendered once for all who share it.
#[must_use]
pub fn render_all(events: &[Arc<Emitted>]) -> Bytes {
    let bodies: Vec<_> = events.iter().map(|emitted| emitted.body(Format::CloudEvents, cloudevents::render)).collect();
    array(bodies.iter())
}

fn array<'b>(bodies: impl Iterator<Item = &'b Bytes> + Clone) -> Bytes {
    let mut array = BytesMut::with_capacity(bodies.clone().map(|body| body.len() + 1).sum::<usize>() + 1);
    for (number, body) in bodies.enumerate() {
        array.put_u8(if number == 0 { b'[' } else { b',' });
        array.put_slice(body);
    }
    array.put_u8(b']');
    array.freeze()
}
