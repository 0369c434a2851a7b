//! Structured CloudEvents in JSON (CJ-1 to CJ-5): one event, or a batch of them.

use crate::decode::cloudevent::{Attributes, CloudEvent, payload};
use crate::decode::decoding::Names;
use crate::decode::json;
use crate::decode::media::Media;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The most events of one batch: as many as one `each` may have items.
const MAX_EVENTS: usize = 10_000;

/// One event.
///
/// # Errors
/// It is none, in words.
pub(crate) fn one(value: &[u8], names: Names) -> Result<CloudEvent, String> {
    event(json::decode(value)?, names)
}

/// The events of a batch, which may be empty; if one is broken, all are.
///
/// # Errors
/// It is none, in words.
pub(crate) fn batch(value: &[u8], names: Names) -> Result<Vec<CloudEvent>, String> {
    let Value::Array(events) = json::decode(value)? else { return Err("the batch is not a JSON list".to_owned()) };
    if events.len() > MAX_EVENTS {
        return Err(format!("the batch has {} events, and {MAX_EVENTS} are the most", events.len()));
    }
    let numbered = events.into_iter().enumerate();
    numbered.map(|(at, one)| event(one, names).map_err(|what| format!("event {at} of the batch: {what}"))).collect()
}

fn event(document: Value, names: Names) -> Result<CloudEvent, String> {
    let Value::Object(mut members) = document else { return Err("a CloudEvent is a JSON object".to_owned()) };
    let (data, base64) = (members.shift_remove("data"), members.shift_remove("data_base64"));
    let mut attributes = Attributes::new(names);
    for (name, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
        attributes.add(&name, value)?;
    }
    let data = match (data, base64.filter(|value| !value.is_null())) {
        (Some(_), Some(_)) => return Err("it has both `data` and `data_base64`".to_owned()),
        (Some(data), None) => data,
        (None, Some(base64)) => binary(&base64, attributes.media())?,
        (None, None) => Value::Null,
    };
    Ok(CloudEvent { attributes: attributes.finish()?, data })
}

/// Binary data; without a content type it is not taken for JSON (CJ-5).
fn binary(base64: &Value, media: Option<Media>) -> Result<Value, String> {
    let text = base64.as_str().ok_or("`data_base64` must be a string")?;
    let bytes = STANDARD.decode(text).map_err(|error| format!("`data_base64` is not base64: {error}"))?;
    payload(media.unwrap_or(Media::Other), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const VECTORS: &str = include_str!("../../tests/vectors/cloudevents.json");

    fn vectors(part: &str) -> Vec<Value> {
        serde_json::from_str::<Value>(VECTORS).unwrap()[part].as_array().unwrap().clone()
    }

    fn read(event: &Value) -> Result<CloudEvent, String> {
        one(event.to_string().as_bytes(), Names::Exact)
    }

    #[test]
    fn ce_1_ce_2_ce_3_ce_4_the_vectors_of_the_conformance_suite_are_told_apart() {
        for case in vectors("valid") {
            let event = read(&case["event"]).unwrap_or_else(|what| panic!("{}: {what}", case["id"]));
            assert!(event.attributes.len() >= 4 && !event.attributes.values().any(Value::is_null));
        }
        for case in vectors("invalid") {
            let what = read(&case["event"]).map(|_| ()).unwrap_err();
            assert!(!what.is_empty(), "{}", case["id"]);
        }
        for case in vectors("invalid_batches") {
            assert!(batch(case["batch"].to_string().as_bytes(), Names::Exact).is_err(), "{}", case["id"]);
        }
    }

    fn with(more: Value) -> Value {
        let mut event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    }

    #[test]
    fn cj_3_data_is_json_and_a_string_in_it_is_not_read_again() {
        let data = |more| read(&with(more)).unwrap().data;
        assert_eq!(data(json!({"data": {"a": 1}})), json!({"a": 1}));
        assert_eq!(data(json!({"data": "{\"a\":1}"})), json!("{\"a\":1}"));
        assert_eq!(data(json!({"data": null})), Value::Null);
        assert_eq!(data(json!({})), Value::Null);
        let exact = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":12345678901234567890.10}"#;
        assert_eq!(one(exact, Names::Exact).unwrap().data.to_string(), "12345678901234567890.10");
    }

    #[test]
    fn cj_4_cj_5_binary_data_is_read_as_its_content_type_says() {
        let data = |more| read(&with(more)).unwrap().data;
        assert_eq!(
            data(json!({"data_base64": "eyJhIjoxfQ==", "datacontenttype": "application/json"})),
            json!({"a": 1})
        );
        assert_eq!(data(json!({"data_base64": "aGk=", "datacontenttype": "text/plain"})), json!("hi"));
        assert_eq!(data(json!({"data_base64": "eyJhIjoxfQ=="})), json!("eyJhIjoxfQ=="));
        assert!(read(&with(json!({"data_base64": "?"}))).unwrap_err().contains("not base64"));
    }

    #[test]
    fn ce_4_an_extension_is_text_a_boolean_or_a_number_of_32_bits() {
        for good in [json!(true), json!(-2_147_483_648_i64), json!("x"), json!("")] {
            assert!(read(&with(json!({ "ext": good }))).is_ok());
        }
        for bad in [json!(2_147_483_648_i64), json!(1.5), json!({}), json!([]), json!("a\u{7}")] {
            assert!(read(&with(json!({ "ext": bad }))).unwrap_err().starts_with("the attribute `ext` "));
        }
    }

    #[test]
    fn dz_3_capital_letters_in_names_are_read_as_small_ones_where_that_is_asked_for() {
        let event = with(json!({"iodebeziumtxId": "7"})).to_string();
        assert!(one(event.as_bytes(), Names::Exact).is_err());
        let read = one(event.as_bytes(), Names::AnyCase).unwrap();
        assert_eq!(read.attributes["iodebeziumtxid"], json!("7"));
        let twice = with(json!({"ext": 1, "Ext": 2})).to_string();
        assert!(one(twice.as_bytes(), Names::AnyCase).unwrap_err().contains("given twice"));
    }

    #[test]
    fn cj_1_a_batch_is_a_list_and_may_be_empty_and_one_broken_event_is_told_by_its_number() {
        assert!(batch(b"[]", Names::Exact).unwrap().is_empty());
        assert_eq!(
            batch(json!([with(json!({})), with(json!({"data": 2}))]).to_string().as_bytes(), Names::Exact)
                .unwrap()
                .len(),
            2
        );
        let broken = json!([with(json!({})), {"id": "x"}]).to_string();
        assert!(batch(broken.as_bytes(), Names::Exact).unwrap_err().starts_with("event 1 of the batch: the attribute"));
        assert!(batch(with(json!({})).to_string().as_bytes(), Names::Exact).is_err());
        let many = Value::Array(vec![with(json!({})); 10_001]).to_string();
        assert!(batch(many.as_bytes(), Names::Exact).unwrap_err().contains("10001 events"));
    }
}
