//! Protobuf messages: binary in, JSON out, by descriptors.
//!
//! Fields have the names of the `.proto` file; 64-bit integers stay numbers, enums are named, what has no presence is
//! there with its default. Google's well-known types are as in Protobuf's own JSON. What it costs is bounded by the
//! bytes: defaults, which take none, are counted.

mod compile;
mod known;

use crate::decode::floating;
use crate::decode::protobuf::compile::Sources;
use crate::model::schema::Reference;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FileDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, SerializeOptions,
    Value as Protobuf,
};
use serde_json::{Map, Value};

/// Values that may be given beyond one for each byte: defaults take none.
const FREE: usize = 1 << 16;
/// What Protobuf's JSON writes in a form of its own.
const WELL_KNOWN: [&str; 16] = [
    "BoolValue",
    "BytesValue",
    "DoubleValue",
    "Duration",
    "Empty",
    "FieldMask",
    "FloatValue",
    "Int32Value",
    "Int64Value",
    "ListValue",
    "StringValue",
    "Struct",
    "Timestamp",
    "UInt32Value",
    "UInt64Value",
    "Value",
];
/// As JSON. The bytes alone may nest 100 deep, but an `Any` begins anew.
const DEPTH: usize = 128;
/// The full name of what may be any message.
const ANY: &str = "google.protobuf.Any";

/// A file of messages.
#[derive(Debug)]
pub struct File(FileDescriptor);

/// One message.
#[derive(Debug)]
pub struct Message(MessageDescriptor);

/// Why there is no such message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The file cannot be used.
    #[error("{0}")]
    File(String),
    /// It holds no message of this name, but these.
    #[error("there is no such message, but {}", .0.join(", "))]
    Absent(Vec<String>),
}

/// Writes one message down as JSON.
struct Writer {
    /// Values that may still be given.
    left: usize,
    depth: usize,
}

// === impl File ===

impl File {
    /// A file as a registry holds it; its references are the files that it imports.
    pub(crate) fn of_registry(text: &str, references: &[Reference]) -> Result<Self, String> {
        compile::file(Sources::of_registry(text, references)).map(Self)
    }

    /// The message at this place, counted from 0 in the order of the file, from the outermost in.
    pub(crate) fn message(&self, place: &[usize]) -> Result<Message, String> {
        let (outermost, inner) = place.split_first().ok_or("the record does not say which message it is")?;
        let first = self.0.messages().nth(*outermost);
        let found = inner.iter().fold(first, |outer, at| outer?.child_messages().nth(*at));
        found.map(Message).ok_or_else(|| format!("the file holds no message {place:?}"))
    }
}

// === impl Message ===

impl Message {
    /// The message `name` of the file `file`; `open` gives the text of what is imported.
    ///
    /// # Errors
    /// The file cannot be compiled, or does not hold the message.
    pub fn of_file(
        name: &str,
        file: (&str, &str),
        open: impl Fn(&str) -> Option<String> + 'static,
    ) -> Result<Self, MessageError> {
        let file = compile::file(Sources::new(file, open)).map_err(MessageError::File)?;
        Self::named(name, file.parent_pool())
    }

    /// The message `name` of a compiled descriptor set (`protoc --include_imports --descriptor_set_out`).
    ///
    /// # Errors
    /// The bytes are none, or it does not hold the message.
    pub fn of_set(name: &str, set: &[u8]) -> Result<Self, MessageError> {
        let pool = compile::set(set).map_err(MessageError::File)?;
        Self::named(name, &pool)
    }

    pub(crate) fn decode(&self, payload: &[u8]) -> Result<Value, String> {
        let message = DynamicMessage::decode(self.0.clone(), payload);
        let message = message.map_err(|error| format!("it is no {}: {error}", self.0.full_name()))?;
        Writer { left: payload.len() + FREE, depth: 0 }.message(&message)
    }

