//! `hookline export`: what is published, for others to read, and the shapes of our own files, for editors.

use crate::catalogue::published::Catalogue;
use crate::catalogue::{asyncapi, json_schema, openapi};
use crate::cli::common::{Common, Exit};
use crate::cli::loaded;
use crate::cli::output::Output;
use anyhow::Context;
use serde_json::Value;
use std::path::PathBuf;

/// Prints what is published as a document for others
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline export asyncapi --out asyncapi.json
  hookline export openapi > webhooks.json        # each event type is a webhook that a receiver implements
  hookline export mappings-schema --out mappings.schema.json

  Editors complete and check mapping files that begin with
  # yaml-language-server: $schema=mappings.schema.json")]
pub struct Args {
    /// What to export
    pub what: What,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// The event types as an AsyncAPI 3.0 document
    Asyncapi,
    /// The event types as the webhooks of an OpenAPI 3.1 document
    #[value(alias = "openapi-webhooks")]
    Openapi,
    /// The event types as one JSON Schema of CloudEvents
    JsonSchema,
    /// The JSON Schema of config files, for editors
    ConfigSchema,
    /// The JSON Schema of mapping files, for editors
    MappingsSchema,
    /// The JSON Schema of subscription files, for editors
    SubscriptionsSchema,
}

/// Exports it.
///
/// # Errors
/// The file cannot be written.
pub fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let text = match args.what.source() {
        Source::Ours(text) => text.trim_end().to_owned(),
        Source::Catalogue(document) => {
            let config = match loaded::load(&common, &output) {
                Ok(config) => config,
                Err(exit) => return Ok(exit),
            };
            if config.catalogue.types().is_empty() {
                output.complain("no event types are published; write them beside the mappings, as `events:`");
            }
            serde_json::to_string_pretty(&document(&config.catalogue))?
        }
    };
    match &args.out {
        None => output.line(text)?,
        Some(file) => {
            std::fs::write(file, format!("{text}\n")).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(Exit::Good)
}

// === impl What ===

/// Where a document comes from.
enum Source {
    /// It is the same for everybody.
    Ours(&'static str),
    /// It is made of what is published.
    Catalogue(fn(&Catalogue) -> Value),
}

impl What {
    fn source(self) -> Source {
        match self {
            Self::Asyncapi => Source::Catalogue(asyncapi::document),
            Self::Openapi => Source::Catalogue(openapi::document),
            Self::JsonSchema => Source::Catalogue(json_schema::document),
            Self::ConfigSchema => Source::Ours(include_str!("../../schemas/config.schema.json")),
            Self::MappingsSchema => Source::Ours(include_str!("../../schemas/mappings.schema.json")),
            Self::SubscriptionsSchema => Source::Ours(include_str!("../../schemas/subscriptions.schema.json")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::schema::Schema;
    use crate::config::{Config, rules};
    use crate::subscriptions::shape::WRITABLE;
    use crate::yaml::reader;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn ours(what: What) -> Value {
        match what.source() {
            Source::Ours(text) => serde_json::from_str(text).unwrap(),
            Source::Catalogue(_) => panic!("{what:?} is made of a catalogue"),
        }
    }

    #[track_caller]
    fn assert_fits(what: What, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let document = reader::read(&file.into(), &fs::read_to_string(path).unwrap()).unwrap().to_json();
        let misfits = Schema::compile(ours(what)).unwrap().misfits(&document);
        assert!(misfits.is_empty(), "{file}: {misfits:#?}");
    }

    #[test]
    fn our_own_files_are_what_editors_are_told() {
        assert_fits(What::ConfigSchema, "config/hookline.example.yaml");
        assert_fits(What::ConfigSchema, "config/hookline.yaml");
        assert_fits(What::ConfigSchema, "config/start/hookline.yaml");
        assert_fits(What::MappingsSchema, "config/mappings/shop.yaml");
        assert_fits(What::MappingsSchema, "config/start/mappings/orders.yaml");
    }

    /// What the reader of `text` says is known where it holds a key that nobody knows.
    fn known(text: &str) -> Vec<BTreeSet<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, text).unwrap();
        let problems = rules::load(&[file]).map(drop).unwrap_err().problems;
        let told = problems.0.iter().filter_map(|problem| problem.hint.strip_prefix("Known are "));
        told.map(|known| known.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()).collect()
    }

    #[test]
    fn editors_know_the_keys_of_mapping_files_that_the_reader_knows() {
        let schema = ours(What::MappingsSchema);
        let keys = |pointer: &str| -> BTreeSet<String> {
            let properties = schema.pointer(&format!("{pointer}/properties")).unwrap_or_else(|| panic!("{pointer}"));
            properties.as_object().unwrap().keys().cloned().collect()
        };
        const ODD: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: 1";
        let places = [
            (format!("{ODD}\n"), ""),
            (format!("mappings: [{{ name: a, from: t, emit: {{ type: t }}, {ODD} }}]"), "/properties/mappings/items"),
            (
                format!("mappings: [{{ name: a, from: t, emit: {{ type: t, {ODD} }} }}]"),
                "/properties/mappings/items/properties/emit",
            ),
            (format!("events: {{ t: {{ {ODD} }} }}"), "/properties/events/additionalProperties"),
            (
                format!("tests: [{{ name: a, record: {{ topic: t, payload: 1 }}, expect: [], {ODD} }}]"),
                "/properties/tests/items",
            ),
            (
                format!("tests: [{{ name: a, record: {{ topic: t, payload: 1, {ODD} }}, expect: [] }}]"),
                "/properties/tests/items/properties/record",
            ),
            (
                format!("tests: [{{ name: a, record: {{ topic: t, payload: 1 }}, expect: [{{ {ODD} }}] }}]"),
                "/properties/tests/items/properties/expect/items",
            ),
        ];
        for (text, pointer) in places {
            assert_eq!(known(&text), [keys(pointer)], "{text}");
        }
    }

    #[test]
    fn editors_know_the_keys_of_the_config_that_the_reader_knows() {
        let (schema, folder) = (ours(What::ConfigSchema), tempfile::tempdir().unwrap());
        let file = folder.path().join("hookline.yaml");
        let mut paths = Vec::new();
        leaves(&schema, "", &mut paths);
        assert!(paths.len() > 50, "{paths:?}");
        // Null stands for the default: a key that is known has no other mistake.
        fs::write(&file, "mappings: []\n").unwrap();
        for path in paths {
            let loaded = Config::load(&file, &[format!("{path}=")]);
            let unknown = loaded.err().filter(|error| error.to_string().contains("is not a known key"));
            assert!(unknown.is_none(), "{path}: {}", unknown.unwrap());
        }
    }

    fn leaves(schema: &Value, path: &str, found: &mut Vec<String>) {
        match schema.get("properties").and_then(Value::as_object) {
            None => found.push(path.to_owned()),
            Some(properties) => properties.iter().for_each(|(key, below)| {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(below, &format!("{path}{dot}{key}"), found);
            }),
        }
    }

    #[test]
    fn editors_know_the_fields_of_a_subscription() {
        let schema = ours(What::SubscriptionsSchema);
        let fields = schema.pointer("/properties/subscriptions/items/properties").unwrap().as_object().unwrap();
        let known: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        let ours = WRITABLE.into_iter().chain(["id", "secrets", "status"]);
        assert_eq!(known, ours.collect());
    }
}
