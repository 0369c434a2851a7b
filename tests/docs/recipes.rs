//! docs/recipes.md: each recipe makes of its records what the page says, for one subscriber too.

use crate::blocks;
use crate::mappings::{Example, judge};
use crate::setting::{pipeline, record};
use hookline::deliver::transform::Transform;
use serde_json::Value;

const PAGE: &str = "recipes.md";

#[test]
fn every_recipe_makes_what_the_page_says() {
    let (mut example, mut config, mut transform, mut count) = (Example::default(), "", Value::Null, 0);
    let blocks = blocks::of(PAGE);
    for block in &blocks {
        match block.kind.as_str() {
            "yaml config" => config = &block.text,
            "yaml mapping" => {
                example = Example { mapping: &block.text, config, ..Example::default() };
                config = "";
            }
            "yaml transform" => transform = serde_yaml::from_str(&block.text).unwrap(),
            "json record" => example.record = block.json(),
            "json events" => judge(PAGE, &example, block),
            "json data" => assert_eq!(own_shape(&example, &transform).to_string(), block.json().to_string()),
            other => panic!("{PAGE}:{}: {other}", block.line),
        }
        count += usize::from(matches!(block.kind.as_str(), "json events" | "json data"));
    }
    assert!(count >= 10, "{count} examples");
}

/// What a subscriber with this `transform` gets of the example.
fn own_shape(example: &Example<'_>, transform: &Value) -> Value {
    let passage = pipeline(example.config, example.mapping, &[]).unwrap().pass(&record(&example.record));
    let transform = Transform::compile(transform).unwrap();
    transform.apply(&passage.events[0].event).unwrap().data
}