    fn named(name: &str, pool: &DescriptorPool) -> Result<Self, MessageError> {
        pool.get_message_by_name(name).map(Self).ok_or_else(|| {
            let all = pool.all_messages().filter(|one| !one.is_map_entry()).map(|one| one.full_name().to_owned());
            MessageError::Absent(all.filter(|one| !one.starts_with("google.protobuf.")).collect())
        })
    }
}

// === impl Writer ===

impl Writer {
    fn message(&mut self, message: &DynamicMessage) -> Result<Value, String> {
        let descriptor = message.descriptor();
        if is_well_known(&descriptor) {
            let options = SerializeOptions::new().stringify_64_bit_integers(false);
            return message
                .serialize_with_options(serde_json::value::Serializer, &options)
                .map_err(|error| format!("{}: {error}", descriptor.full_name()));
        }
        if self.depth == DEPTH {
            return Err(format!("it is nested deeper than {DEPTH} levels"));
        }
        self.depth += 1;
        let written = if descriptor.full_name() == ANY { self.any(message) } else { self.fields(message) };
        self.depth -= 1;
        written.map(Value::Object)
    }

    fn fields(&mut self, message: &DynamicMessage) -> Result<Map<String, Value>, String> {
        let mut map = Map::new();
        let fields = message.descriptor();
        for field in fields.fields().filter(|field| !field.supports_presence() || message.has_field(field)) {
            let value = self.value(&message.get_field(&field), &field.kind());
            map.insert(field.name().to_owned(), value.map_err(|why| format!("{}: {why}", field.name()))?);
        }
        for (extension, value) in message.extensions() {
            map.insert(format!("[{}]", extension.full_name()), self.value(value, &extension.kind())?);
        }
        Ok(map)
    }

    /// The message within, with its type beside its fields; of a type that the schema does not hold, the bytes.
    fn any(&mut self, any: &DynamicMessage) -> Result<Map<String, Value>, String> {
        let (url, bytes) = (any.get_field_by_name("type_url"), any.get_field_by_name("value"));
        let url = url.as_ref().and_then(|url| url.as_str()).unwrap_or_default();
        let bytes = bytes.as_ref().and_then(|bytes| bytes.as_bytes()).map(AsRef::as_ref).unwrap_or_default();
        let mut map = Map::from_iter([("@type".to_owned(), url.into())]);
        let name = url.rsplit('/').next().unwrap_or_default();
        let Some(descriptor) = any.descriptor().parent_pool().get_message_by_name(name) else {
            map.insert("value".to_owned(), STANDARD.encode::<&[u8]>(bytes).into());
            return Ok(map);
        };
        let known = is_well_known(&descriptor);
        let message = DynamicMessage::decode(descriptor, bytes).map_err(|error| format!("it is no {name}: {error}"))?;
        match self.message(&message)? {
            Value::Object(fields) if !known => map.extend(fields),
            value => drop(map.insert("value".to_owned(), value)),
        }
        Ok(map)
    }

