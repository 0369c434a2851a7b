//! docs/envelopes.md: each record is seen by mappings as the page says.

use crate::blocks;
use crate::setting::{pipeline, record};
use serde_json::{Value, json};

const PAGE: &str = "envelopes.md";
/// Shows what is in scope.
const MAPPING: &str = r#"
mappings:
  - { name: scope, from: shop.orders, emit: { type: t, data: { payload: "${payload}", key: "${key}", ce: "${ce}" } } }
"#;

#[test]
fn every_record_of_the_page_is_seen_as_it_says() {
    let (mut topic, mut written, mut count) = (String::new(), Value::Null, 0);
    for block in blocks::of(PAGE) {
        match block.kind.as_str() {
            "yaml topic" => topic = format!("topics: {{ shop.orders: {} }}", block.text.trim()),
            "json record" => written = block.json(),
            "json scope" => {
                let passage = pipeline(&topic, MAPPING, &[]).unwrap().pass(&record(&written));
                assert!(passage.faults.is_empty(), "{PAGE}:{}: {:?}", block.line, passage.faults);
                let whole =
                    |wanted: &Value| json!({"payload": wanted["payload"], "key": wanted["key"], "ce": wanted["ce"]});
                let wanted: Vec<_> = block.json().as_array().unwrap().iter().map(whole).collect();
                let seen: Vec<_> = passage.events.iter().map(|emitted| emitted.event.data.clone()).collect();
                assert_eq!(seen, wanted, "{PAGE}:{}", block.line);
                count += 1;
            }
            other => panic!("{PAGE}:{}: {other}", block.line),
        }
    }
    assert!(count >= 4, "{count} examples");
}
