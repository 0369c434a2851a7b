//! The filter dialects of CloudEvents Subscriptions (SB-4 to SB-6): `exact`, `prefix`, `suffix`, `all`, `any`, `not`, `sql`.
//!
//! Takes a list of filters as it was written, gives yes or no to an event by its attributes.

use crate::expr::mistake::{Mistake, did_you_mean};
use crate::matching::cesql::Query;
use crate::matching::cesql::value::Value as Attribute;
use crate::model::attribute::is_name;
use crate::model::event::IntegrationEvent;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// All filters of a subscription: each must be true.
#[derive(Debug, Default)]
pub struct Dialects(Vec<Dialect>);

#[derive(Debug)]
enum Dialect {
    /// Attributes, and a comparison with a text for each.
    Compare(fn(&str, &str) -> bool, Vec<(String, String)>),
    All(Vec<Dialect>),
    Any(Vec<Dialect>),
    Not(Box<Dialect>),
    Sql(Box<Query>),
}

/// Filters of one subscription, those in each other counted too.
const MAX_FILTERS: usize = 100;
/// How deep filters stand in each other.
const MAX_DEPTH: usize = 16;
const NAMES: [&str; 7] = ["exact", "prefix", "suffix", "all", "any", "not", "sql"];

// === impl Dialects ===

impl Dialects {
    /// Compiles a list of filters.
    ///
    /// # Errors
    /// All mistakes, each with its path in the list.
    pub fn compile(written: &Value) -> Result<Self, Vec<Mistake>> {
        let mut compiler = Compiler { mistakes: Vec::new(), count: 0, depth: 0 };
        let filters = compiler.list(written, "the list of filters");
        if compiler.mistakes.is_empty() { Ok(Self(filters)) } else { Err(compiler.mistakes) }
    }

    /// Whether `event` passes all of them.
    #[must_use]
    pub fn matches(&self, event: &IntegrationEvent) -> bool {
        self.0.iter().all(|filter| filter.matches(event))
    }
}

// === impl Dialect ===

impl Dialect {
    fn matches(&self, event: &IntegrationEvent) -> bool {
        match self {
            Self::Compare(fits, pairs) => {
                pairs.iter().all(|(name, wanted)| text(event, name).is_some_and(|found| fits(&found, wanted)))
            }
            Self::All(filters) => filters.iter().all(|filter| filter.matches(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event)),
            Self::Not(filter) => !filter.matches(event),
            Self::Sql(query) => query.matches(&|name| attribute(event, name)),
        }
    }
}

/// An attribute as text; none when the event does not have it.
fn text<'e>(event: &'e IntegrationEvent, name: &str) -> Option<Cow<'e, str>> {
    Some(match name {
        "specversion" => "1.0".into(),
        "id" => event.id.to_string().into(),
        "source" => (&*event.source).into(),
        "type" => (&*event.event_type).into(),
        "subject" => event.subject.as_deref()?.into(),
        "time" => event.time.to_string().into(),
        "datacontenttype" => (!event.data.is_null()).then_some("application/json")?.into(),
        "traceparent" => event.traceparent.as_deref()?.text().into(),
        "tracestate" => event.traceparent.as_deref()?.state()?.into(),
        name => match event.extension(name)? {
            Value::String(text) => text.as_str().into(),
            other => other.to_string().into(),
        },
    })
}

/// An attribute as CESQL sees it.
fn attribute(event: &IntegrationEvent, name: &str) -> Option<Attribute> {
    let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
    match event.extension(name) {
        Some(Value::Bool(value)) => Some(Attribute::Boolean(*value)),
        Some(value) if number(value).is_some() => number(value).map(Attribute::Integer),
        _ => text(event, name).map(|text| Attribute::Text(text.into_owned())),
    }
}

struct Compiler {
    mistakes: Vec<Mistake>,
    count: usize,
    depth: usize,
}

// === impl Compiler ===

impl Compiler {
    fn complain(&mut self, mistake: Mistake) -> Option<Dialect> {
        self.mistakes.push(mistake);
        None
    }

