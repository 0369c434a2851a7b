//! `topics:` how the records of a topic are decoded.

use crate::config::given;
use crate::config::reading::Reading;
use crate::decode::decoding::{Compression, Decoding, Envelope, Names, Tombstones};
use crate::decode::format::Format;
use crate::map::mapping::TopicSelector;
use crate::model::problem::Problems;
use crate::model::schema::Language;
use crate::registry::settings::RegistrySettings;
use crate::yaml::fields::{Field, Fields};

/// What the name of a format stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Json,
    Text,
    Bytes,
    CloudEvents,
    /// By a schema, which is given or looked up.
    Schema(Language),
}

/// What is written about the schema of records.
struct BySchema<'f> {
    /// Where the format is named, or would be.
    named: Field<'f>,
    file: Option<Field<'f>>,
    message: Option<Field<'f>>,
}

const AVRO: (&str, Named) = (Language::Avro.as_str(), Named::Schema(Language::Avro));
const PROTOBUF: (&str, Named) = (Language::Protobuf.as_str(), Named::Schema(Language::Protobuf));
const JSON_SCHEMA: (&str, Named) = (Language::JsonSchema.as_str(), Named::Schema(Language::JsonSchema));

/// What a word under `format` stands for. `debezium` is an envelope around `inner`.
const FORMATS: [(&str, (Named, Envelope)); 8] = [
    ("json", (Named::Json, Envelope::None)),
    ("text", (Named::Text, Envelope::None)),
    ("bytes", (Named::Bytes, Envelope::None)),
    (AVRO.0, (AVRO.1, Envelope::None)),
    (PROTOBUF.0, (PROTOBUF.1, Envelope::None)),
    (JSON_SCHEMA.0, (JSON_SCHEMA.1, Envelope::None)),
    ("cloudevents", (Named::CloudEvents, Envelope::None)),
    ("debezium", (Named::Json, Envelope::Debezium)),
];
/// What may stand within an envelope.
const INNER: [(&str, Named); 4] = [("json", Named::Json), AVRO, PROTOBUF, JSON_SCHEMA];
const TOMBSTONES: [(&str, Tombstones); 2] = [("event", Tombstones::Event), ("skip", Tombstones::Skip)];
const COMPRESSION: [(&str, Compression); 4] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
    ("auto", Compression::Auto),
];
const NAMES: [(&str, Names); 2] = [("exact", Names::Exact), ("any_case", Names::AnyCase)];

/// How the topics that are named are decoded; exact names come before patterns, so that the first that fits counts.
pub(crate) fn read(
    field: Option<Field<'_>>,
    registry: Option<&RegistrySettings>,
    reading: &mut Reading,
) -> Vec<(TopicSelector, Decoding)> {
    let mut formats = Vec::new();
    let Some(field) = field else { return formats };
    for (entry, field) in field.entries(&mut reading.problems).unwrap_or_default() {
        let selector = TopicSelector::parse(&entry.key);
        let decoding = decoding(&field, registry, reading);
        match selector {
            Ok(selector) => formats.extend(decoding.map(|decoding| (selector, decoding))),
            Err(error) => reading.problems.add(&entry.place, field.path, error.to_string(), ""),
        }
    }
    formats.sort_by_key(|(selector, _)| matches!(selector, TopicSelector::Pattern(..)));
    formats
}

fn decoding(field: &Field<'_>, registry: Option<&RegistrySettings>, reading: &mut Reading) -> Option<Decoding> {
    let problems = &mut reading.problems;
    let mut fields = Fields::of(field, problems)?;
    let written = fields.optional("format");
    let format = written.as_ref().map_or(Some(FORMATS[0].1), |field| field.one_of(&FORMATS, problems));
    let (inner, names) = (fields.optional("inner"), fields.optional("names"));
    let tombstones = fields.optional("tombstones").map(|field| field.one_of(&TOMBSTONES, problems));
    let compression = fields.optional("compression").map(|field| field.one_of(&COMPRESSION, problems));
    let (file, message) = (fields.optional("schema_file"), fields.optional("message"));
    fields.finish(problems);
    let (named, envelope) = format?;
    let within = inner.as_ref().map(|field| {
        only_with(field, ("debezium", envelope == Envelope::Debezium), problems);
        field.one_of(&INNER, problems)
    });
    let names = names.map(|field| {
        only_with(&field, ("cloudevents", named == Named::CloudEvents), problems);
        field.one_of(&NAMES, problems)
    });
    let schema = BySchema { named: inner.or(written).unwrap_or_else(|| field.clone()), file, message };
    Some(Decoding {
        format: self::format(within.unwrap_or(Some(named))?, schema, registry, reading)?,
        envelope,
        tombstones: tombstones.unwrap_or(Some(Tombstones::default()))?,
        compression: compression.unwrap_or(Some(Compression::default()))?,
        names: names.unwrap_or(Some(Names::default()))?,
    })
}

