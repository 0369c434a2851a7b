//! What `$without` and `$rename` say of a copied object: which keys go, which get another name, at any depth.
//!
//! A path goes through lists: `lines.price` is the `price` of each entry of `lines`. A key that is not there is no
//! mistake: what is not there need not be left out.

use serde_json::{Map, Value};

/// What becomes of the keys of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reshape(Vec<(Box<str>, Fate)>);

/// What becomes of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fate {
    gone: bool,
    name: Option<Box<str>>,
    below: Reshape,
}

// === impl Reshape ===

impl Reshape {
    /// Leaves out what `path` leads to.
    pub fn without(&mut self, path: &[&str]) {
        if let Some(fate) = self.fate(path) {
            fate.gone = true;
        }
    }

    /// Names what `path` leads to `name`, where it stands.
    pub fn rename(&mut self, path: &[&str], name: &str) {
        if let Some(fate) = self.fate(path) {
            fate.name = Some(name.into());
        }
    }

    fn fate(&mut self, path: &[&str]) -> Option<&mut Fate> {
        let (first, rest) = path.split_first()?;
        let known = self.0.iter().position(|(key, _)| &**key == *first);
        let at = known.unwrap_or_else(|| {
            self.0.push(((*first).into(), Fate::default()));
            self.0.len() - 1
        });
        let fate = &mut self.0.get_mut(at)?.1;
        if rest.is_empty() { Some(fate) } else { fate.below.fate(rest) }
    }

    /// Copies `from` into `to`, reshaped; what goes is never copied.
    pub fn copy(&self, from: &Map<String, Value>, to: &mut Map<String, Value>) {
        for (key, value) in from {
            match self.0.iter().find(|(known, _)| **known == **key).map(|(_, fate)| fate) {
                None => {
                    to.insert(key.clone(), value.clone());
                }
                Some(fate) if fate.gone => {}
                Some(fate) => {
                    let name = fate.name.as_deref().unwrap_or(key);
                    to.insert(name.to_string(), fate.below.value(value));
                }
            }
        }
    }

    fn value(&self, from: &Value) -> Value {
        match from {
            other if self.0.is_empty() => other.clone(),
            Value::Object(map) => {
                let mut copy = Map::with_capacity(map.len());
                self.copy(map, &mut copy);
                Value::Object(copy)
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect()),
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_go_and_get_names_at_any_depth_and_in_each_entry_of_a_list() {
        let mut reshape = Reshape::default();
        reshape.without(&["ssn"]);
        reshape.without(&["address", "zip"]);
        reshape.without(&["lines", "cost"]);
        reshape.rename(&["mail"], "email");
        reshape.rename(&["address", "road"], "street");
        reshape.without(&["not", "there"]);
        let from = json!({"ssn": 1, "mail": "a@b", "address": {"zip": 2, "road": "x", "city": "y"},
            "lines": [{"cost": 1, "sku": "a"}, {"sku": "b"}], "n": 1});
        let mut to = Map::new();
        reshape.copy(from.as_object().unwrap(), &mut to);
        let wanted = r#"{"email":"a@b","address":{"street":"x","city":"y"},"lines":[{"sku":"a"},{"sku":"b"}],"n":1}"#;
        assert_eq!(Value::Object(to).to_string(), wanted);
    }
}
