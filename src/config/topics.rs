//! `topics:` how the records of a topic are decoded.

use crate::config::given;
use crate::config::reading::Reading;
use crate::decode::format::Format;
use crate::map::mapping::TopicSelector;
use crate::model::problem::Problems;
use crate::model::schema::Language;
use crate::registry::settings::RegistrySettings;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Data;

/// Formats whose decoders are not there yet.
const LATER: [&str; 2] = ["cloudevents", "debezium"];

/// What `format` names.
#[derive(Clone)]
enum Named {
    Plain(Format),
    /// By a schema, which is given or looked up.
    Schema(Language),
}

/// The formats of the topics that are named; exact names come before patterns, so that the first that fits counts.
pub(crate) fn read(
    field: Option<Field<'_>>,
    registry: Option<&RegistrySettings>,
    reading: &mut Reading,
) -> Vec<(TopicSelector, Format)> {
    let mut formats = Vec::new();
    let Some(field) = field else { return formats };
    for (entry, field) in field.entries(&mut reading.problems).unwrap_or_default() {
        let selector = TopicSelector::parse(&entry.key);
        let format = format(&field, registry, reading);
        match selector {
            Ok(selector) => formats.extend(format.map(|format| (selector, format))),
            Err(error) => reading.problems.add(&entry.place, field.path, error.to_string(), ""),
        }
    }
    formats.sort_by_key(|(selector, _)| matches!(selector, TopicSelector::Pattern(..)));
    formats
}

fn format(field: &Field<'_>, registry: Option<&RegistrySettings>, reading: &mut Reading) -> Option<Format> {
    let mut fields = Fields::of(field, &mut reading.problems)?;
    let written = fields.optional("format");
    let named = match &written {
        Some(field) => named(field, &mut reading.problems),
        None => Some(Named::Plain(Format::Json)),
    };
    let (file, message) = (fields.optional("schema_file"), fields.optional("message"));
    fields.not_yet("inner", &mut reading.problems);
    fields.finish(&mut reading.problems);
    match (named?, file) {
        (Named::Schema(language), Some(file)) => given::schema(&file, language, message, reading).map(Format::Given),
        (Named::Schema(language), None) => {
            unneeded(message, "the registry's records say which message they are", &mut reading.problems);
            if registry.is_none() {
                let hint = "Set schema_registry.url, or schema_file beside the format";
                let what = format!("{} needs a schema, and there is no schema registry", language.as_str());
                written.as_ref().unwrap_or(field).problem(&mut reading.problems, what, hint);
            }
            Some(Format::Registered(language))
        }
        (Named::Plain(format), file) => {
            let why = format!("{} has no schema", format.as_str());
            unneeded(file, &why, &mut reading.problems);
            unneeded(message, &why, &mut reading.problems);
            Some(format)
        }
    }
}

fn named(field: &Field<'_>, problems: &mut Problems) -> Option<Named> {
    if let Data::String(name) = &field.node.data
        && LATER.contains(&name.as_str())
    {
        field.problem(problems, format!("`{name}` is not yet available in this version"), "");
        return None;
    }
    let plain = Format::PLAIN.map(|format| (format.as_str(), Named::Plain(format)));
    let schemas = Language::ALL.map(|language| (language.as_str(), Named::Schema(language)));
    let table: Vec<_> = plain.into_iter().chain(schemas).collect();
    let words: Vec<_> = table.iter().enumerate().map(|(at, (word, _))| (*word, at)).collect();
    Some(table[field.one_of(&words, problems)?].1.clone())
}

fn unneeded(field: Option<Field<'_>>, why: &str, problems: &mut Problems) {
    if let Some(field) = field {
        field.problem(problems, format!("is not for this: {why}"), "Leave it out");
    }
}
