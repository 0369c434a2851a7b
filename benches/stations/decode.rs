//! Record to domain event: what the official clients wrote in each format of a registry, beside the same in JSON.

use crate::order;
use base64::{Engine, engine::general_purpose::STANDARD};
use criterion::Criterion;
use hookline::decode::decode;
use hookline::decode::decoding::Decoding;
use hookline::decode::format::Format;
use hookline::decode::schemas::Schemas;
use hookline::model::record::Record;
use hookline::model::schema::{Language, Reference, SchemaId, SchemaText};
use serde_json::Value;
use std::hint::black_box;

/// One record of each language.
const FRAMES: [(&str, Language); 3] = [
    ("an order with every kind of field", Language::Avro),
    ("an order, the second message of its file", Language::Protobuf),
    ("an order whose schema is named in a prefix", Language::JsonSchema),
];

pub(crate) fn run(criterion: &mut Criterion) {
    let fixture: Value = serde_json::from_str(include_str!("../../tests/fixtures/registry/frames.json")).unwrap();
    let schemas = learnt(&fixture["schemas"]);
    let mut group = criterion.benchmark_group("decode");
    for (name, language) in FRAMES {
        let frames = fixture["frames"].as_array().unwrap();
        let frame = frames.iter().find(|frame| frame["format"] == language.as_str() && frame["name"] == name).unwrap();
        let value = STANDARD.decode(frame["value"].as_str().unwrap()).unwrap();
        let json = frame["payload"].to_string();
        let sizes = format!("{}, {} bytes", language.as_str(), value.len());
        let registered = Record { value: Some(value.into()), ..order::record("") };
        let plain = order::record(&json);
        for (name, format, record) in [
            (sizes, Format::Registered(language), registered),
            (format!("the same as json, {} bytes", json.len()), Format::Json, plain),
        ] {
            let decoding = Decoding { format, ..Decoding::default() };
            decode(&decoding, &record, &schemas, 1 << 20).unwrap();
            group.bench_function(format!("{}: {name}", language.as_str()), |b| {
                b.iter(|| decode(&decoding, black_box(&record), &schemas, 1 << 20).unwrap().len());
            });
        }
    }
    group.finish();
}

/// All schemas of the fixture, each with those it refers to.
fn learnt(held: &Value) -> Schemas {
    let (held, schemas) = (held.as_array().unwrap(), Schemas::default());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for schema in held {
        let language = match schema["schemaType"].as_str().unwrap() {
            "AVRO" => Language::Avro,
            "PROTOBUF" => Language::Protobuf,
            _ => Language::JsonSchema,
        };
        let reference = |reference: &Value| {
            let same = |one: &&Value| one["subject"] == reference["subject"] && one["version"] == reference["version"];
            Reference { name: text(&reference["name"]), text: text(&held.iter().find(same).unwrap()["schema"]) }
        };
        let references = schema["references"].as_array().unwrap().iter().map(reference).collect();
        let id = SchemaId::Number(u32::try_from(schema["id"].as_u64().unwrap()).unwrap());
        schemas.learn(id, &SchemaText { language, text: text(&schema["schema"]), references }).unwrap();
    }
    schemas
}
