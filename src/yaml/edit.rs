//! One value of a YAML text replaced, and all around it left as it is: comments, order, blank lines.
//!
//! Takes the text and the path of a value, finds where it stands, and puts another there in the style of its
//! surroundings. What comes out is read again: if anything else changed its meaning, it is refused.

use crate::model::problem::Problems;
use crate::yaml::node::{Data, Node};
use crate::yaml::{reader, writer};
use saphyr_parser::{Event, Parser, Span};
use serde_json::Value;

/// Why a value was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The text is not what it was.
    #[error("the file cannot be read any more: {0}")]
    Unreadable(Problems),
    /// There is no value at the path, or an alias brings it.
    #[error("there is nothing written at {0}")]
    Nothing(String),
    /// Something else would mean something else: an anchor in the value is used elsewhere, for instance.
    #[error("{0} cannot be replaced alone; change it by hand")]
    Entangled(String),
}

/// Where a value stands, in bytes.
struct Spot {
    /// Behind the colon of its key.
    colon: usize,
    begin: usize,
    end: usize,
    /// How far its key, and the value itself, are indented.
    key_column: usize,
    column: usize,
    /// Whether a bracket is open around it.
    around: Style,
    own: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Block,
    Flow,
}

/// `text` with `value` at `path` (`tests[3].expect`), where a value of a map stands now.
///
/// # Errors
/// It cannot be done without a change of something else.
pub fn replaced(text: &str, path: &str, value: &Value) -> Result<String, EditError> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut tree = reader::read(&"text".into(), bare).map_err(EditError::Unreadable)?;
    let spot = find(bare, path).ok_or_else(|| EditError::Nothing(path.to_owned()))?;
    let line_break = if bare.contains("\r\n") { "\r\n" } else { "\n" };
    let (from, new) = spot.replacement(bare, value);
    let edited = format!("{}{}{}", &bare[..from], new.replace('\n', line_break), &bare[spot.end..]);
    put(&mut tree, path, value).ok_or_else(|| EditError::Nothing(path.to_owned()))?;
    match reader::read(&"text".into(), &edited) {
        Ok(read) if read.to_json() == tree.to_json() => Ok(format!("{}{edited}", &text[..text.len() - bare.len()])),
        _ => Err(EditError::Entangled(path.to_owned())),
    }
}

/// Puts `value` at `path` of what was read.
fn put(node: &mut Node, path: &str, value: &Value) -> Option<()> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        *node = Node::from_json(&node.place.file, value);
        return Some(());
    }
    match &mut node.data {
        Data::List(nodes) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            put(nodes.get_mut(index.parse::<usize>().ok()?)?, rest, value)
        }
        Data::Map(entries) => entries.iter_mut().find_map(|entry| {
            let rest = path.strip_prefix(entry.key.as_str())?;
            if rest.is_empty() || rest.starts_with(['.', '[']) { put(&mut entry.value, rest, value) } else { None }
        }),
        _ => None,
    }
}

// === impl Spot ===

impl Spot {
    /// From where on to replace, and what stands there then.
    fn replacement(&self, text: &str, value: &Value) -> (usize, String) {
        let gap = &text[self.colon..self.begin];
        match (self.around, self.own) {
            (Style::Flow, _) => (self.begin, writer::flow(value)),
            // A remark between key and value stays where it is.
            (Style::Block, Style::Block) if !gap.trim().is_empty() => {
                (self.begin, writer::block(value, self.column)[self.column..].to_owned())
            }
            (Style::Block, Style::Block)
                if gap.contains('\n') && matches!(value, Value::Array(items) if !items.is_empty()) =>
            {
                (self.begin, writer::block(value, self.column)[self.column..].to_owned())
            }
            (Style::Block, Style::Block | Style::Flow) => (self.colon, writer::behind_key(value, self.key_column)),
        }
    }
}

/// A list or map that is open.
struct Open {
    path: String,
    style: Style,
    next: Next,
}

/// What a list or map awaits.
enum Next {
    Item(usize),
    Key,
    /// The value of this key, which ends there and is indented so far.
    Value {
        key: String,
        end: usize,
        column: usize,
    },
}

fn find(text: &str, path: &str) -> Option<Spot> {
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let (mut open, mut spot, mut below): (Vec<Open>, Option<Spot>, usize) = (Vec::new(), None, 0);
    for step in Parser::new_from_str(text) {
        let (event, span) = step.ok()?;
        let (begin, end) = (bytes[span.start.index()], bytes[span.end.index()]);
        match &event {
            Event::MappingEnd | Event::SequenceEnd => {
                let ended = open.pop()?;
                if below > 0 {
                    // Of a bracket the span goes on over what follows it; a block has no end of its own.
                    if let Some(spot) = &mut spot
                        && ended.style == Style::Flow
                    {
                        spot.end = begin + 1;
                    }
                    below -= 1;
                    if below == 0 {
                        return spot;
                    }
                }
            }
            Event::Scalar(..) | Event::Alias(_) | Event::MappingStart(..) | Event::SequenceStart(..) => {
                let Some(here) = enter(&mut open, (&event, span), end) else { continue };
                let scalar = matches!(event, Event::Scalar(..) | Event::Alias(_));
                let own = if text[begin..].starts_with(['[', '{']) { Style::Flow } else { Style::Block };
                if let Some(spot) = &mut spot {
                    spot.end = if scalar { text[..end].trim_end().len() } else { spot.end };
                } else if let Some((key_end, key_column)) = here.key.filter(|_| here.path == path) {
                    let colon = key_end + text[key_end..].find(':')? + 1;
                    let around =
                        if open.iter().any(|open| open.style == Style::Flow) { Style::Flow } else { Style::Block };
                    let own = if scalar { Style::Flow } else { own };
                    let end = text[..end].trim_end().len();
                    // A list that is not indented is told to begin behind its first dash.
                    let dash = text[colon..begin].trim_end_matches(' ').strip_suffix('-').map(|gap| colon + gap.len());
                    let column = span.start.col() - (begin - dash.unwrap_or(begin));
                    let begin = dash.unwrap_or(begin);
                    let found = Spot { colon, begin, end, key_column, column, around, own };
                    if scalar {
                        return Some(found);
                    }
                    spot = Some(found);
                }
                if !scalar {
                    below += usize::from(spot.is_some());
                    let next = if matches!(event, Event::MappingStart(..)) { Next::Key } else { Next::Item(0) };
                    open.push(Open { path: here.path, style: own, next });
                }
            }
            _ => {}
        }
    }
    None
}

