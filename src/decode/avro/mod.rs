//! Avro's binary encoding (1.12, "Binary Encoding"), read by the schema that wrote it.
//!
//! Takes bytes, gives JSON: fields by name, unions as what is in them, enums by name, logical types as
//! `docs/formats.md` says. What it costs is bounded by the bytes, whatever they claim: a count of items is not
//! believed, nesting ends at a depth, and values that take no bytes are counted.

mod logical;
mod schema;

use crate::decode::avro::schema::{Field, Type, Types};
use crate::decode::floating;
use crate::model::schema::Reference;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// As JSON: so no later walk over a payload can overflow the stack.
const DEPTH: usize = 128;
/// Values that may be read beyond one for each byte: nulls and empty records take none.
const FREE: usize = 1 << 16;
/// Bytes of a varint of 64 bits.
const VARINT: usize = 10;

/// A schema that Avro data was written by.
#[derive(Debug)]
pub struct Avro(Types);

/// Why data cannot be read, and in which field.
struct Broken {
    path: String,
    what: String,
}

struct Reader<'a> {
    types: &'a Types,
    rest: &'a [u8],
    /// Values that may still be read.
    left: usize,
}

// === impl Avro ===

impl Avro {
    pub(crate) fn compile(text: &str, references: &[Reference]) -> Result<Self, String> {
        Types::parse(text, references).map(Self)
    }

