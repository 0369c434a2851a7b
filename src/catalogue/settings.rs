//! `catalogue:` how the catalogue is headed, and how much of what leaves is held against it.

/// What stands at the head of its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What all these events are called together.
    pub title: String,
    /// The version of the whole.
    pub version: String,
    /// What readers should know first.
    pub description: Option<String>,
}

/// How much of what leaves the house is held against the schemas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validate {
    /// Nothing: the tests beside the mappings do it.
    #[default]
    Off,
    /// One event of [`SAMPLE`], by its id.
    Sample,
    /// Every event.
    All,
}

/// Of how many events a sample takes one: a schema costs a few microseconds, which this makes nothing of.
pub const SAMPLE: u8 = 128;

// === impl About ===

impl Default for About {
    /// A catalogue that nobody has headed.
    fn default() -> Self {
        Self { title: "Webhooks".into(), version: "1.0.0".into(), description: None }
    }
}

// === impl Validate ===

impl Validate {
    /// Every choice by its word in the configuration.
    pub const WORDS: [(&str, Self); 3] = [("off", Self::Off), ("sample", Self::Sample), ("all", Self::All)];
}