/// Where a value stands: its path, and of its key the end and the column.
struct Here {
    path: String,
    key: Option<(usize, usize)>,
}

/// Takes the next value of what is open; `None` when it is a key.
fn enter(open: &mut [Open], (event, span): (&Event<'_>, Span), end: usize) -> Option<Here> {
    let Some(parent) = open.last_mut() else { return Some(Here { path: String::new(), key: None }) };
    match std::mem::replace(&mut parent.next, Next::Key) {
        Next::Item(index) => {
            parent.next = Next::Item(index + 1);
            Some(Here { path: format!("{}[{index}]", parent.path), key: None })
        }
        Next::Key => {
            let key = if let Event::Scalar(text, ..) = event { text.to_string() } else { String::new() };
            parent.next = Next::Value { key, end, column: span.start.col() };
            None
        }
        Next::Value { key, end, column } => {
            let dot = if parent.path.is_empty() { "" } else { "." };
            Some(Here { path: format!("{}{dot}{key}", parent.path), key: Some((end, column)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const FILE: &str = "\
# what we promise
tests:
  - name: a      # the first
    expect:      # in order
      - { type: x, data: {a: 1} }   # one

      - type: y
        data: |
          text

  # about b
  - name: b
    expect: []  # nothing
  - { name: c, expect: [ { type: z } , 2 ], more: 1 }
  - name: d
    expect:
    - type: 'x'
tables: { a: {} } # the end
";

    #[track_caller]
    fn edited(path: &str, value: Value) -> String {
        replaced(FILE, path, &value).unwrap()
    }

    #[test]
    fn what_is_replaced_is_written_as_its_surroundings_and_all_else_stays() {
        let events = json!([{"type": "w", "data": {"n": 10.5}}, {"type": "v"}]);
        let old = "      - { type: x, data: {a: 1} }   # one\n\n      - type: y\n        data: |\n          text\n";
        let new = "      - type: w\n        data: { n: 10.5 }\n      - type: v\n";
        assert_eq!(edited("tests[0].expect", events.clone()), FILE.replace(old, new));
        let new = "expect:\n      - type: w\n        data: { n: 10.5 }\n      - type: v  # nothing";
        assert_eq!(edited("tests[1].expect", events.clone()), FILE.replace("expect: []  # nothing", new));
        let new = "expect: [{ type: w, data: { n: 10.5 } }, { type: v }], more";
        assert_eq!(edited("tests[2].expect", events.clone()), FILE.replace("expect: [ { type: z } , 2 ], more", new));
        let new = "    - type: w\n      data: { n: 10.5 }\n    - type: v\n";
        assert_eq!(edited("tests[3].expect", events), FILE.replace("    - type: 'x'\n", new));
        assert_eq!(edited("tests[3].expect", json!([])), FILE.replace("expect:\n    - type: 'x'", "expect: []"));
        assert_eq!(edited("tests[1].name", json!("e: f")), FILE.replace("name: b", "name: \"e: f\""));
    }

    #[test]
    fn line_breaks_and_a_byte_order_mark_stay_what_they_are() {
        let text = format!("\u{feff}{}", FILE.replace('\n', "\r\n"));
        let edited = replaced(&text, "tests[1].expect", &json!([{"type": "ä"}])).unwrap();
        let new = "expect:\r\n      - type: ä  # nothing";
        assert_eq!(edited, text.replace("expect: []  # nothing", new));
    }

    #[test]
    fn what_cannot_be_replaced_alone_is_refused() {
        let text = "a: &x\n  - 1\nb: *x\n";
        assert!(matches!(replaced(text, "a", &json!([2])), Err(EditError::Entangled(_))));
        assert_eq!(replaced(text, "b", &json!([2])).unwrap(), "a: &x\n  - 1\nb: [2]\n");
        assert!(matches!(replaced(text, "c", &json!([])), Err(EditError::Nothing(_))));
        assert!(matches!(replaced("a: [", "a", &json!([])), Err(EditError::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn an_edit_is_whole_or_refused(at in 0..4_usize, names in proptest::collection::vec("[ -~äß\n]{0,8}", 0..3)) {
            let path = format!("tests[{at}].expect");
            let value = Value::Array(names.into_iter().map(|name| json!({ "type": name })).collect());
            let edited = replaced(FILE, &path, &value).unwrap();
            prop_assert_eq!(reader::read(&"f".into(), &edited).unwrap().at(&path).unwrap().to_json(), value);
            let kept = edited.contains("# about b") && edited.ends_with("tables: { a: {} } # the end\n");
            prop_assert!(kept, "{}", edited);
        }
    }
}
