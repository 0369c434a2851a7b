//! One CloudEvent as it is read: attributes that were checked (CE-1 to CE-4), and its data.

use crate::decode::decoding::Names;
use crate::decode::media::{self, Media};
use crate::decode::{json, text};
use crate::model::attribute::{forbidden, is_absolute_uri, is_name, is_uri_reference};
use crate::model::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// A CloudEvent.
#[derive(Debug)]
pub(crate) struct CloudEvent {
    /// All attributes by name: what `ce` stands for.
    pub(crate) attributes: Map<String, Value>,
    /// Its data; null when it has none.
    pub(crate) data: Value,
}

const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

/// The attributes of an event, as they are gathered.
#[derive(Debug)]
pub(crate) struct Attributes {
    names: Names,
    found: Map<String, Value>,
}

// === impl Attributes ===

impl Attributes {
    /// None yet.
    pub(crate) fn new(names: Names) -> Self {
        Self { names, found: Map::new() }
    }

    /// Adds one.
    ///
    /// # Errors
    /// Its name or value is none that the standard allows, or it was there already.
    pub(crate) fn add(&mut self, name: &str, value: Value) -> Result<(), String> {
        let name = match self.names {
            Names::Exact => name.to_owned(),
            Names::AnyCase => name.to_ascii_lowercase(),
        };
        if !is_name(&name) {
            return Err(format!(
                "`{}` is no name for an attribute: it has small letters and digits only",
                shown(&name)
            ));
        }
        check(&name, &value).map_err(|what| format!("the attribute `{name}` {what}"))?;
        match self.found.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => Err(format!("the attribute `{name}` is given twice")),
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// One that every event has is missing.
    pub(crate) fn finish(self) -> Result<Map<String, Value>, String> {
        match REQUIRED.into_iter().find(|name| !self.found.contains_key(*name)) {
            Some(missing) => Err(format!("the attribute `{missing}` is missing")),
            None => Ok(self.found),
        }
    }

    /// What `datacontenttype` says, when it is there.
    pub(crate) fn media(&self) -> Option<Media> {
        self.found.get("datacontenttype").and_then(Value::as_str).map(Media::of)
    }
}

/// Whether the attribute may have this value; its name is known to be one.
fn check(name: &str, value: &Value) -> Result<(), String> {
    let defined = [&REQUIRED[..], &["datacontenttype", "dataschema", "subject", "time"]].concat().contains(&name);
    match value {
        Value::String(text) => {
            if let Some(found) = forbidden(text) {
                return Err(format!("holds the character U+{:04X}", u32::from(found)));
            }
            let fits = match name {
                "specversion" => text == "1.0",
                "source" => !text.is_empty() && is_uri_reference(text),
                "dataschema" => is_absolute_uri(text),
                "datacontenttype" => media::is_media_type(text),
                "time" => Timestamp::parse(text).is_some(),
                "id" | "type" | "subject" => !text.is_empty(),
                _ => true,
            };
            if fits { Ok(()) } else { Err(format!("cannot be `{}`", shown(text))) }
        }
        Value::Bool(_) if !defined => Ok(()),
        Value::Number(number) if !defined && number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => Ok(()),
        Value::Number(_) if !defined => Err("is a number, but none of 32 bits without a fraction".to_owned()),
        _ if defined => Err("must be a string".to_owned()),
        _ => Err("must be a string, a boolean or a whole number".to_owned()),
    }
}

/// What bytes of this kind are as a payload.
///
/// # Errors
/// They are not of this kind.
pub(crate) fn payload(media: Media, bytes: &[u8]) -> Result<Value, String> {
    match media {
        Media::Json => json::decode(bytes),
        Media::Text => text::decode(bytes),
        Media::Other => Ok(Value::String(STANDARD.encode(bytes))),
    }
}

/// The beginning of a text that came from a record, for a sentence.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
