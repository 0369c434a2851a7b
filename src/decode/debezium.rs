//! Change events of Debezium (DZ-1): `op`, `before`, `after`, `source`, `ts_ms`, with or without the schema beside them.
//!
//! Takes a decoded value, gives the change event itself. The key of a record is unwrapped in the same way.

use serde_json::Value;

/// The change event: what `payload` stands for. A value that is null stays null.
///
/// # Errors
/// It is none, in words.
pub(crate) fn unwrap(value: Value) -> Result<Value, String> {
    let value = without_schema(value);
    let is_change = |value: &Value| value.get("op").is_some_and(Value::is_string);
    if value.is_null() || is_change(&value) {
        return Ok(value);
    }
    let kind = if value.is_object() { "an object without `op`" } else { "no object" };
    Err(format!(
        "the value is no change event of Debezium: it is {kind}. Rows that a transform has taken out of their change event are \
         `format: json`"
    ))
}

/// The key without its schema, when it is JSON.
pub(crate) fn key(key: &[u8]) -> Option<Value> {
    serde_json::from_slice(key).ok().map(without_schema)
}

/// With schemas enabled, the converter puts each value beside its schema.
fn without_schema(value: Value) -> Value {
    match value {
        Value::Object(mut map) if map.len() == 2 && map.contains_key("schema") && map.contains_key("payload") => {
            map.remove("payload").unwrap_or_default()
        }
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dz_1_an_envelope_is_the_payload_with_or_without_its_schema() {
        let change = json!({"before": null, "after": {"id": 1}, "source": {"table": "orders"}, "op": "c", "ts_ms": 5});
        assert_eq!(unwrap(change.clone()), Ok(change.clone()));
        let wrapped = json!({"schema": {"type": "struct"}, "payload": change.clone()});
        assert_eq!(unwrap(wrapped), Ok(change));
    }

    #[test]
    fn dz_1_a_null_is_a_tombstone_in_both_forms() {
        assert_eq!(unwrap(Value::Null), Ok(Value::Null));
        assert_eq!(unwrap(json!({"schema": null, "payload": null})), Ok(Value::Null));
    }

    #[test]
    fn what_is_no_change_event_says_what_to_do() {
        for other in
            [json!({"id": 1}), json!({"op": 1}), json!([1]), json!("c"), json!({"schema": {}, "payload": {"id": 1}})]
        {
            assert!(unwrap(other.clone()).unwrap_err().contains("`format: json`"), "{other}");
        }
    }

    #[test]
    fn dz_1_a_key_is_read_without_its_schema() {
        assert_eq!(key(br#"{"schema":{"type":"struct"},"payload":{"id":1}}"#), Some(json!({"id": 1})));
        assert_eq!(key(br#"{"id":1}"#), Some(json!({"id": 1})));
        assert_eq!(key(b"o-1"), None);
    }
}