    /// What `read` gives; its mistakes are those of `key`.
    fn under<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.mistakes.len();
        let made = read(self);
        let own = self.mistakes.split_off(before);
        self.mistakes.extend(own.into_iter().map(|mistake| mistake.within(key)));
        made
    }

    fn list(&mut self, written: &Value, what: &str) -> Vec<Dialect> {
        let Value::Array(filters) = written else {
            self.complain(Mistake::new(format!("{what} must be a list"), ""));
            return Vec::new();
        };
        let numbered = filters.iter().enumerate();
        numbered.filter_map(|(at, filter)| self.under(&format!("[{at}]"), |inner| inner.one(filter))).collect()
    }

    fn one(&mut self, written: &Value) -> Option<Dialect> {
        self.count += 1;
        if self.count > MAX_FILTERS || self.depth == MAX_DEPTH {
            let told = self.count > MAX_FILTERS + 1;
            let what = format!("there are more than {MAX_FILTERS} filters, or more than {MAX_DEPTH} in each other");
            return if told { None } else { self.complain(Mistake::new(what, "")) };
        }
        let entries: Vec<_> = written.as_object().map(|map| map.iter().collect()).unwrap_or_default();
        let [(name, value)] = entries[..] else {
            let hint = "write `{ \"prefix\": { \"type\": \"com.acme.\" } }`";
            return self.complain(Mistake::new("a filter is an object with one dialect", hint));
        };
        self.depth += 1;
        let made = self.under(name, |inner| inner.dialect(name, value));
        self.depth -= 1;
        made
    }

    fn dialect(&mut self, name: &str, value: &Value) -> Option<Dialect> {
        match name {
            "exact" => self.compare(value, |found, wanted| found == wanted),
            "prefix" => self.compare(value, |found, wanted| found.starts_with(wanted)),
            "suffix" => self.compare(value, |found, wanted| found.ends_with(wanted)),
            "all" | "any" => {
                let filters = self.list(value, "it");
                if filters.is_empty() && self.mistakes.is_empty() {
                    return self.complain(Mistake::new("needs one filter at least", ""));
                }
                Some(if name == "all" { Dialect::All(filters) } else { Dialect::Any(filters) })
            }
            "not" => self.one(value).map(|filter| Dialect::Not(Box::new(filter))),
            "sql" => match value.as_str().map(Query::compile) {
                Some(Ok(query)) => Some(Dialect::Sql(Box::new(query))),
                Some(Err(mistake)) => self.complain(mistake),
                None => self.complain(Mistake::new("must be a string", "")),
            },
            unknown => {
                let hint = did_you_mean(unknown, NAMES.into_iter());
                let hint = hint.unwrap_or_else(|| format!("known are {}", NAMES.join(", ")));
                self.complain(Mistake::new("is no dialect", hint))
            }
        }
    }

    fn compare(&mut self, value: &Value, fits: fn(&str, &str) -> bool) -> Option<Dialect> {
        let empty = Map::new();
        let pairs = value.as_object().unwrap_or(&empty);
        if pairs.is_empty() {
            let hint = "write `{ \"type\": \"com.acme.order\" }`";
            return self.complain(Mistake::new("needs attributes, and a text for each", hint));
        }
        let mut compared = Vec::with_capacity(pairs.len());
        for (name, wanted) in pairs {
            if !is_name(name) {
                let hint = "names have small letters and digits only, and data is seen by `filter`";
                self.complain(Mistake::new("is no name of an attribute", hint).within(name));
            }
            match wanted.as_str() {
                Some(wanted) if !wanted.is_empty() => compared.push((name.clone(), wanted.to_owned())),
                _ => drop(self.complain(Mistake::new("must be a string that is not empty", "").within(name))),
            }
        }
        Some(Dialect::Compare(fits, compared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EventId;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use serde_json::json;

    fn event() -> IntegrationEvent {
        let origin = Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        IntegrationEvent {
            id: EventId::from_bytes([7; 16]),
            time: origin.timestamp,
            origin,
            mapping: "m".into(),
            ord: 0,
            source: "https://acme.com/shop".into(),
            event_type: "com.acme.order.placed".into(),
            subject: Some("o-1".into()),
            tenant: Some("m-1".into()),
            key: Some("k".into()),
            traceparent: None,
            extensions: vec![
                ("region".into(), json!("eu")),
                ("priority".into(), json!(5)),
                ("vip".into(), json!(true)),
            ],
            data: json!({"total": 150}),
        }
    }

    fn passes(filters: Value) -> bool {
        Dialects::compile(&filters).unwrap_or_else(|mistakes| panic!("{mistakes:?}")).matches(&event())
    }

    #[test]
    fn sb_4_every_filter_of_the_list_must_be_true_and_none_is_true() {
        assert!(passes(json!([])));
        assert!(passes(json!([{"prefix": {"type": "com.acme."}}, {"exact": {"subject": "o-1", "region": "eu"}}])));
        assert!(!passes(json!([{"prefix": {"type": "com.acme."}}, {"exact": {"subject": "o-1", "region": "us"}}])));
    }

    #[test]
    fn sb_4_each_dialect_says_what_the_standard_says() {
        for (filter, wanted) in [
            (json!({"exact": {"type": "com.acme.order.placed"}}), true),
            (json!({"exact": {"type": "COM.acme.order.placed"}}), false),
            (json!({"prefix": {"source": "https://", "type": "com."}}), true),
            (json!({"suffix": {"type": ".placed"}}), true),
            (json!({"suffix": {"type": ".paid"}}), false),
            (json!({"all": [{"exact": {"region": "eu"}}, {"exact": {"priority": "5"}}]}), true),
            (json!({"any": [{"exact": {"region": "us"}}, {"exact": {"vip": "true"}}]}), true),
            (json!({"any": [{"exact": {"region": "us"}}]}), false),
            (json!({"not": {"suffix": {"source": "/test"}}}), true),
            (json!({"sql": "int(priority) > 3 AND region IN ('eu', 'no')"}), true),
            (json!({"sql": "vip AND priority = 5 AND EXISTS time AND NOT EXISTS traceparent"}), true),
            (json!({"exact": {"specversion": "1.0", "datacontenttype": "application/json"}}), true),
            (json!({"exact": {"tenant": "m-1"}}), false),
        ] {
            assert_eq!(passes(json!([filter])), wanted, "{filter}");
        }
    }

    #[test]
    fn sb_5_an_absent_attribute_makes_a_comparison_false_and_not_makes_that_true() {
        for dialect in ["exact", "prefix", "suffix"] {
            assert!(!passes(json!([{dialect: {"nothing": "x"}}])));
            assert!(passes(json!([{"not": {dialect: {"nothing": "x"}}}])));
        }
    }

    #[test]
    fn sb_5_what_is_no_filter_is_refused_with_its_path() {
        let told = |filters: Value| {
            let mistakes = Dialects::compile(&filters).unwrap_err();
            mistakes.into_iter().map(|mistake| format!("{}: {mistake}", mistake.path)).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(told(json!({})), ": the list of filters must be a list");
        assert!(told(json!([{"exat": {}}])).starts_with("[0].exat: is no dialect. did you mean `exact`?"));
        assert!(told(json!([{}, "x", {"exact": {"a": "b"}, "not": {}}])).matches("a filter is an object").count() == 3);
        assert!(told(json!([{"exact": {}}])).starts_with("[0].exact: needs attributes"));
        assert_eq!(told(json!([{"any": []}])), "[0].any: needs one filter at least");
        assert_eq!(
            told(json!([{"all": [{"prefix": {"type": ""}}]}])),
            "[0].all[0].prefix.type: must be a string that is not empty"
        );
        assert!(told(json!([{"exact": {"data.total": "1"}}])).starts_with("[0].exact.data.total: is no name"));
        assert!(told(json!([{"not": {"sql": "type ="}}])).starts_with("[0].not.sql: the expression ends too early"));
        assert_eq!(told(json!([{"sql": 5}])), "[0].sql: must be a string");
        let deep = (0..20).fold(json!({"exact": {"a": "b"}}), |inner, _| json!({ "not": inner }));
        assert!(told(json!([deep])).contains("more than 16 in each other"));
        let many = vec![json!({"exact": {"a": "b"}}); 200];
        assert!(told(json!(many)).ends_with("there are more than 100 filters, or more than 16 in each other"));
    }
}
