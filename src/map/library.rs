//! Fragments: templates with a name, shared by all mappings, with the places where they stand.

use crate::expr::fragments::Fragments;
use crate::expr::scope::Names;
use crate::map::surroundings::Uses;
use crate::map::tables::is_name;
use crate::model::problem::{Place, Problems};
use crate::yaml::fields::Field;
use crate::yaml::node::Node;
use std::collections::BTreeMap;

/// The fragments of all files.
#[derive(Debug, Default)]
pub(crate) struct Library(BTreeMap<String, Fragment>);

/// A fragment as it was written.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// What was written.
    pub(crate) node: Node,
    /// Its path in the file.
    pub(crate) path: String,
    place: Place,
}

// === impl Library ===

impl Library {
    /// Takes over the fragments of one file.
    pub(crate) fn add(&mut self, field: &Field<'_>, problems: &mut Problems) {
        for (entry, fragment) in field.entries(problems).unwrap_or_default() {
            if !is_name(&entry.key) {
                let hint = "Use letters, digits and `_`, and no digit first";
                problems.add(&entry.place, fragment.path.clone(), "is not a name for a fragment", hint);
            }
            if let Some(first) = self.0.get(&entry.key) {
                let hint = format!("The first is at {}", first.place);
                problems.add(&entry.place, fragment.path.clone(), "there are two fragments of this name", hint);
            } else {
                let (node, path, place) = (fragment.node.clone(), fragment.path.clone(), entry.place.clone());
                self.0.insert(entry.key.clone(), Fragment { node, path, place });
            }
        }
    }

    /// All of them, ready to be used; each of them may use `names`.
    pub(crate) fn fragments(&self, names: Names) -> Fragments {
        Fragments::new(names, self.0.iter().map(|(name, fragment)| (name.clone(), fragment.node.to_json())).collect())
    }

    /// The one called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&Fragment> {
        self.0.get(name)
    }

    /// Adds what a mapping uses through its fragments.
    pub(crate) fn add_uses(&self, uses: &mut Uses) {
        self.0.values().for_each(|fragment| uses.add_all(&fragment.node));
    }
}
