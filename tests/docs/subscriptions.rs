//! docs/subscriptions.md: it tells every field that there is, and no other; its example, which has them all, is valid.

use crate::blocks;
use crate::setting::write;
use hookline::config::Config;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = "subscriptions.md";

/// The fields that editors are told, which are held against the code elsewhere.
fn fields() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/subscriptions.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let fields = schema.pointer("/properties/subscriptions/items/properties").unwrap();
    fields.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_page_tells_every_field() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(PAGE)).unwrap();
    let first = |line: &str| line.strip_prefix("| `").and_then(|rest| rest.split(" |").next()).map(str::to_owned);
    let cells: Vec<String> = page.lines().filter_map(first).collect();
    let told = cells.iter().flat_map(|cell| cell.split(", ").map(|name| name.trim_matches('`').to_owned()));
    assert_eq!(told.collect::<BTreeSet<_>>(), fields());
}

#[test]
fn the_example_has_every_field_and_is_valid() {
    let block = blocks::of(PAGE).into_iter().find(|block| block.kind == "yaml subscription").unwrap();
    let written: serde_json::Value = serde_yaml::from_str(&block.text).unwrap();
    let keys = written["subscriptions"][0].as_object().unwrap().keys().cloned();
    assert_eq!(keys.collect::<BTreeSet<_>>(), fields());
    let text = block.text.replace("${env:BILLING_TOKEN}", "token").replace("${env:BILLING_SECRET}", SECRET);
    assert_eq!(judged(&text), Ok(()));
}

#[test]
fn an_endpoint_that_comes_from_another_sender_is_valid() {
    let block = blocks::of("migrating.md").into_iter().find(|block| block.file().is_some()).unwrap();
    let fields: String = block.text.lines().map(|line| format!("    {line}\n")).collect();
    assert_eq!(judged(&format!("subscriptions:\n  - id: sub_it\n{fields}")), Ok(()));
}

/// What a start would say of a file of subscriptions.
fn judged(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "hookline.yaml", "mappings: []");
    write(folder.path(), "subscriptions/page.yaml", text);
    Config::load(&folder.path().join("hookline.yaml"), &[]).map(drop).map_err(|error| error.report())
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
