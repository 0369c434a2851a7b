//! Mapping files to mappings, catalogue and tests: found, read in sorted order, compiled together.

use crate::catalogue::published::Catalogue;
use crate::catalogue::settings::Validate;
use crate::catalogue::written::Events;
use crate::config::error::{ConfigError, Sources};
use crate::config::files::{self, Named};
use crate::config::reads::Files;
use crate::dryrun::suite::Test;
use crate::dryrun::written::Tests;
use crate::expr::secrets::Secrets;
use crate::intake::settings::IntakeSettings;
use crate::map::Mappings;
use crate::map::written::Rules;
use crate::model::problem::{Place, Problems};
use crate::pipeline::Pipeline;
use crate::yaml::reader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What mapping files hold, and which they are.
#[derive(Debug)]
pub struct RuleFiles {
    /// All mappings, compiled.
    pub mappings: Mappings,
    /// The published event types.
    pub catalogue: Catalogue,
    /// The tests beside the mappings.
    pub tests: Vec<Test>,
    /// The files, in the order in which they were read, with those of their tables.
    pub files: Vec<PathBuf>,
}

// === impl RuleFiles ===

impl RuleFiles {
    /// The rules bound together, and the tests beside them. Without a configuration every topic is JSON, and every limit
    /// what it is by default.
    #[must_use]
    pub fn suite(self) -> (Pipeline, Vec<Test>) {
        let pipeline = Pipeline::new(self.mappings, Vec::new(), IntakeSettings::default().event_bytes);
        (pipeline.publishing(self.catalogue, Validate::Off), self.tests)
    }
}

/// Reads the mapping files `paths` and those of the folders among them, without a configuration: `hmac` takes every name for
/// one of a secret, and fails when it runs.
///
/// # Errors
/// All mistakes in all files.
pub fn load(paths: &[PathBuf]) -> Result<RuleFiles, ConfigError> {
    let named = paths.iter().map(|path| {
        let place = Place::whole(path.display().to_string());
        Named { path: path.clone(), place, key: String::new() }
    });
    let (files, mut problems, mut sources) = (Files::default(), Problems::default(), Sources::default());
    let rules = read(&named.collect::<Vec<_>>(), Secrets::Unread, &files, (&mut problems, &mut sources));
    problems.or(rules).map_err(|problems| ConfigError::new(problems, sources, files.end()))
}

/// Reads the files that `named` stands for, each once.
pub(crate) fn read(
    named: &[Named],
    secrets: Secrets,
    reads: &Files,
    (problems, sources): (&mut Problems, &mut Sources),
) -> RuleFiles {
    let mut files: Vec<PathBuf> = Vec::new();
    let (mut rules, mut events, mut tests) = (Rules::knowing(secrets), Events::default(), Tests::default());
    for named in named {
        for file in files::found(named, reads, problems) {
            if files.contains(&file) {
                continue;
            }
            match reads.text(&file) {
                Ok(text) => {
                    let mut table = |_: &Place, path: &str| table(&file, path, reads, (&mut files, sources));
                    match reader::read(&Arc::from(file.display().to_string()), &text) {
                        Ok(node) => {
                            rules.add_file_with(&node, &mut table, problems);
                            events.add_file(&node, problems);
                            tests.add_file(&node, &|path| reads.text(path), problems);
                        }
                        Err(found) => problems.extend(found),
                    }
                    sources.add(&file, text);
                }
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", file.display());
                    problems.add(&named.place, named.key.clone(), what, "");
                }
            }
            files.push(file);
        }
    }
    let mappings = rules.finish(problems);
    RuleFiles { mappings, catalogue: events.finish(), tests: tests.finish(), files }
}