    pub(crate) fn decode(&self, data: &[u8]) -> Result<Value, String> {
        let mut reader = Reader { types: &self.0, rest: data, left: data.len() + FREE };
        let value = reader.value(self.0.root, 0).map_err(|broken| match broken.path.as_str() {
            "" => broken.what,
            path => format!("{path}: {}", broken.what),
        })?;
        match reader.rest.len() {
            0 => Ok(value),
            left => Err(format!("{left} bytes are left behind the value: another schema wrote it")),
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn value(&mut self, at: usize, depth: usize) -> Result<Value, Broken> {
        if depth > DEPTH {
            return Err(Broken::new(format!("it is nested deeper than {DEPTH} levels")));
        }
        let types = self.types;
        let kind = &types.all[at];
        // What is in a union counts, not the union.
        if !matches!(kind, Type::Union(_)) {
            self.left =
                self.left.checked_sub(1).ok_or_else(|| Broken::new("it holds too many values for its bytes"))?;
        }
        match kind {
            Type::Null => Ok(Value::Null),
            Type::Boolean => match self.take(1)?[0] {
                0 => Ok(Value::Bool(false)),
                1 => Ok(Value::Bool(true)),
                other => Err(Broken::new(format!("{other} is no boolean"))),
            },
            Type::Int => Ok(self.int()?.into()),
            Type::Long => Ok(self.long()?.into()),
            Type::Float => Ok(floating::float(f32::from_le_bytes(self.array()?))),
            Type::Double => Ok(floating::double(f64::from_le_bytes(self.array()?))),
            Type::Bytes => Ok(STANDARD.encode(self.bytes()?).into()),
            Type::Fixed(size) => Ok(STANDARD.encode(self.take(*size)?).into()),
            Type::String => self.string().map(Value::String),
            Type::Enum(symbols) => self.symbol(symbols),
            Type::Array(item) => self.array_of(*item, depth),
            Type::Map(value) => self.map_of(*value, depth),
            Type::Union(branches) => self.branch(branches, depth),
            Type::Record(fields) => self.record(fields, depth),
            Type::Int32(logical) => logical::of_int(*logical, self.int()?).map_err(Broken::new),
            Type::Int64(logical) => logical::of_long(*logical, self.long()?).map_err(Broken::new),
            Type::Decimal(scale) => logical::decimal(self.bytes()?, *scale).map_err(Broken::new),
            Type::FixedDecimal { size, scale } => logical::decimal(self.take(*size)?, *scale).map_err(Broken::new),
            Type::Uuid => Ok(logical::uuid(self.array()?)),
            Type::Duration => Ok(logical::duration(self.array()?)),
        }
    }

    fn record(&mut self, fields: &[Field], depth: usize) -> Result<Value, Broken> {
        let mut map = Map::new();
        for field in fields {
            let value = self.value(field.of, depth + 1).map_err(|broken| broken.within(&field.name))?;
            map.insert(field.name.clone(), value);
        }
        Ok(Value::Object(map))
    }

    fn array_of(&mut self, item: usize, depth: usize) -> Result<Value, Broken> {
        let mut items = Vec::new();
        while let Some(count) = self.block()? {
            for _ in 0..count {
                let place = items.len();
                items.push(self.value(item, depth + 1).map_err(|broken| broken.within(&format!("[{place}]")))?);
            }
        }
        Ok(Value::Array(items))
    }

    fn map_of(&mut self, value: usize, depth: usize) -> Result<Value, Broken> {
        let mut map = Map::new();
        while let Some(count) = self.block()? {
            for _ in 0..count {
                let key = self.string()?;
                let value = self.value(value, depth + 1).map_err(|broken| broken.within(&key))?;
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }

    /// How many items the next block has; `None` behind the last one. A negative count is followed by the block's size.
    fn block(&mut self) -> Result<Option<u64>, Broken> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok((count != 0).then_some(count.unsigned_abs()))
    }

    fn branch(&mut self, branches: &[usize], depth: usize) -> Result<Value, Broken> {
        let branch = self.long()?;
        let of = usize::try_from(branch).ok().and_then(|branch| branches.get(branch));
        match of {
            Some(of) => self.value(*of, depth + 1),
            None => Err(Broken::new(format!("there is no branch {branch} in its union of {}", branches.len()))),
        }
    }

    fn symbol(&mut self, symbols: &[String]) -> Result<Value, Broken> {
        let place = self.int()?;
        let symbol = usize::try_from(place).ok().and_then(|place| symbols.get(place));
        symbol
            .map(|symbol| symbol.as_str().into())
            .ok_or_else(|| Broken::new(format!("its enum has no symbol {place}")))
    }

    fn string(&mut self) -> Result<String, Broken> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Broken::new("a string is not UTF-8"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let size = self.long()?;
        let size = usize::try_from(size).map_err(|_| Broken::new(format!("{size} is no length")))?;
        self.take(size)
    }

    fn int(&mut self) -> Result<i32, Broken> {
        let long = self.long()?;
        i32::try_from(long).map_err(|_| Broken::new(format!("{long} is no int")))
    }

    fn long(&mut self) -> Result<i64, Broken> {
        let mut value = 0_u64;
        for shift in 0..VARINT {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(Broken::new(format!("a number has more than {VARINT} bytes")))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], Broken> {
        let split = self.rest.split_at_checked(size);
        let (taken, rest) = split.ok_or_else(|| Broken::new("the data ends in the middle of it"))?;
        self.rest = rest;
        Ok(taken)
    }
}

// === impl Broken ===

impl Broken {
    fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    fn within(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn compiled(schema: &Value) -> Avro {
        Avro::compile(&schema.to_string(), &[]).unwrap()
    }

    #[track_caller]
    fn read(schema: &Value, data: &[u8]) -> Value {
        compiled(schema).decode(data).unwrap()
    }

    #[track_caller]
    fn refused(schema: &Value, data: &[u8]) -> String {
        compiled(schema).decode(data).unwrap_err()
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        assert_eq!(read(&json!("string"), b"\x06foo"), json!("foo"));
        let test = json!({"type": "record", "name": "test",
            "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]});
        assert_eq!(read(&test, b"\x36\x06foo"), json!({"a": 27, "b": "foo"}));
        assert_eq!(read(&json!({"type": "array", "items": "long"}), &[4, 6, 54, 0]), json!([3, 27]));
        assert_eq!(read(&json!(["null", "string"]), &[0]), json!(null));
        assert_eq!(read(&json!(["null", "string"]), b"\x02\x02a"), json!("a"));
        for (number, bytes) in [(0, &[0][..]), (-1, &[1]), (1, &[2]), (-64, &[0x7f]), (64, &[0x80, 1])] {
            assert_eq!(read(&json!("long"), bytes), json!(number));
        }
        let blocks = [3, 4, 6, 54, 2, 2, 0]; // 2 items in 2 bytes, then 1 item
        assert_eq!(read(&json!({"type": "array", "items": "long"}), &blocks), json!([3, 27, 1]));
    }

    #[test]
    fn numbers_are_exact() {
        let all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(read(&json!("long"), &all).to_string(), i64::MIN.to_string());
        assert_eq!(read(&json!("float"), &0.1_f32.to_le_bytes()).to_string(), "0.1");
        assert_eq!(read(&json!("double"), &0.1_f64.to_le_bytes()).to_string(), "0.1");
        assert_eq!(read(&json!("double"), &f64::NEG_INFINITY.to_le_bytes()), json!("-Infinity"));
        assert_eq!(read(&json!("float"), &f32::NAN.to_le_bytes()), json!("NaN"));
    }

    #[test]
    fn what_is_broken_says_where_and_what() {
        let schema = json!({"type": "record", "name": "Order", "fields": [
            {"name": "id", "type": "string"},
            {"name": "lines", "type": {"type": "array", "items":
                {"type": "record", "name": "Line", "fields": [{"name": "qty", "type": "int"}]}}}]});
        assert_eq!(refused(&schema, b"\x02a\x04\x02"), "lines[1].qty: the data ends in the middle of it");
        assert_eq!(
            refused(&schema, b"\x02a\x00\x00\x00"),
            "2 bytes are left behind the value: another schema wrote it"
        );
        assert_eq!(refused(&schema, b"\x02\xff\x00"), "id: a string is not UTF-8");
        assert_eq!(refused(&json!("boolean"), &[2]), "2 is no boolean");
        assert_eq!(refused(&json!(["null"]), &[2]), "there is no branch 1 in its union of 1");
        let suit = json!({"type": "enum", "name": "Suit", "symbols": ["HEARTS"]});
        assert_eq!(refused(&suit, &[2]), "its enum has no symbol 1");
        assert_eq!(refused(&json!("int"), &[0x80, 0x80, 0x80, 0x80, 0x20]), "4294967296 is no int");
        assert_eq!(refused(&json!("bytes"), &[1]), "-1 is no length");
        assert!(refused(&json!("long"), &[0xff; 11]).contains("more than 10 bytes"));
    }

    #[test]
    fn what_takes_no_bytes_cannot_fill_the_memory_nor_what_is_nested_the_stack() {
        let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]; // 2^63 - 1
        let nulls = json!({"type": "array", "items": "null"});
        assert!(refused(&nulls, &many).contains("too many values"));
        let least = [1, 0].iter().chain(&many).copied().collect::<Vec<_>>();
        assert!(!refused(&json!({"type": "array", "items": "long"}), &least).is_empty());
        let list = json!({"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]});
        assert!(refused(&list, &[2; 1_000_000]).contains("deeper than 128"));
        let endless = json!({"type": "record", "name": "A", "fields": [{"name": "a", "type": "A"}]});
        assert!(refused(&endless, &[]).contains("deeper than 128"));
        let doubling = (0..40).fold(json!("null"), |inner, n| {
            let twice = if n == 0 { json!("null") } else { json!(format!("R{}", n - 1)) };
            json!({"type": "record", "name": format!("R{n}"),
                "fields": [{"name": "a", "type": inner}, {"name": "b", "type": twice}]})
        });
        assert!(refused(&doubling, &[]).contains("too many values"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let schema = json!({"type": "record", "name": "R", "fields": [
                {"name": "a", "type": ["null", "string", {"type": "map", "values": "R"}]},
                {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
                {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
                {"name": "l", "type": {"type": "array", "items": ["null", {"type": "int", "logicalType": "date"}, "R"]}},
            ]});
            drop(compiled(&schema).decode(&data));
        }
    }
}
