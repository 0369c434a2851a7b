//! One mapping, ready to run: the topics it is for, and what an event of theirs becomes.

use crate::expr::expression::Expression;
use crate::expr::template::Template;
use crate::expr::text::Text;
use crate::map::error::SelectorError;
use crate::map::surroundings::Uses;
use regex::{Regex, RegexBuilder};
use std::fmt;
use std::sync::Arc;

/// What becomes of a record that a mapping fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is kept in quarantine, and the partition goes on.
    #[default]
    Quarantine,
    /// It is dropped and counted.
    Drop,
    /// The partition stops.
    Stop,
}

/// A compiled mapping.
#[derive(Debug)]
pub struct Mapping {
    pub(crate) name: Arc<str>,
    pub(crate) from: Vec<TopicSelector>,
    pub(crate) on_error: OnError,
    pub(crate) uses: Uses,
    pub(crate) when: Option<Expression>,
    pub(crate) lets: Vec<Let>,
    pub(crate) each: Option<Each>,
    pub(crate) emit: Emit,
}

/// A name for a value.
#[derive(Debug)]
pub(crate) struct Let {
    pub(crate) name: String,
    pub(crate) value: Expression,
}

/// One record, many events: a list, and what runs once for each of its items.
#[derive(Debug)]
pub(crate) struct Each {
    pub(crate) list: Expression,
    pub(crate) when: Option<Expression>,
    pub(crate) lets: Vec<Let>,
}

/// What an event is made of.
#[derive(Debug)]
pub(crate) struct Emit {
    pub(crate) event_type: Attribute,
    pub(crate) source: Option<Attribute>,
    pub(crate) subject: Option<Text>,
    pub(crate) time: Option<Text>,
    pub(crate) tenant: Option<Text>,
    pub(crate) key: Option<Text>,
    pub(crate) extensions: Vec<(Arc<str>, Text)>,
    pub(crate) data: Option<Template>,
}

/// A required attribute: written out and checked at load, or computed.
#[derive(Debug)]
pub(crate) enum Attribute {
    /// The same for every event.
    Fixed(Arc<str>),
    /// Computed and checked for each event.
    Computed(Text),
}

/// A topic's name, or a pattern.
#[derive(Clone, Debug)]
pub enum TopicSelector {
    /// Exactly this topic.
    Name(String),
    /// Every topic whose whole name matches.
    Pattern(Regex),
}

/// A compiled pattern may take this much memory; what is larger is not meant for topic names.
const PATTERN_BYTES: usize = 1 << 20;

// === impl TopicSelector ===

impl TopicSelector {
    /// Reads `name` or `/pattern/`; a pattern matches whole names only.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let pattern = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        if let Some(pattern) = pattern {
            // Compiled alone first, so that a stray bracket cannot close ours.
            let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_BYTES).build();
            build(pattern).map_err(SelectorError::Pattern)?;
            return Ok(Self::Pattern(build(&format!(r"\A(?:{pattern})\z")).map_err(SelectorError::Pattern)?));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=249).contains(&text.len()) && text.chars().all(allowed) && text != "." && text != ".." {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(SelectorError::Name(text.to_owned()))
        }
    }

    /// Whether `topic` is selected.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Name(name) => name == topic,
            Self::Pattern(pattern) => pattern.is_match(topic),
        }
    }
}

impl fmt::Display for TopicSelector {
    /// As it is written: `name` or `/pattern/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pattern(pattern) => {
                let whole = pattern.as_str();
                let written = whole.strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z"));
                write!(f, "/{}/", written.unwrap_or(whole))
            }
        }
    }
}

// === impl OnError ===

impl OnError {
    /// The choice as a mapping writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Drop => "drop",
            Self::Stop => "stop",
        }
    }
}

// === impl Mapping ===

impl Mapping {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The topics that it reads.
    #[must_use]
    pub fn topics(&self) -> &[TopicSelector] {
        &self.from
    }

    /// What becomes of a record that it fails on.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The type of its events; `None` when that depends on the record.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        match &self.emit.event_type {
            Attribute::Fixed(event_type) => Some(event_type),
            Attribute::Computed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_selects_itself_and_a_pattern_whole_names() {
        let selects = |text: &str, topic: &str| TopicSelector::parse(text).unwrap().matches(topic);
        assert!(selects("shop.orders", "shop.orders"));
        assert!(!selects("shop.orders", "shopxorders"));
        assert!(selects(r"/shop\..*|crm/", "shop.orders") && selects(r"/shop\..*|crm/", "crm"));
        assert!(!selects(r"/shop\..*|crm/", "my.shop.orders") && !selects("/crm/", "crm2"));
    }

    #[test]
    fn what_selects_nothing_says_why() {
        for name in ["", ".", "..", "a b", "a/b", "/a", &"x".repeat(250)] {
            assert!(TopicSelector::parse(name).unwrap_err().to_string().contains("not a topic name"), "{name}");
        }
        for pattern in ["/(/", "/a)|(b/", r"/\w{1000}{1000}/"] {
            assert!(TopicSelector::parse(pattern).unwrap_err().to_string().contains("regular expression"), "{pattern}");
        }
    }
}
