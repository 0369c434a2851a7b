//! A tree of JSON with texts and directives (`$copy`, `$merge`, `$each`, `$if`, `$use`, `key?`), rendered per record to JSON.

use crate::expr::directives::Directives;
use crate::expr::failure::Failure;
use crate::expr::fragments::Fragments;
use crate::expr::limits::Budget;
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use crate::expr::shape::Shape;
use serde_json::Value;

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    shape: Shape,
}

// === impl Template ===

impl Template {
    /// Compiles what was `written`, whose expressions may use `names` and which may use these `fragments`.
    ///
    /// # Errors
    /// All mistakes, each with its path inside the template, or inside the fragment that it stands in.
    pub fn compile(written: &Value, names: &Names, fragments: &Fragments) -> Result<Self, Vec<Mistake>> {
        let mut directives = Directives::new(fragments);
        let shape = directives.shape(written, names);
        if directives.mistakes.is_empty() { Ok(Self { shape }) } else { Err(directives.mistakes) }
    }

    /// The value; null when all of it is left out.
    ///
    /// # Errors
    /// Why there is none, with the field inside the template.
    pub fn render(&self, scope: &Scope, budget: &mut Budget) -> Result<Value, Failure> {
        self.shape.render(scope, budget).map(Option::unwrap_or_default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::failure::FailureKind;
    use crate::expr::limits::Limits;
    use proptest::prelude::*;
    use serde_json::json;

    fn payload() -> Value {
        serde_json::from_str(
            r#"{"id":"o-1","cc":"NO","none":null,"amount":12345678901234567890.10,
                "customer":{"name":"Ann","mail":"ann@acme.com","ssn":"123","address":{"zip":"0150","city":"Oslo"}},
                "lines":[{"sku":"a","qty":2,"price":9.50},{"sku":"b","qty":0,"price":1}],"ship":{"to":"Oslo"}}"#,
        )
        .unwrap()
    }

    fn names() -> Names {
        Names::new(["payload", "tables", "total"])
    }

    fn fragments() -> Fragments {
        let bodies = json!({
            "price": {"amount": "${value}", "currency": "${payload.cc == 'NO' ? 'NOK' : 'EUR'}"},
            "twice": [{"$use": "price", "$with": {"value": "${a}"}}, {"$use": "price", "$with": {"value": "${b}"}}],
            "itself": {"x": {"$use": "other"}},
            "other": [{"$use": "itself"}],
            "broken": {"x": {"y": "${payload.id +}", "z": "${total}"}},
            "b0": "${payload.id}",
            "b1": [{"$use": "b0"}, {"$use": "b0"}, {"$use": "b0"}, {"$use": "b0"}, {"$use": "b0"}, {"$use": "b0"}],
            "b2": [{"$use": "b1"}, {"$use": "b1"}, {"$use": "b1"}, {"$use": "b1"}, {"$use": "b1"}, {"$use": "b1"}],
            "b3": [{"$use": "b2"}, {"$use": "b2"}, {"$use": "b2"}, {"$use": "b2"}, {"$use": "b2"}, {"$use": "b2"}],
            "b4": [{"$use": "b3"}, {"$use": "b3"}, {"$use": "b3"}, {"$use": "b3"}, {"$use": "b3"}, {"$use": "b3"}],
            "b5": [{"$use": "b4"}, {"$use": "b4"}, {"$use": "b4"}, {"$use": "b4"}, {"$use": "b4"}, {"$use": "b4"}],
            "b6": [{"$use": "b5"}, {"$use": "b5"}, {"$use": "b5"}, {"$use": "b5"}, {"$use": "b5"}, {"$use": "b5"}],
        });
        let Value::Object(bodies) = bodies else { unreachable!() };
        Fragments::new(Names::new(["payload", "tables"]), bodies.into_iter().collect())
    }

    fn render_within(written: &Value, limits: &Limits) -> Result<Value, Failure> {
        let (payload, tables, total) = (payload(), json!({"country": {"NO": "Norway"}}), json!(19));
        let mut scope = Scope::new();
        scope.bind("payload", &payload);
        scope.bind("tables", &tables);
        scope.bind("total", &total);
        let template =
            Template::compile(written, &names(), &fragments()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        template.render(&scope, &mut Budget::new(limits))
    }

    fn render(written: Value) -> Result<Value, Failure> {
        render_within(&written, &Limits::default())
    }

    /// Path, what, hint of each mistake.
    fn mistakes(written: Value) -> Vec<(String, String, String)> {
        let mistakes = Template::compile(&written, &names(), &fragments()).expect_err("a mistake");
        mistakes.into_iter().map(|mistake| (mistake.path, mistake.what, mistake.hint)).collect()
    }

    #[test]
    fn the_template_of_the_design_gives_its_event() {
        let written = json!({
            "order_id": "${payload.id}",
            "country": "${tables.country[payload.cc]}",
            "note?": "${payload.note}",
            "greeting": "Hello ${payload.customer.name}",
            "total": "${total}",
            "customer": {
                "$copy": "${payload.customer}",
                "$without": ["ssn", "address.zip"],
                "$rename": {"mail": "email"},
                "email": "${mask(payload.customer.mail, 3)}"
            },
            "lines": {
                "$each": "${payload.lines}",
                "$as": "line",
                "$where": "line.qty > 0",
                "$emit": {"sku": "${line.sku}", "quantity": "${line.qty}", "at": "${index}"}
            },
            "shipping": {"$if": "has(payload.ship)", "$then": {"to": "${payload.ship.to}"}, "$else": null}
        });
        let wanted = r#"{"order_id":"o-1","country":"Norway","greeting":"Hello Ann","total":19,"#.to_string()
            + r#""customer":{"name":"Ann","email":"ann*********","address":{"city":"Oslo"}},"#
            + r#""lines":[{"sku":"a","quantity":2,"at":0}],"shipping":{"to":"Oslo"}}"#;
        assert_eq!(render(written).unwrap().to_string(), wanted);
    }

    #[test]
    fn what_holds_no_expression_stays_as_it_is() {
        let written: Value = serde_json::from_str(r#"{"a":[1,2.50,null,true,"$5"],"b":{"c":{}},"d":[]}"#).unwrap();
        assert_eq!(render(written.clone()).unwrap().to_string(), written.to_string());
    }

    #[test]
    fn a_number_copied_by_path_keeps_its_text() {
        let written = json!({"a": "${payload.amount}", "l": {"$each": "${payload.lines}", "$emit": "${item.price}"}});
        assert_eq!(render(written).unwrap().to_string(), r#"{"a":12345678901234567890.10,"l":[9.50,1]}"#);
        let copied = render(json!({"$copy": "${payload}"})).unwrap();
        assert_eq!(copied.to_string(), payload().to_string());
    }

    #[test]
    fn a_key_with_a_question_mark_is_left_out_when_missing_or_null() {
        let written = json!({
            "a?": "${payload.note}", "b?": "${payload.none}", "c?": "${payload.none.deeper}", "d?": "${payload.note.trim()}",
            "e?": {"f": "${payload.note}"}, "g?": "${payload.?note}", "h?": "x ${payload.note}", "i?": "${payload.id}",
            "j?": null, "k": "${payload.none}", "l?": {"$each": "${payload.rows}", "$emit": 1}, "m?": {"$copy": "${payload.none}"},
        });
        assert_eq!(render(written).unwrap(), json!({"i": "o-1", "k": null}));
        let failure = render(json!({"a?": "${payload.id + 1}"})).unwrap_err();
        assert_eq!((failure.field.as_str(), failure.what.as_str()), ("a", "`+` is not for a string and an integer"));
    }

    #[test]
    fn each_can_stand_in_each_and_sees_what_is_around_it() {
        let written = json!({
            "$each": "payload.lines",
            "$emit": {"sku": "${item.sku}", "pairs": {
                "$each": "${payload.lines.filter(l, l.sku != item.sku)}", "$as": "other",
                "$emit": "${item.sku}-${other.sku}-${index}"
            }}
        });
        let wanted = json!([{"sku": "a", "pairs": ["a-b-0"]}, {"sku": "b", "pairs": ["b-a-0"]}]);
        assert_eq!(render(written).unwrap(), wanted);
    }

    #[test]
    fn if_without_else_leaves_its_place_out() {
        let written = json!({"a": {"$if": "payload.cc == 'SE'", "$then": 1}, "b": [{"$if": "${false}", "$then": 1}, 2],
            "c": {"$if": true, "$then": {"$if": false, "$then": 1, "$else": "${payload.id}"}}});
        assert_eq!(render(written).unwrap(), json!({"b": [2], "c": "o-1"}));
        assert_eq!(render(json!({"$if": false, "$then": 1})).unwrap(), Value::Null);
    }

    #[test]
    fn a_copy_takes_what_cel_gives_and_own_keys_win() {
        let written = json!({"$copy": "${{'a': 1, 'b': {'c': 2, 'd': 3}}}", "$without": ["b.c"], "a": 9, "e?": "${payload.note}"});
        assert_eq!(render(written).unwrap(), json!({"a": 9, "b": {"d": 3}}));
    }

    #[test]
    fn of_merged_objects_the_later_wins_and_own_keys_win_over_all() {
        let written = json!({
            "$merge": ["${payload.ship}", {"to": "Bergen", "via": "sea"}, "${payload.?gone}", {"$if": false, "$then": {"to": "x"}},
                {"$copy": "${payload.customer.address}", "$without": ["zip"]}, "${payload.none}"],
            "via": "air", "note?": "${payload.note}",
        });
        assert_eq!(render(written).unwrap(), json!({"to": "Bergen", "via": "air", "city": "Oslo"}));
        assert_eq!(render(json!({"$merge": []})).unwrap(), json!({}));
        let failure = render(json!({"a": {"$merge": [{}, "${payload.id}"]}})).unwrap_err();
        assert_eq!(
            (failure.field.as_str(), failure.what.as_str()),
            ("a.$merge[1]", "needs an object to merge, this is a string")
        );
        assert!(render(json!({"$merge": ["${payload.gone}"]})).unwrap_err().missing);
    }

    #[test]
    fn a_fragment_sees_the_record_and_what_it_is_given_and_nothing_else() {
        let written = json!({
            "total": {"$use": "price", "$with": {"value": "${total}"}},
            "lines": {"$each": "${payload.lines}", "$as": "payload", "$emit": {"$use": "price", "$with": {"value": "${payload.price}"}}},
            "both": {"$use": "twice", "$with": {"a": 1, "b": {"$if": false, "$then": 1}}},
        });
        let wanted = json!({
            "total": {"amount": 19, "currency": "NOK"},
            "lines": [{"amount": 9.50, "currency": "NOK"}, {"amount": 1, "currency": "NOK"}],
            "both": [{"amount": 1, "currency": "NOK"}, {"amount": null, "currency": "NOK"}],
        });
        assert_eq!(
            render(written).unwrap().to_string(),
            wanted.to_string().replace("9.5}", "9.50}").replace("9.5,", "9.50,")
        );
        let failure = render(json!({"a": {"$use": "price", "$with": {"value": "${payload.gone}"}}})).unwrap_err();
        assert_eq!(failure.field, "a.$with.value");
        let failure = render(json!({"a": {"$use": "price", "$with": {"value": "${payload.lines}"}}})).unwrap();
        assert!(failure["a"]["amount"].is_array());
    }

    #[test]
    fn a_mistake_in_a_fragment_is_told_there_and_not_where_it_is_used() {
        let compiled = Template::compile(&json!({"a": {"$use": "broken"}}), &names(), &fragments());
        let found: Vec<_> = compiled.unwrap_err().into_iter().map(|m| (m.fragment.unwrap(), m.path, m.what)).collect();
        let wanted = [
            ("broken".into(), "x.y".into(), "the expression ends too early".into()),
            ("broken".into(), "x.z".into(), "unknown name `total`".into()),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn fragments_that_use_themselves_or_multiply_without_end_are_a_mistake() {
        let compiled = Template::compile(&json!({"$use": "itself"}), &names(), &fragments()).unwrap_err();
        assert_eq!(compiled[0].what, "the fragment uses itself: itself -> other -> itself");
        assert_eq!(compiled[0].fragment.as_deref(), Some("other"));
        let compiled = Template::compile(&json!({"$use": "b6"}), &names(), &fragments()).unwrap_err();
        assert!(compiled[0].what.starts_with("the template has more than 20000 parts"), "{compiled:?}");
        assert!(Template::compile(&json!({"$use": "b4"}), &names(), &fragments()).is_ok());
    }

    #[test]
    fn two_dollars_begin_a_plain_key() {
        assert_eq!(render(json!({"$$ref": "${payload.id}", "$$copy": 1})).unwrap(), json!({"$ref": "o-1", "$copy": 1}));
    }

    #[test]
    fn a_failure_names_the_field_the_expression_and_the_reason() {
        let told = |written| {
            let failure = render(written).unwrap_err();
            (failure.field, failure.expression.unwrap_or_default(), failure.what)
        };
        assert_eq!(
            told(json!({"customer": {"email": "Mail: ${payload.customer.email}"}})),
            (
                "customer.email".into(),
                "payload.customer.email".into(),
                "no such key `customer.email` in `payload`".into()
            )
        );
        assert_eq!(
            told(json!({"a": [1, {"$each": "${payload.lines}", "$as": "l", "$emit": {"x": "${l.weight}"}}]})),
            ("a[1][0].x".into(), "l.weight".into(), "no such key `weight` in `l`".into())
        );
        assert_eq!(told(json!({"a": {"$copy": "${payload.id}"}})).2, "needs an object to copy, this is a string");
        assert_eq!(told(json!({"a": {"$each": "${payload.id}", "$emit": 1}})).0, "a.$each");
        assert_eq!(told(json!({"a": {"$each": "${payload.id}", "$emit": 1}})).2, "needs a list, this is a string");
        assert_eq!(told(json!({"a": {"$if": "payload.id", "$then": 1}})).0, "a.$if");
        assert_eq!(told(json!({"$each": "${payload.lines}", "$where": "item.qty", "$emit": 1})).0, "[0].$where");
    }

    #[test]
    fn all_mistakes_are_told_with_their_paths_and_hints() {
        let written = json!({
            "a": "${paylod.id}",
            "b": {"$copyy": "${payload}"},
            "c": {"$copy": "${payload}", "$without": ["x", 1], "$rename": {"mail": 5}},
            "d": {"$each": "${payload.lines}", "$as": "a line", "x": 1},
            "e": {"$if": "payload.id ==", "$then": 1},
            "f": [{"$emit": 1}, {"$each": "${payload.lines}", "$emit": {"y": "${lime.sku}"}, "$as": "line"}],
            "g": {"$each": "${payload.lines}", "$if": "true", "$then": 1, "$emit": 1},
            "${payload.id}": 1,
            "h": {"$each": "x ${payload.lines}", "$emit": 1},
            "i": {"j": 1, "j?": 2},
            "k": {"$use": "prise"},
            "l": {"$use": "price", "$with": {"payload": 1, "a b": 2}, "m": 3},
            "n": {"$merge": {"a": 1}},
            "o": {"$merge": [1]},
            "p": {"$use": 5, "$with": []},
        });
        let found = mistakes(written);
        let wanted = [
            ("a", "unknown name `paylod`", "did you mean `payload`?"),
            ("b.$copyy", "unknown directive `$copyy`", "did you mean `$copy`?"),
            ("c.$without[1]", "this is no key or path of keys", "write `ssn` or `address.zip`"),
            ("c.$rename", "`mail` needs a new name as a string", "write `{ mail: email }`"),
            ("d.x", "`x` cannot stand beside `$each`", "put it under `$emit`"),
            ("d.$as", "this is no name", "write a word of letters, digits and _"),
            ("d.$each", "`$each` needs `$emit`: what becomes of each entry", ""),
            ("e.$if", "the expression ends too early", ""),
            ("f[0].$emit", "`$emit` goes with `$each`, which is not here", ""),
            ("f[1].$emit.y", "unknown name `lime`", "did you mean `line`?"),
            ("g.$if", "`$if` cannot stand beside `$each`", "put one inside the other"),
            ("${payload.id}", "a key cannot hold an expression", "write the key as plain text"),
            ("h.$each", "this is text, not an expression", "write one `${...}` and nothing around it"),
            ("i.j?", "the key `j` is given twice", ""),
            ("k.$use", "unknown fragment `prise`", "did you mean `price`?"),
            ("l.m", "`m` cannot stand beside `$use`", "write `$merge: [{ $use: ... }, { ... }]`"),
            ("l.$with.payload", "`payload` has a meaning already", "take another name"),
            ("l.$with.a b", "this is no name", "write a word of letters, digits and _"),
            ("amount", "unknown name `value`", "known here: payload, tables"),
            ("n.$merge", "needs a list of objects", "write `[\"${payload}\", { a: 1 }]`"),
            ("o.$merge[0]", "needs an object, this is a number", ""),
            ("p.$with", "needs names and values, this is a list", "write `{ amount: \"${payload.total}\" }`"),
            ("p.$use", "needs the name of a fragment", ""),
        ];
        for (path, what, hint) in wanted {
            assert!(found.contains(&(path.into(), what.into(), hint.into())), "{path}: {what}\n{found:#?}");
        }
        assert_eq!(found.len(), wanted.len(), "{found:#?}");
    }

    #[test]
    fn output_and_steps_are_bounded_and_a_key_with_a_question_mark_does_not_hide_it() {
        let limits = Limits { steps: 1_000, output_bytes: 2_000 };
        let many: Vec<Value> = (0..100).map(|_| json!("${payload.customer}")).collect();
        let copies: Vec<Value> = (0..100).map(|_| json!({"$copy": "${payload}"})).collect();
        let texts: Vec<Value> = (0..500).map(|_| json!("x${payload.id}")).collect();
        for written in [
            json!({"a?": many}),
            json!({"a?": copies}),
            json!(texts),
            json!({"a?": {"$each": "${lists.range(900)}", "$emit": {"$each": "${lists.range(900)}", "$emit": 1}}}),
        ] {
            assert_eq!(render_within(&written, &limits).unwrap_err().kind, FailureKind::Limit);
        }
    }

    #[test]
    fn a_template_deeper_than_a_file_may_be_is_a_mistake() {
        let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
        let found = mistakes(deep);
        assert_eq!(found[0].1, "the template is more than 64 deep");
    }

    fn any_template() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("${payload}"),
            Just("${payload.a}"),
            Just("${payload.b.a}"),
            Just("x ${payload.a} y"),
            Just("${item}"),
            Just("${payload.?a}"),
            Just("payload.a == 1"),
            Just("${size(payload)}"),
            Just("true"),
            Just("$${a"),
            Just("${"),
        ];
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            "[a-c.$]{0,4}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from)
        ];
        let key = prop_oneof![
            "[a-c]\\??",
            Just("$copy".to_string()),
            Just("$without".to_string()),
            Just("$rename".to_string()),
            Just("$each".to_string()),
            Just("$as".to_string()),
            Just("$where".to_string()),
            Just("$emit".to_string()),
            Just("$if".to_string()),
            Just("$then".to_string()),
            Just("$else".to_string()),
            Just("$merge".to_string()),
            Just("$use".to_string()),
            Just("$with".to_string())
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec((key.clone(), inner.clone()), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
                inner.clone().prop_map(|emit| json!({"$each": "${payload.a}", "$emit": emit})),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| json!({"$if": "${payload.?a.hasValue()}", "$then": a, "$else": b})),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"$merge": [a, b, "${payload.?b}"]})),
                inner.clone().prop_map(|given| json!({"$use": "twice", "$with": {"a": given}})),
                inner.prop_map(|own| json!({"$copy": "${payload.b}", "$without": ["a"], "c?": own})),
            ]
        })
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec(("[a-c]", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_template_over_any_json_gives_a_bounded_value_or_a_reason(written in any_template(), payload in any_json()) {
            let body = json!([{"$copy": "${payload}"}, "${a}", "${a}"]);
            let twice = Fragments::new(Names::new(["payload"]), [("twice".to_owned(), body)].into());
            match Template::compile(&written, &Names::new(["payload"]), &twice) {
                Err(mistakes) => prop_assert!(mistakes.iter().all(|mistake| !mistake.what.is_empty())),
                Ok(template) => {
                    let mut scope = Scope::new();
                    scope.bind("payload", &payload);
                    let limits = Limits { steps: 5_000, output_bytes: 20_000 };
                    match template.render(&scope, &mut Budget::new(&limits)) {
                        Ok(value) => prop_assert!(value.to_string().len() <= 24_000),
                        Err(failure) => prop_assert!(!failure.what.is_empty()),
                    }
                }
            }
        }
    }
}
