//! `--set path.to.key=value`: puts values over those of the file, as if they stood there.
//!
//! A value is YAML. Below `kafka.properties`, `topics` and `secrets` the rest of a path is one key, full stops
//! included (`kafka.properties.security.protocol=ssl`, `topics.shop.orders.format=text`). Lists are set whole.

use crate::model::problem::{Place, Problems};
use crate::yaml::node::{Data, Entry, Node};
use crate::yaml::reader;
use std::sync::Arc;

/// The file that places of set values name.
pub(crate) const FILE: &str = "--set";

/// What stands below a topic, behind its name.
const OF_A_TOPIC: [&str; 2] = [".format", ".inner"];

/// Puts `sets` over `tree`, in their order.
pub(crate) fn apply(tree: &mut Node, sets: &[String], problems: &mut Problems) {
    let (file, place) = (Arc::from(FILE), Place::whole(FILE));
    for set in sets {
        // What stands there may be a secret: without its `=` it is not repeated.
        let Some((path, text)) = set.split_once('=') else {
            problems.add(&place, "", "there is no `=`", "Write --set path.to.key=value");
            continue;
        };
        let keys = keys(path.trim());
        if keys.iter().any(|key| key.is_empty() || key.contains(['[', ']'])) {
            let hint = "Write the keys with full stops between them; a list is set whole: --set mappings=[a, b]";
            problems.add(&place, path, "is not the path of a key", hint);
            continue;
        }
        match reader::read(&file, text) {
            Ok(value) => put(tree, &keys, Node::from_json(&file, &value.to_json())),
            Err(found) => {
                let told = found.0.into_iter().map(|problem| (problem.what, problem.hint));
                told.for_each(|(what, hint)| problems.add(&place, path, what, hint));
            }
        }
    }
}

fn keys(path: &str) -> Vec<&str> {
    for (parent, map) in [(&["kafka", "properties"][..], "kafka.properties."), (&["secrets"], "secrets.")] {
        if let Some(key) = path.strip_prefix(map) {
            return [parent, &[key]].concat();
        }
    }
    let Some(rest) = path.strip_prefix("topics.") else { return path.split('.').collect() };
    match OF_A_TOPIC.iter().find_map(|end| Some((rest.strip_suffix(end)?, &end[1..]))) {
        Some((topic, key)) => vec!["topics", topic, key],
        None => vec!["topics", rest],
    }
}

fn put(node: &mut Node, keys: &[&str], value: Node) {
    let Some((key, rest)) = keys.split_first() else {
        *node = value;
        return;
    };
    if !matches!(node.data, Data::Map(_)) {
        node.data = Data::Map(Vec::new());
    }
    let Data::Map(entries) = &mut node.data else { return };
    let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
        let place = value.place.clone();
        let nothing = Node { place: place.clone(), data: Data::Null };
        entries.push(Entry { key: (*key).to_owned(), place, value: nothing });
        entries.len() - 1
    });
    put(&mut entries[at].value, rest, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(text: &str, sets: &[&str]) -> (serde_json::Value, Vec<String>) {
        let mut tree = reader::read(&"f".into(), text).unwrap();
        let mut problems = Problems::default();
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        apply(&mut tree, &sets, &mut problems);
        (tree.to_json(), problems.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_set_value_wins_over_the_file_and_the_last_one_over_the_first() {
        let sets = ["a.b=2", "a.b=[x, 3]", "new.key=true", "e=", "url=http://x:1/?a=b"];
        let (tree, problems) = applied("a: {b: 1, c: 1}\ne: 5", &sets);
        let expected = json!({"a": {"b": ["x", 3], "c": 1}, "e": null, "new": {"key": true}, "url": "http://x:1/?a=b"});
        assert_eq!((tree, problems.len()), (expected, 0));
    }

    #[test]
    fn names_of_the_users_may_hold_full_stops() {
        let sets = ["kafka.properties.security.protocol=ssl", "topics.shop.orders.format=text", "secrets.a.b=c"];
        let (tree, _) = applied("", &sets);
        let expected = json!({
            "kafka": {"properties": {"security.protocol": "ssl"}},
            "topics": {"shop.orders": {"format": "text"}},
            "secrets": {"a.b": "c"},
        });
        assert_eq!(tree, expected);
    }

    #[test]
    fn every_wrong_set_is_told_as_such() {
        let (_, problems) = applied("", &["hunter2", "a..b=1", "a[0]=1", "k=[1"]);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(problems[0], "--set: there is no `=`. Write --set path.to.key=value");
        assert!(problems[1].starts_with("--set: a..b: is not the path of a key"));
        assert!(problems[2].starts_with("--set: a[0]: is not the path of a key"));
        assert!(problems[3].starts_with("--set: k: this is not YAML"), "{problems:?}");
    }
}
