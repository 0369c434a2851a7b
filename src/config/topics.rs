//! `topics:` how the records of a topic are decoded.

use crate::config::reading::Reading;
use crate::decode::format::Format;
use crate::map::mapping::TopicSelector;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Data;

/// Formats whose decoders are not there yet.
const LATER: [&str; 5] = ["cloudevents", "avro", "protobuf", "json_schema", "debezium"];

/// The formats of the topics that are named; exact names come before patterns, so that the first that fits counts.
pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Vec<(TopicSelector, Format)> {
    let mut formats = Vec::new();
    let Some(field) = field else { return formats };
    for (entry, field) in field.entries(&mut reading.problems).unwrap_or_default() {
        let selector = TopicSelector::parse(&entry.key);
        let format = format(&field, reading);
        match selector {
            Ok(selector) => formats.extend(format.map(|format| (selector, format))),
            Err(error) => reading.problems.add(&entry.place, field.path, error.to_string(), ""),
        }
    }
    formats.sort_by_key(|(selector, _)| matches!(selector, TopicSelector::Pattern(..)));
    formats
}

fn format(field: &Field<'_>, reading: &mut Reading) -> Option<Format> {
    let problems = &mut reading.problems;
    let mut fields = Fields::of(field, problems)?;
    let format = fields.optional("format").map_or(Some(Format::Json), |field| match &field.node.data {
        Data::String(name) if LATER.contains(&name.as_str()) => {
            field.problem(problems, format!("`{name}` is not yet available in this version"), "");
            None
        }
        _ => field.one_of(&Format::ALL.map(|format| (format.as_str(), format)), problems),
    });
    fields.not_yet("inner", problems);
    fields.finish(problems);
    format
}
