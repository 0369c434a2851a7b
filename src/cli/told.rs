//! An explanation as `hookline map` tells it to people.

use crate::cli::output::{self, Look, Output};
use crate::dryrun::explain::{Became, Explained, Explanation, Told, Verdict};
use crate::dryrun::told::Known;
use crate::map::mapping::OnError;
use crate::model::event::IntegrationEvent;
use crate::model::quarantine::Fault;
use crate::model::subscription::Subscription;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What becomes of the record.
    Outcome,
    /// Also what does not, and why.
    Reasons,
}

/// Tells it for people.
#[must_use]
pub fn text(explanation: &Explanation<'_>, (known, detail): (&Known, Detail), output: &Output) -> String {
    let mut lines = Vec::new();
    if let Some(undecoded) = &explanation.undecoded {
        lines.push(output.paint(Look::Bad, "cannot be decoded, goes to quarantine"));
        lines.push(output::indent(&fault(undecoded), 2));
    }
    for told in &explanation.mappings {
        lines.extend(mapping(told, known, detail, output));
    }
    if lines.is_empty() {
        lines.push("no mapping makes anything of it; --explain says why".into());
    }
    if let (Known::Unknown(why), Some(_)) = (known, explanation.events().next()) {
        lines.push(output.paint(Look::Dim, &format!("who would get it is not known: {why}")));
    }
    lines.join("\n")
}

fn mapping(told: &Told<'_>, known: &Known, detail: Detail, output: &Output) -> Vec<String> {
    let name = output.paint(Look::Bold, &told.mapping);
    match &told.became {
        Became::OtherTopic | Became::Nothing if detail == Detail::Outcome => Vec::new(),
        Became::OtherTopic => vec![format!("{name} reads other topics")],
        Became::Nothing => vec![format!("{name} makes nothing of it: `when` is false, or `each` is empty")],
        Became::Fails { fault: failed, on_error } => {
            let follows = match on_error {
                OnError::Quarantine => "the record goes to quarantine",
                OnError::Drop => "which its on_error drops",
                OnError::Stop => "which stops the partition, as its on_error says",
            };
            let fails = output.paint(Look::Bad, "fails");
            vec![format!("{name} {fails}, {follows}"), output::indent(&fault(failed), 2)]
        }
        Became::Events(events) => {
            let mut lines = vec![format!("{name} makes {}", output::count(events.len(), "event"))];
            for explained in events {
                lines.push(output::indent(&event(&explained.event, output), 2));
                lines.extend(takers(explained, known, detail, output).into_iter().map(|line| format!("    {line}")));
            }
            lines
        }
    }
}

