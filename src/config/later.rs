//! Keys that are documented and whose rooms are not there yet: at their defaults they may stand, else they are refused.
//!
//! So an example that names every key can be loaded, and nothing that somebody asks for is silently left out.

use crate::config::reading::Reading;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Node};
use crate::yaml::{reader, units};
use serde_json::Value;

/// The documented default of `log.deliveries`.
pub(crate) const DELIVERY_LOG: &str = "{ keep: 7d, max: 1GiB }";
/// The documented default of `cluster`.
pub(crate) const CLUSTER: &str = "{ replicate: false, topic_prefix: hookline, replication_factor: 3 }";

/// Refuses `key` of `fields` when it is set to anything but `default`, which is YAML.
pub(crate) fn refuse(fields: &mut Fields<'_>, key: &str, default: &str, reading: &mut Reading) {
    let Some(field) = fields.optional(key) else { return };
    let default = reader::read(&"default".into(), default).expect("a default is YAML");
    compare(&field, &default, reading);
}

fn compare(field: &Field<'_>, default: &Node, reading: &mut Reading) {
    let (Data::Map(known), Data::Map(_)) = (&default.data, &field.node.data) else {
        if !same(&reading.typed(field.node).to_json(), &default.to_json()) {
            let hint = format!("Leave it out, or at its default: {}", shown(&default.to_json()));
            field.problem(&mut reading.problems, "is not yet available in this version", hint);
        }
        return;
    };
    // Of `{}` every key would be unknown: it stands for names that are the user's.
    if known.is_empty() && !matches!(&field.node.data, Data::Map(entries) if entries.is_empty()) {
        field.problem(&mut reading.problems, "is not yet available in this version", "Leave it out");
        return;
    }
    let Some(mut fields) = reading.section(Some(field.clone())) else { return };
    for entry in known {
        if let Some(field) = fields.optional(&entry.key) {
            compare(&field, &entry.value, reading);
        }
    }
    fields.finish(&mut reading.problems);
}

/// Whether two values mean the same: `7d` and `168h`, `1GiB` and `1024MiB`, 0.5 and 0.50.
fn same(written: &Value, default: &Value) -> bool {
    match (written, default) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            let durations = units::duration(a).zip(units::duration(b));
            let sizes = units::size(a).zip(units::size(b));
            a == b || durations.is_some_and(|(a, b)| a == b) || sizes.is_some_and(|(a, b)| a == b)
        }
        _ => written == default,
    }
}

fn shown(default: &Value) -> String {
    match default {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