/// The file of a table: its path is relative to the mapping file that names it.
fn table(
    mappings: &Path,
    path: &str,
    reads: &Files,
    (files, sources): (&mut Vec<PathBuf>, &mut Sources),
) -> Result<(String, String), String> {
    let file = mappings.parent().unwrap_or(Path::new("")).join(path);
    let name = file.display().to_string();
    let text = reads.text(&file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    if !files.contains(&file) {
        sources.add(&file, text.clone());
        files.push(file);
    }
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, decoding::Decoding, schemas::Schemas};
    use crate::model::record::{Origin, Record};
    use crate::model::time::Timestamp;
    use serde_json::{Value, json};

    /// The events that the sample shop's mappings make of a record: type, subject, data.
    fn events(topic: &str, payload: &str) -> Vec<(String, Option<String>, Value)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/mappings");
        let rules = load(&[folder]).map_err(|error| error.report()).unwrap();
        let origin = Origin { topic: topic.into(), partition: 0, offset: 7, timestamp: Timestamp::from_millis(0) };
        let value = Some(payload.to_owned().into());
        let record = Record { origin, key: Some("o-1".into()), headers: Vec::new(), value };
        let decoded = decode::decode(&Decoding::default(), &record, &Schemas::default(), 1 << 20).unwrap();
        let mut events = Vec::new();
        for mapped in rules.mappings.map(topic, &decoded) {
            let made = mapped.result.map_err(|fault| format!("{}: {fault:?}", mapped.mapping)).unwrap();
            events.extend(made.into_iter().map(|event| (event.event_type.to_string(), event.subject, event.data)));
        }
        events
    }

    #[test]
    fn the_file_of_a_table_stands_beside_its_mappings_and_mistakes_in_it_show_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("m.yaml", "tables: { country: { $file: country.csv }, again: { $file: country.csv } }");
        write("country.csv", "code,name\nNO,Norway\n");
        let rules = load(&[folder.path().to_owned()]).map_err(|error| error.report()).unwrap();
        let names: Vec<_> = rules.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["country.csv", "m.yaml"]);
        write("country.csv", "code,name\nNO,Norway,more\n");
        let report = load(&[folder.path().to_owned()]).unwrap_err().report();
        assert!(
            report.contains("country.csv:2:1: tables.again: the line has 3 fields")
                && report.contains("| NO,Norway,more"),
            "{report}"
        );
    }

    #[test]
    fn the_sample_shop_announces_an_order_and_each_of_its_lines() {
        let order = r#"{"type":"OrderPlaced","id":"o-1","placed_at":"2026-01-01T08:30:00.000Z","merchant":"m-1",
            "currency":"EUR","total":150.20,"note":null,"customer":{"id":"c-1","name":"Ada Lovelace",
            "mail":"ada@example.com","ssn":"078-05-1120","address":{"street":"12 St James's Square","city":"London",
            "zip":"SW1Y 4JH","country":"GB"}},"lines":[{"sku":"ENGINE-01","title":"Engine","qty":1,"price":120.5},
            {"sku":"CARDS-100","title":"Cards","qty":3,"price":9.90},{"sku":"GIFT","title":"Gift","qty":0,"price":0}],
            "shipping":{"method":"post","express":true}}"#;
        let events = events("shop.orders", order);
        let types: Vec<&str> = events.iter().map(|(kind, ..)| kind.as_str()).collect();
        assert_eq!(types, [&["com.acme.order.placed.v1"][..], &["com.acme.order.line.v1"; 3]].concat());
        let (_, subject, data) = &events[0];
        assert_eq!(subject.as_deref(), Some("o-1"));
        let expected = r#"{"order_id":"o-1","merchant":"m-1","currency":"EUR","total":150.20,"pieces":4,
            "country":"United Kingdom","greeting":"Thank you, Ada Lovelace","customer":{"id":"c-1",
            "name":"Ada Lovelace","address":{"city":"London","zip":"SW1Y 4JH","country":"GB"}},
            "lines":[{"sku":"ENGINE-01","quantity":1},{"sku":"CARDS-100","quantity":3}],
            "shipping":{"express":true,"method":"post"}}"#;
        let (mut data, expected) = (data.clone(), serde_json::from_str::<Value>(expected).unwrap());
        let email = data["customer"].as_object_mut().unwrap().shift_remove("email").unwrap();
        assert!(email.as_str().is_some_and(|email| email != "ada@example.com"), "{email}");
        assert_eq!(data, expected);
        assert_eq!(events[2].1.as_deref(), Some("o-1/1"));
        assert_eq!(events[2].2["price"].to_string(), "9.90");
    }

    #[test]
    fn the_sample_shop_announces_cancellations_and_payments_and_keeps_the_rest_inside() {
        let cancelled =
            r#"{"type":"OrderCancelled","id":"o-1","cancelled_at":"2026-01-01T09:00:00Z","reason":"sold_out"}"#;
        let [(kind, _, data)] = &events("shop.orders", cancelled)[..] else { panic!("one event") };
        assert_eq!(kind, "com.acme.order.cancelled.v1");
        assert_eq!(data["explanation"], json!("An article is sold out"));
        for (accepted, expected) in [(true, "com.acme.payment.received.v1"), (false, "com.acme.payment.refused.v1")] {
            let payment = format!(
                r#"{{"id":"p-1","order":"o-1","at":"2026-01-01T08:31:00.000Z","accepted":{accepted},"amount":150.20,
                "currency":"EUR","card":{{"brand":"visa","number":"4111111111111111"}}}}"#
            );
            let [(kind, subject, data)] = &events("shop.payments", &payment)[..] else { panic!("one event") };
            assert_eq!((kind.as_str(), subject.as_deref()), (expected, Some("o-1")));
            assert_eq!(data["amount"].to_string(), "150.20");
            assert!(!data.to_string().contains("4111111111111111"));
        }
        assert_eq!(events("shop.orders", r#"{"type":"OrderViewed","id":"o-1"}"#), []);
    }
}
