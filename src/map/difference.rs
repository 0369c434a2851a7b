//! What other rules mean for who waits: a mapping that is gone, or whose events have another type.
//!
//! What stands behind a cursor is mapped by the rules in force when it is read. Under another name an event also has
//! another id.

use crate::map::mapping::{Attribute, Mapping, TopicSelector};

/// A mapping that is not what it was.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its name.
    pub mapping: String,
    /// What became of it.
    pub became: Became,
    /// The type of its events, unless it is computed.
    pub event_type: Option<String>,
    topics: Vec<TopicSelector>,
}

/// What became of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// There is none of that name any more.
    Gone,
    /// Its events have this type, as it is written.
    Type(String),
}

// === impl Difference ===

impl Difference {
    /// Whether the mapping read `topic`.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|selector| selector.matches(topic))
    }
}

/// The mappings of `old` that are not among the `new` ones, or make events of another type there, in their order.
pub(crate) fn differences(old: &[Mapping], new: &[Mapping]) -> Vec<Difference> {
    let became = |mapping: &Mapping| match new.iter().find(|other| other.name == mapping.name) {
        None => Some(Became::Gone),
        Some(other) if written(other) != written(mapping) => Some(Became::Type(written(other).to_owned())),
        Some(_) => None,
    };
    let difference = |mapping: &Mapping| {
        let event_type = match &mapping.emit.event_type {
            Attribute::Fixed(text) => Some(text.to_string()),
            Attribute::Computed(_) => None,
        };
        let (name, topics) = (mapping.name.to_string(), mapping.from.clone());
        Some(Difference { mapping: name, became: became(mapping)?, event_type, topics })
    };
    old.iter().filter_map(difference).collect()
}

fn written(mapping: &Mapping) -> &str {
    match &mapping.emit.event_type {
        Attribute::Fixed(text) => text,
        Attribute::Computed(text) => text.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Mappings;
    use crate::map::written::Rules;
    use crate::model::problem::Problems;
    use crate::yaml::reader;

    fn mappings(text: &str) -> Mappings {
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        rules.add_file(&reader::read(&"m".into(), &format!("mappings: [{text}]")).unwrap(), &mut problems);
        let mappings = rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        mappings
    }

    #[test]
    fn a_mapping_that_is_gone_and_one_of_another_type_are_told_and_others_are_not() {
        let old = mappings(
            "{ name: kept, from: a, emit: { type: t.kept } }, { name: gone, from: [a, /b.*/], emit: { type: t.gone } }, \
             { name: typed, from: a, emit: { type: t.old } }, { name: computed, from: a, emit: { type: 't.${payload.x}' } }",
        );
        let new = mappings(
            "{ name: new, from: a, emit: { type: t.new } }, { name: typed, from: a, emit: { type: t.other } }, \
             { name: kept, from: b, when: 'true', emit: { type: t.kept, data: 1 } }, \
             { name: computed, from: a, emit: { type: 't.${payload.y}' } }",
        );
        let told = old.differences(&new);
        let told: Vec<_> =
            told.iter().map(|one| (one.mapping.as_str(), one.event_type.as_deref(), &one.became)).collect();
        assert_eq!(
            told,
            [
                ("gone", Some("t.gone"), &Became::Gone),
                ("typed", Some("t.old"), &Became::Type("t.other".into())),
                ("computed", None, &Became::Type("t.${payload.y}".into())),
            ]
        );
        let gone = &old.differences(&new)[0];
        assert!(gone.reads("a") && gone.reads("bc") && !gone.reads("c"));
        assert!(old.differences(&old).is_empty());
    }
}
