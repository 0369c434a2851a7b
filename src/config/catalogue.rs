//! `catalogue:` how the published event types are headed, and how much of what leaves is held against them.

use crate::catalogue::settings::{About, Validate};
use crate::config::reading::{Reading, put};
use crate::yaml::fields::Field;

/// What this section says.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) about: About,
    pub(crate) validate: Validate,
}

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Published {
    let mut published = Published::default();
    let Some(mut fields) = reading.section(field) else { return published };
    if let Some(field) = fields.optional("title") {
        put(&mut published.about.title, field.string(&mut reading.problems));
    }
    if let Some(field) = fields.optional("version") {
        put(&mut published.about.version, field.string(&mut reading.problems));
    }
    if let Some(field) = fields.optional("description") {
        published.about.description = field.string(&mut reading.problems);
    }
    if let Some(field) = fields.optional("validate") {
        put(&mut published.validate, field.one_of(&Validate::WORDS, &mut reading.problems));
    }
    fields.finish(&mut reading.problems);
    published
}