fn event(event: &IntegrationEvent, output: &Output) -> String {
    let mut lines = vec![output.paint(Look::Good, &event.event_type)];
    let mut attribute = |name: &str, value: &str| lines.push(format!("  {name:<8} {value}"));
    attribute("source", &event.source);
    attribute("time", &event.time.to_string());
    let optional = [("subject", &event.subject), ("tenant", &event.tenant), ("key", &event.key)];
    for (name, value) in optional {
        if let Some(value) = value {
            attribute(name, value);
        }
    }
    for (name, value) in &event.extensions {
        attribute(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    let data = serde_json::to_string_pretty(&event.data).unwrap_or_default();
    match data.lines().count() {
        1 => attribute("data", &data),
        _ => {
            lines.push("  data".into());
            lines.push(output::indent(&data, 4));
        }
    }
    lines.join("\n")
}

/// Who gets an event and, where it is asked for, who does not and why.
fn takers(explained: &Explained<'_>, known: &Known, detail: Detail, output: &Output) -> Vec<String> {
    if matches!(known, Known::Unknown(_)) {
        return Vec::new();
    }
    let (get, not): (Vec<_>, Vec<_>) = explained.verdicts.iter().partition(|verdict| verdict.why_not.is_none());
    let mut lines: Vec<String> = get.iter().map(|verdict| format!("goes to  {}", who(verdict.subscription))).collect();
    if get.is_empty() {
        lines.push("goes to  nobody".into());
    }
    if detail == Detail::Reasons {
        let reason = |verdict: &&Verdict<'_>| {
            let why = verdict.why_not.as_ref()?;
            Some(output.paint(Look::Dim, &format!("not to   {}: {why}", who(verdict.subscription))))
        };
        lines.extend(not.iter().filter_map(reason));
    } else if !not.is_empty() {
        let others = output::count(not.len(), "other");
        lines.push(output.paint(Look::Dim, &format!("not to   {others}; --explain says why")));
    }
    lines
}

fn who(subscription: &Subscription) -> String {
    let name = subscription.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{}{name} ({}, {})", subscription.id, subscription.format.as_str(), subscription.url)
}

fn fault(fault: &Fault) -> String {
    let field = fault.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
    let expression = fault.expression.as_ref().map(|source| format!("\nin {source}")).unwrap_or_default();
    format!("{field}{}{expression}", fault.detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rules;
    use crate::dryrun::explain;
    use crate::dryrun::told::json;
    use crate::model::record::{Origin, Record};
    use crate::model::time::Timestamp;
    use crate::pipeline::Pipeline;
    use serde_json::{Value, json};

    const RULES: &str = "
mappings:
  - { name: paid, from: shop.orders, emit: { type: com.acme.paid, time: '2026-01-01T00:00:00Z', key: k, data: { total: '${payload.total}' } } }
  - { name: lines, from: shop.orders, each: payload.lines, emit: { type: com.acme.line } }
  - { name: elsewhere, from: crm, emit: { type: com.acme.crm } }
";

    /// What is told of a record: as text, and as JSON.
    fn told(value: &'static str, known: &Known, detail: Detail) -> (String, Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.yaml");
        std::fs::write(&file, RULES).unwrap();
        let rules = rules::load(&[file]).map_err(|error| error.report()).unwrap();
        let pipeline = Pipeline::new(rules.mappings, Vec::new(), 1 << 20);
        let origin =
            Origin { topic: "shop.orders".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        let record = Record { origin, key: None, headers: Vec::new(), value: Some(value.into()) };
        let explained = explain::explain(&pipeline, &record, known.subscriptions());
        (text(&explained, (known, detail), &Output::plain()), json(&explained, known))
    }

    #[test]
    fn an_event_is_told_with_its_attributes_its_data_and_who_gets_it() {
        let known = Known::All(Vec::new());
        let (text, json) = told(r#"{"total":10.10,"lines":[]}"#, &known, Detail::Reasons);
        let expected = "paid makes 1 event\n  com.acme.paid\n    source   urn:hookline:shop.orders\n    \
            time     2026-01-01T00:00:00.000Z\n    key      k\n    data\n      {\n        \"total\": 10.10\n      }\n    \
            goes to  nobody\nlines makes nothing of it: `when` is false, or `each` is empty\nelsewhere reads other topics";
        assert_eq!(text, expected);
        assert_eq!(json["mappings"][0]["events"][0]["event"]["data"].to_string(), r#"{"total":10.10}"#);
        assert_eq!(json["mappings"][0]["events"][0]["subscriptions"], json!([]));
        assert_eq!(json["mappings"][2]["result"], "other_topic");
    }

    #[test]
    fn a_fault_is_told_with_its_field_its_expression_and_what_follows() {
        let known = Known::Unknown("the store is in use".into());
        let (text, json) = told(r#"{"lines":[1]}"#, &known, Detail::Outcome);
        assert!(text.starts_with("paid fails, the record goes to quarantine\n  emit.data.total: "), "{text}");
        assert!(text.contains("\n  in ") && text.contains("payload.total"), "{text}");
        assert!(text.ends_with("who would get it is not known: the store is in use"), "{text}");
        assert_eq!((&json["quarantined"], &json["mappings"][0]["result"]), (&json!(true), &json!("quarantined")));
        assert_eq!(json["mappings"][1]["events"][0]["subscriptions"], Value::Null);
    }

    #[test]
    fn what_cannot_be_decoded_is_told_alone() {
        let (text, json) = told("{", &Known::All(Vec::new()), Detail::Reasons);
        assert!(text.starts_with("cannot be decoded, goes to quarantine\n  "), "{text}");
        assert_eq!(json["fault"]["reason"], "decode");
    }
}