fn format(
    named: Named,
    schema: BySchema<'_>,
    registry: Option<&RegistrySettings>,
    reading: &mut Reading,
) -> Option<Format> {
    match named {
        Named::Json => Some(without_schema(Format::Json, schema, &mut reading.problems)),
        Named::Text => Some(without_schema(Format::Text, schema, &mut reading.problems)),
        Named::Bytes => Some(without_schema(Format::Bytes, schema, &mut reading.problems)),
        Named::CloudEvents => Some(without_schema(Format::CloudEvents, schema, &mut reading.problems)),
        Named::Schema(language) => by_schema(language, schema, registry, reading),
    }
}

fn without_schema(format: Format, schema: BySchema<'_>, problems: &mut Problems) -> Format {
    let why = format!("{} has no schema", format.as_str());
    unneeded(schema.file, &why, problems);
    unneeded(schema.message, &why, problems);
    format
}

fn by_schema(
    language: Language,
    schema: BySchema<'_>,
    registry: Option<&RegistrySettings>,
    reading: &mut Reading,
) -> Option<Format> {
    if let Some(file) = schema.file {
        return given::schema(&file, language, schema.message, reading).map(Format::Given);
    }
    unneeded(schema.message, "the registry's records say which message they are", &mut reading.problems);
    if registry.is_none() {
        let hint = "Set schema_registry.url, or schema_file beside the format";
        let what = format!("{} needs a schema, and there is no schema registry", language.as_str());
        schema.named.problem(&mut reading.problems, what, hint);
    }
    Some(Format::Registered(language))
}

fn unneeded(field: Option<Field<'_>>, why: &str, problems: &mut Problems) {
    if let Some(field) = field {
        field.problem(problems, format!("is not for this: {why}"), "Leave it out");
    }
}

/// An option that says something of one format only.
fn only_with(field: &Field<'_>, (format, is_so): (&str, bool), problems: &mut Problems) {
    if !is_so {
        field.problem(problems, format!("says nothing without `format: {format}`"), "Leave it out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::reader;
    use std::path::Path;

    /// How each topic is decoded, or what is wrong.
    fn read_all(text: &str) -> Result<Vec<Decoding>, Vec<String>> {
        let node = reader::read(&"c.yaml".into(), text).unwrap();
        let mut reading = Reading::new(Path::new("c.yaml"), |_| None);
        let registry = RegistrySettings {
            urls: vec!["http://registry".parse().unwrap()],
            credentials: None,
            ca_file: None,
            cache: 16,
        };
        let read = read(Some(Field::new(&node, "topics")), Some(&registry), &mut reading);
        let problems = reading.end().or(read);
        problems
            .map(|read| read.into_iter().map(|(_, decoding)| decoding).collect())
            .map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_word_reaches_its_setting() {
        let text = "\
a: {}
b: { format: cloudevents, names: any_case, compression: zstd }
c: { format: debezium, inner: json, tombstones: skip, compression: auto }
d: { format: bytes, compression: gzip, tombstones: event }
e: { format: debezium, inner: avro }
f: { format: json_schema, tombstones: skip }
";
        let usual = Decoding::default;
        let expected = [
            usual(),
            Decoding { format: Format::CloudEvents, names: Names::AnyCase, compression: Compression::Zstd, ..usual() },
            Decoding {
                envelope: Envelope::Debezium,
                tombstones: Tombstones::Skip,
                compression: Compression::Auto,
                ..usual()
            },
            Decoding { format: Format::Bytes, compression: Compression::Gzip, ..usual() },
            Decoding { format: Format::Registered(Language::Avro), envelope: Envelope::Debezium, ..usual() },
            Decoding { format: Format::Registered(Language::JsonSchema), tombstones: Tombstones::Skip, ..usual() },
        ];
        let told = |decoding: &[Decoding]| decoding.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>();
        assert_eq!(told(&read_all(text).unwrap()), told(&expected));
    }

    #[test]
    fn all_mistakes_are_told_with_place_and_hint() {
        let text = "\
a: { format: jsn }
c: { inner: json }
d: { format: debezium, inner: text }
e: { names: any_case }
f: { tombstones: drop, compression: lz4 }
g: { format: debezium, schema_file: a.avsc }
h: { format: debezium, inner: avro, message: a.B }
i j: {}
";
        let told = read_all(text).unwrap_err();
        let expected = [
            "c.yaml:1:14: topics.a.format: `jsn` is none of `json`",
            "c.yaml:2:13: topics.c.inner: says nothing without `format: debezium`. Leave it out",
            "c.yaml:3:31: topics.d.inner: `text` is none of `json`, `avro`",
            "c.yaml:4:13: topics.e.names: says nothing without `format: cloudevents`. Leave it out",
            "c.yaml:5:18: topics.f.tombstones: `drop` is none of `event`, `skip`",
            "c.yaml:5:37: topics.f.compression: `lz4` is none of `none`, `gzip`, `zstd`, `auto`",
            "c.yaml:6:37: topics.g.schema_file: is not for this: json has no schema",
            "c.yaml:7:46: topics.h.message: is not for this: the registry's records",
            "c.yaml:8:1: topics.i j: `i j` is not a topic name",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\n{expected}");
        }
    }
}