    fn value(&mut self, value: &Protobuf, kind: &Kind) -> Result<Value, String> {
        self.left = self.left.checked_sub(1).ok_or("it holds too many values for its bytes")?;
        Ok(match value {
            Protobuf::Bool(value) => (*value).into(),
            Protobuf::I32(value) => (*value).into(),
            Protobuf::I64(value) => (*value).into(),
            Protobuf::U32(value) => (*value).into(),
            Protobuf::U64(value) => (*value).into(),
            Protobuf::F32(value) => floating::float(*value),
            Protobuf::F64(value) => floating::double(*value),
            Protobuf::String(text) => text.as_str().into(),
            Protobuf::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Protobuf::EnumNumber(number) => symbol(*number, kind),
            Protobuf::Message(message) => return self.message(message),
            Protobuf::List(items) => {
                Value::Array(items.iter().map(|item| self.value(item, kind)).collect::<Result<_, _>>()?)
            }
            Protobuf::Map(entries) => {
                let kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
                let kind = kind.ok_or("a map has no entries")?;
                let mut sorted = entries.iter().map(|(key, value)| (text(key), value)).collect::<Vec<_>>();
                sorted.sort_by(|(a, _), (b, _)| a.cmp(b)); // it comes in no order: let the same message be the same JSON
                let entry = |(key, value)| Ok::<_, String>((key, self.value(value, &kind)?));
                Value::Object(sorted.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
        })
    }
}

/// The name of an enum's value; one that the enum does not know stays a number.
fn symbol(number: i32, kind: &Kind) -> Value {
    let value = kind.as_enum().and_then(|known| known.get_value(number));
    value.map_or_else(|| number.into(), |value| value.name().into())
}

fn text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn is_well_known(descriptor: &MessageDescriptor) -> bool {
    descriptor.full_name().strip_prefix("google.protobuf.").is_some_and(|name| WELL_KNOWN.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ORDER: &str = r#"
        syntax = "proto3";
        package shop;
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/wrappers.proto";
        enum State { NEW = 0; PAID = 1; }
        message Order {
          string order_id = 1;
          uint64 cents = 2;
          State state = 3;
          optional string note = 4;
          repeated Line lines = 5;
          map<string, int64> counts = 6;
          google.protobuf.Timestamp placed_at = 7;
          google.protobuf.Int64Value points = 8;
          bytes raw = 9;
          oneof pay { string card = 10; double cash = 11; }
          Order parent = 12;
          float ratio = 13;
          message Line { string sku = 1; int32 qty = 2; }
        }
        message Other { Order.Line line = 1; }
    "#;

    /// A length, as a varint.
    fn size(mut size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while size > 0x7f {
            bytes.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        bytes.push(size as u8);
        bytes
    }

    fn file() -> File {
        File::of_registry(ORDER, &[]).unwrap()
    }

    #[track_caller]
    fn read(place: &[usize], payload: &[u8]) -> Value {
        file().message(place).unwrap().decode(payload).unwrap()
    }

    #[test]
    fn what_has_no_presence_is_there_with_its_default_and_the_rest_is_left_out() {
        let empty =
            json!({"order_id": "", "cents": 0, "state": "NEW", "lines": [], "counts": {}, "raw": "", "ratio": 0.0});
        assert_eq!(read(&[0], &[]), empty);
    }

    #[test]
    fn every_kind_of_field_is_read() {
        let payload = [
            &b"\x0a\x03o-1\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x18\x01\x22\x00"[..],
            b"\x2a\x05\x0a\x01a\x10\x02\x2a\x00\x32\x05\x0a\x01k\x10\x07",
            b"\x3a\x06\x08\x80\x88\xd8\xca\x06\x42\x02\x08\x05\x4a\x02\xff\x00\x59\x00\x00\x00\x00\x00\x00\xf8\x3f",
            b"\x6d\xcd\xcc\xcc\x3d",
        ]
        .concat();
        let value = read(&[0], &payload);
        assert_eq!(value["cents"].to_string(), u64::MAX.to_string());
        assert_eq!(value["ratio"].to_string(), "0.1");
        let expected = json!({"order_id": "o-1", "cents": u64::MAX, "state": "PAID", "note": "",
            "lines": [{"sku": "a", "qty": 2}, {"sku": "", "qty": 0}], "counts": {"k": 7}, "raw": "/wA=",
            "placed_at": value["placed_at"], "points": 5, "cash": 1.5, "ratio": value["ratio"]});
        assert_eq!(value, expected);
        assert!(value["placed_at"].as_str().unwrap().starts_with("2026-"), "{value}");
        assert_eq!(read(&[0], b"\x18\x09")["state"], json!(9), "an unknown value of an enum stays a number");
    }

    #[test]
    fn sr_3_the_place_finds_nested_messages() {
        assert_eq!(read(&[0, 1], b"\x0a\x01a"), json!({"sku": "a", "qty": 0}), "0 is what the map's entries are");
        assert_eq!(read(&[1], b"\x0a\x03\x0a\x01a"), json!({"line": {"sku": "a", "qty": 0}}));
        for place in [&[2][..], &[0, 9], &[1, 0], &[]] {
            assert!(file().message(place).is_err(), "{place:?}");
        }
    }

    #[test]
    fn what_is_no_such_message_is_told() {
        let told = file().message(&[0]).unwrap().decode(b"\x0a\x05a").unwrap_err();
        assert!(told.starts_with("it is no shop.Order: "), "{told}");
    }

    #[test]
    fn what_takes_no_bytes_cannot_fill_the_memory_nor_what_is_nested_the_stack() {
        let lines = b"\x2a\x00".repeat(100_000);
        let told = file().message(&[0]).unwrap().decode(&lines).unwrap_err();
        assert!(told.ends_with("it holds too many values for its bytes"), "{told}");
        let mut nested = Vec::new();
        for _ in 0..200 {
            nested = [&[0x62], &size(nested.len())[..], &nested].concat();
        }
        assert!(file().message(&[0]).unwrap().decode(&nested).unwrap_err().contains("recursion"));
    }

    #[test]
    fn what_may_be_any_message_is_told_with_its_type_and_cannot_nest_without_end() {
        let text =
            "syntax = \"proto3\"; import \"google/protobuf/any.proto\"; import \"google/protobuf/duration.proto\";
            message A { google.protobuf.Any any = 1; } message B { int64 n = 1; repeated B more = 2; }";
        let message = File::of_registry(text, &[]).unwrap().message(&[0]).unwrap();
        let any = |name: &str, value: &[u8]| {
            let url = format!("x/{name}");
            let parts = [(0x0a, url.as_bytes()), (0x12, value)]
                .map(|(tag, bytes)| [&[tag], &size(bytes.len())[..], bytes].concat());
            parts.concat()
        };
        let within = |any: Vec<u8>| [&[0x0a], &size(any.len())[..], &any].concat();
        let read = |any: Vec<u8>| message.decode(&within(any)).map(|value| value["any"].clone());
        assert_eq!(read(any("B", &[8, 7])).unwrap(), json!({"@type": "x/B", "n": 7, "more": []}));
        let duration = json!({"@type": "x/google.protobuf.Duration", "value": "1s"});
        assert_eq!(read(any("google.protobuf.Duration", &[8, 1])).unwrap(), duration);
        assert_eq!(read(any("C", &[0xff])).unwrap(), json!({"@type": "x/C", "value": "/w=="}));
        assert!(read(any("B", &[0xff])).unwrap_err().contains("it is no B"));
        assert!(read(any("B", &b"\x12\x00".repeat(100_000))).unwrap_err().contains("too many values"));
        let deep = (0..10_000).fold(Vec::new(), |inner, _| any("A", &within(inner)));
        assert!(read(deep).unwrap_err().contains("deeper than 128"));
    }

    #[test]
    fn a_message_is_found_by_its_name_in_a_file_and_its_imports_or_in_a_set() {
        let open = |name: &str| {
            (name == "common/money.proto").then(|| "syntax = \"proto3\"; message Money { int64 n = 1; }".to_owned())
        };
        let text =
            "syntax = \"proto3\"; package a; import \"common/money.proto\"; message B { .Money m = 1; message C {} }";
        let message = Message::of_file("a.B", ("a.proto", text), open).unwrap();
        assert_eq!(message.decode(b"\x0a\x02\x08\x07").unwrap(), json!({"m": {"n": 7}}));
        let set = message.0.parent_pool().encode_to_vec();
        assert!(Message::of_set("a.B.C", &set).is_ok());
        let Err(MessageError::Absent(known)) = Message::of_set("B", &set) else { panic!("there is no B") };
        assert_eq!(known, ["Money", "a.B", "a.B.C"]);
        let Err(MessageError::File(told)) = Message::of_file("a.B", ("a.proto", text), |_| None) else { panic!() };
        assert!(told.contains("common/money.proto"), "{told}");
        assert!(matches!(Message::of_set("B", b"\xff"), Err(MessageError::File(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            for place in [&[0][..], &[1], &[0, 1]] {
                drop(file().message(place).unwrap().decode(&payload));
            }
        }
    }
}
