//! `kafka:` which brokers, which group, and librdkafka's own properties.

use crate::config::reading::{Reading, put};
use crate::kafka::properties;
use crate::kafka::settings::{KafkaSettings, Start};
use crate::model::problem::{Place, Problems};
use crate::model::secret::Secret;
use crate::yaml::fields::Field;
use crate::yaml::node::Data;
use std::collections::BTreeMap;

const START: &[(&str, Start)] = &[("earliest", Start::Earliest), ("latest", Start::Latest)];

/// The longest name of a group that every broker takes.
const GROUP: usize = 249;

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> KafkaSettings {
    let mut settings = KafkaSettings::default();
    let Some(mut fields) = reading.section(field) else { return settings };
    let problems = &mut reading.problems;
    if let Some(field) = fields.optional("brokers") {
        put(&mut settings.brokers, brokers(&field, problems));
    }
    if let Some(field) = fields.optional("group") {
        put(&mut settings.group, group(&field, problems));
    }
    if let Some(field) = fields.optional("start") {
        put(&mut settings.start, field.one_of(START, problems));
    }
    if let Some(field) = fields.optional("properties") {
        let places;
        (settings.properties, places) = texts(&field, problems);
        let all = &field.node.place;
        problems.extend(properties::check(&settings, &|name| places.get(name).unwrap_or(all).clone()));
    }
    fields.finish(problems);
    settings
}

fn brokers(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let text = field.string(problems)?;
    let Some(wrong) = text.split(',').map(str::trim).find(|broker| !is_broker(broker)) else { return Some(text) };
    let what = if wrong.is_empty() { "a broker is empty".to_owned() } else { format!("`{wrong}` is not a broker") };
    field.problem(problems, what, "Write host:port, several divided by commas");
    None
}

/// `host`, `host:port`, `[::1]:port`, each with or without `PROTOCOL://` before it, as librdkafka reads it.
fn is_broker(text: &str) -> bool {
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let Some((host, port)) = rest.split_once(']') else { return false };
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("", if port.is_empty() { Some("9092") } else { port.strip_prefix(':') })
        }
        None => address.split_once(':').map_or((address, Some("9092")), |(host, port)| (host, Some(port))),
    };
    let named = address.starts_with('[') || !host.is_empty();
    let letters = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    named && letters && port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn group(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let text = field.string(problems)?;
    if (1..=GROUP).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Some(text);
    }
    field.problem(problems, "is not the name of a group", format!("It has 1 to {GROUP} visible characters"));
    None
}

/// The properties as librdkafka takes them, all as text, and where each stands.
fn texts(field: &Field<'_>, problems: &mut Problems) -> (BTreeMap<String, Secret>, BTreeMap<String, Place>) {
    let (mut texts, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (entry, field) in field.entries(problems).unwrap_or_default() {
        let text = match &field.node.data {
            Data::String(text) => text.clone(),
            Data::Number(number) => number.to_string(),
            Data::Bool(value) => value.to_string(),
            // A reference that led nowhere left nothing, and is told already.
            Data::Null if problems.0.iter().any(|problem| problem.place == field.node.place) => continue,
            Data::Null | Data::List(_) | Data::Map(_) => {
                let what = format!("must be text, not {}", field.node.kind());
                field.problem(problems, what, "Names are written whole: security.protocol: ssl");
                continue;
            }
        };
        texts.insert(entry.key.clone(), Secret::new(text));
        places.insert(entry.key.clone(), entry.value.place.clone());
    }
    (texts, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_hosts_with_ports() {
        for good in ["localhost:9092", "kafka", "a.b-c_d:1", "10.0.0.1:9092", "[::1]:9092", "[::1]", "SSL://b:9093"] {
            assert!(is_broker(good), "{good}");
        }
        for bad in ["", "a:", "a:0", "a:70000", "a b:1", "::1:9092", "[::1:9092", "[x]:1", "http//x", "a/b", "a:1:2"] {
            assert!(!is_broker(bad), "{bad}");
        }
    }
}
