//! `raw`: the data alone. One without data is JSON's `null`.

use crate::model::event::IntegrationEvent;
use bytes::Bytes;

/// What receivers are told.
pub const CONTENT_TYPE: &str = "application/json";

/// The data as JSON.
#[must_use]
pub fn render(event: &IntegrationEvent) -> Bytes {
    serde_json::to_vec(&event.data).expect("JSON values with text keys can be written").into()
}
