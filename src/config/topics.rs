//! `topics:` how the records of a topic are decoded.

use crate::config::reading::Reading;
use crate::decode::decoding::{Compression, Decoding, Envelope, Names, Tombstones};
use crate::decode::format::Format;
use crate::map::mapping::TopicSelector;
use crate::model::problem::Problems;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Data;

/// Formats whose decoders are not there yet.
const LATER: [&str; 3] = ["avro", "protobuf", "json_schema"];
/// What a word under `format` stands for. `debezium` is an envelope around `inner`.
const FORMATS: [(&str, (Format, Envelope)); 5] = [
    ("json", (Format::Json, Envelope::None)),
    ("text", (Format::Text, Envelope::None)),
    ("bytes", (Format::Bytes, Envelope::None)),
    ("cloudevents", (Format::CloudEvents, Envelope::None)),
    ("debezium", (Format::Json, Envelope::Debezium)),
];
/// What may stand within an envelope.
const INNER: [(&str, Format); 1] = [("json", Format::Json)];
const TOMBSTONES: [(&str, Tombstones); 2] = [("event", Tombstones::Event), ("skip", Tombstones::Skip)];
const COMPRESSION: [(&str, Compression); 4] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
    ("auto", Compression::Auto),
];
const NAMES: [(&str, Names); 2] = [("exact", Names::Exact), ("any_case", Names::AnyCase)];

/// How the topics that are named are decoded; exact names come before patterns, so that the first that fits counts.
pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Vec<(TopicSelector, Decoding)> {
    let mut formats = Vec::new();
    let Some(field) = field else { return formats };
    for (entry, field) in field.entries(&mut reading.problems).unwrap_or_default() {
        let selector = TopicSelector::parse(&entry.key);
        let decoding = decoding(&field, &mut reading.problems);
        match selector {
            Ok(selector) => formats.extend(decoding.map(|decoding| (selector, decoding))),
            Err(error) => reading.problems.add(&entry.place, field.path, error.to_string(), ""),
        }
    }
    formats.sort_by_key(|(selector, _)| matches!(selector, TopicSelector::Pattern(..)));
    formats
}

fn decoding(field: &Field<'_>, problems: &mut Problems) -> Option<Decoding> {
    let mut fields = Fields::of(field, problems)?;
    let format = fields.optional("format").map_or(Some(FORMATS[0].1), |field| word(&field, &FORMATS, problems));
    let inner = fields.optional("inner");
    let tombstones = fields.optional("tombstones").map(|field| field.one_of(&TOMBSTONES, problems));
    let compression = fields.optional("compression").map(|field| field.one_of(&COMPRESSION, problems));
    let names = fields.optional("names");
    fields.finish(problems);
    let (format, envelope) = format?;
    let inner = inner.map(|field| {
        only_with(&field, ("debezium", envelope == Envelope::Debezium), problems);
        word(&field, &INNER, problems)
    });
    let names = names.map(|field| {
        only_with(&field, ("cloudevents", format == Format::CloudEvents), problems);
        field.one_of(&NAMES, problems)
    });
    Some(Decoding {
        format: inner.unwrap_or(Some(format))?,
        envelope,
        tombstones: tombstones.unwrap_or(Some(Tombstones::default()))?,
        compression: compression.unwrap_or(Some(Compression::default()))?,
        names: names.unwrap_or(Some(Names::default()))?,
    })
}

fn word<T: Copy>(field: &Field<'_>, table: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    match &field.node.data {
        Data::String(name) if LATER.contains(&name.as_str()) => {
            field.problem(problems, format!("`{name}` is not yet available in this version"), "");
            None
        }
        _ => field.one_of(table, problems),
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
        let mut reading = Reading::new(Path::new("c.yaml"));
        let read = read(Some(Field::new(&node, "topics")), &mut reading);
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
";
        let read = read_all(text).unwrap();
        assert_eq!(read[0], Decoding::default());
        let b = Decoding {
            format: Format::CloudEvents,
            names: Names::AnyCase,
            compression: Compression::Zstd,
            ..Decoding::default()
        };
        assert_eq!(read[1], b);
        let c = Decoding {
            envelope: Envelope::Debezium,
            tombstones: Tombstones::Skip,
            compression: Compression::Auto,
            ..Decoding::default()
        };
        assert_eq!(read[2], c);
        assert_eq!((read[3].format, read[3].compression), (Format::Bytes, Compression::Gzip));
    }

    #[test]
    fn all_mistakes_are_told_with_place_and_hint() {
        let text = "\
a: { format: jsn }
b: { format: avro }
c: { inner: json }
d: { format: debezium, inner: text }
e: { names: any_case }
f: { tombstones: drop, compression: lz4 }
g h: {}
";
        let told = read_all(text).unwrap_err();
        let expected = [
            "c.yaml:1:14: topics.a.format: `jsn` is none of `json`",
            "c.yaml:2:14: topics.b.format: `avro` is not yet available",
            "c.yaml:3:13: topics.c.inner: says nothing without `format: debezium`. Leave it out",
            "c.yaml:4:31: topics.d.inner: `text` is none of `json`",
            "c.yaml:5:13: topics.e.names: says nothing without `format: cloudevents`. Leave it out",
            "c.yaml:6:18: topics.f.tombstones: `drop` is none of `event`, `skip`",
            "c.yaml:6:37: topics.f.compression: `lz4` is none of `none`, `gzip`, `zstd`, `auto`",
            "c.yaml:7:1: topics.g h: `g h` is not a topic name",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\n{expected}");
        }
    }
}
