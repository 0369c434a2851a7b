//! Type patterns: `com.acme.order.placed`, `com.acme.order.*`, `com.acme.**` (PT-1 to PT-3).
//!
//! Takes what a subscriber wrote, gives something that matches event types. `*` is one segment, `**` any number of
//! them, none included; everything else is a letter.

use std::fmt;

/// A type pattern. It knows no invalid value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Vec<Segment>);

/// What stands between two full stops.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// Exactly this text.
    Literal(Box<str>),
    /// `*`: one segment that is not empty.
    One,
    /// `**`: any number of segments.
    Any,
}

/// Why a text is no pattern (PT-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing is written.
    #[error("the pattern is empty; `**` matches every type")]
    Empty,
    /// No pattern is in the list.
    #[error("there is no pattern; `**` matches every type")]
    EmptyList,
    /// Nothing stands before, after or between full stops.
    #[error("a segment is empty: every full stop needs something on both sides")]
    EmptySegment,
    /// A star stands beside letters.
    #[error("a star stands for whole segments: `*` for one, `**` for any number, as in `com.acme.order.*`")]
    PartialWildcard,
    /// White space or a control character.
    #[error("a pattern holds no white space and no control characters")]
    BadCharacter,
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with its first bad segment.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        text.split('.').map(segment).collect::<Result<_, _>>().map(Self)
    }

    /// Reads a list of patterns: at least one, and all must be good.
    ///
    /// # Errors
    /// What is wrong with the first bad one, or that there is none.
    pub fn parse_list<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<Self>, PatternError> {
        let patterns = texts.into_iter().map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        if patterns.is_empty() { Err(PatternError::EmptyList) } else { Ok(patterns) }
    }

    /// Whether it matches this event type. Takes time proportional to segments times segments at most.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        let segments: Vec<&str> = event_type.split('.').collect();
        let (mut at, mut taken) = (0, 0);
        // Only the last `**` needs to be tried again: what an earlier one could take, the last can take as well.
        let mut again: Option<(usize, usize)> = None;
        while taken < segments.len() {
            match self.0.get(at) {
                Some(Segment::Any) => {
                    again = Some((at + 1, taken));
                    at += 1;
                }
                Some(segment) if segment.takes(segments[taken]) => {
                    at += 1;
                    taken += 1;
                }
                _ => {
                    let Some((after, from)) = again else { return false };
                    again = Some((after, from + 1));
                    (at, taken) = (after, from + 1);
                }
            }
        }
        self.0[at..].iter().all(|segment| *segment == Segment::Any)
    }

    /// Its segments, at least one.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The one type it matches, when it holds no star.
    pub(crate) fn exact(&self) -> Option<String> {
        let literal = self.0.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        literal.then(|| self.to_string())
    }
}

impl fmt::Display for Pattern {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            write!(f, "{dot}{}", segment.as_str())?;
        }
        Ok(())
    }
}

fn segment(text: &str) -> Result<Segment, PatternError> {
    match text {
        "" => Err(PatternError::EmptySegment),
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Any),
        _ if text.contains('*') => Err(PatternError::PartialWildcard),
        _ if text.contains(|c: char| c.is_whitespace() || c.is_control()) => Err(PatternError::BadCharacter),
        _ => Ok(Segment::Literal(text.into())),
    }
}

// === impl Segment ===

impl Segment {
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::One => !text.is_empty(),
            Self::Any => true,
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Literal(literal) => literal,
            Self::One => "*",
            Self::Any => "**",
        }
    }
}

// === impl PatternError ===

impl PatternError {
    /// A short code for tables.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::EmptyList => "empty_list",
            Self::EmptySegment => "empty_segment",
            Self::PartialWildcard => "partial_wildcard",
            Self::BadCharacter => "bad_character",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn pt_1_to_3_every_case_of_the_vectors_is_answered_as_it_says() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("../../tests/vectors/patterns.json")).unwrap();
        assert_eq!(cases.len(), 126);
        for case in cases {
            let (input, expected) = (&case["input"], &case["expected"]);
            let parsed = match input["patterns"].as_array() {
                Some(list) => Pattern::parse_list(list.iter().map(|text| text.as_str().unwrap())),
                None => Pattern::parse(input["pattern"].as_str().unwrap()).map(|pattern| vec![pattern]),
            };
            let told = match (parsed, input["type"].as_str()) {
                (Err(error), _) => json!({"valid": false, "reason": error.code()}),
                (Ok(_), None) => json!({"valid": true}),
                (Ok(patterns), Some(event_type)) => {
                    json!({"valid": true, "match": patterns.iter().any(|pattern| pattern.matches(event_type))})
                }
            };
            assert_eq!(told, *expected, "{}", case["name"]);
        }
    }

    /// The definition itself, slow.
    fn defined(pattern: &[Segment], segments: &[&str]) -> bool {
        match (pattern.split_first(), segments.split_first()) {
            (None, None) => true,
            (Some((Segment::Any, rest)), None) => defined(rest, segments),
            (Some((Segment::Any, rest)), Some((_, others))) => defined(rest, segments) || defined(pattern, others),
            (Some((first, rest)), Some((segment, others))) => first.takes(segment) && defined(rest, others),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_definition_matches(
            pattern in "(a|b|\\*|\\*\\*)(\\.(a|b|\\*|\\*\\*)){0,6}",
            event_type in "(a|b|)(\\.(a|b|)){0,6}",
        ) {
            let parsed = Pattern::parse(&pattern).unwrap();
            let segments: Vec<_> = event_type.split('.').collect();
            prop_assert_eq!(parsed.matches(&event_type), defined(parsed.segments(), &segments));
            prop_assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn pt_3_many_double_stars_cost_segments_times_segments() {
        let pattern = Pattern::parse(&format!("{}b", "**.a.".repeat(200))).unwrap();
        // Without the bound this would outlive the universe.
        assert!(!pattern.matches(&vec!["a"; 2_000].join(".")));
    }
}
