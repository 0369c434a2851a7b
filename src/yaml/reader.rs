//! YAML text to a [`Node`]: one document, bounded, all mistakes together.
//!
//! Plain scalars are read by the YAML 1.2 core schema. What YAML calls a number and JSON cannot spell, tags but
//! `!!str`, merge keys and keys given twice are mistakes. The parser is iterated, never asked to load: its own
//! loader recurses, and a long row of `- - - -` would overflow the stack.

use crate::model::problem::{Place, Problems};
use crate::yaml::node::{Data, Entry, Node};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};
use serde_json::Number;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The largest file; a mapping of this size is not written by people.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting; every later walk over a node may recurse that far.
pub const MAX_DEPTH: usize = 64;
/// The most values of one file, counting each copy that an alias makes.
pub const MAX_NODES: usize = 100_000;
/// So many bytes of a text that an alias copies count as one value more: about what a value takes in memory.
const BYTES_PER_NODE: usize = 64;

/// Reads one YAML document. An empty text is null.
///
/// # Errors
/// All mistakes that can be found: text that is not YAML ends the search.
pub fn read(file: &Arc<str>, text: &str) -> Result<Node, Problems> {
    let mut reader = Reader::new(file);
    let start = Place { file: Arc::clone(file), line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        let what = format!("the file has {} bytes, and {MAX_BYTES} are the most", text.len());
        reader.problems.add(&Place::whole(Arc::clone(file)), "", what, "Split it");
        return reader.problems.or(Node { place: start, data: Data::Null });
    }
    reader.pass(text.strip_prefix('\u{feff}').unwrap_or(text));
    let root = reader.root.take().unwrap_or(Node { place: start, data: Data::Null });
    reader.problems.or(root)
}

struct Reader {
    file: Arc<str>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
    problems: Problems,
}

/// A list or map whose end has not come yet.
struct Open {
    place: Place,
    anchor: usize,
    height: usize,
    body: Body,
}

enum Body {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<(String, Place)> },
}

/// A finished value that an alias may copy; `height` is how deep it is nested in itself.
#[derive(Clone)]
struct Anchored {
    node: Node,
    height: usize,
    nodes: usize,
}

/// The reading cannot go on; the reason is among the problems.
struct Stop;

// === impl Reader ===

impl Reader {
    fn new(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
            problems: Problems::default(),
        }
    }

    fn pass(&mut self, text: &str) {
        let mut parser = Parser::new_from_str(text);
        while let Some(step) = parser.next_event() {
            match step {
                Ok((event, span)) => {
                    if self.event(event, span).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let place = self.place(*error.marker());
                    let line = |number: usize| text.lines().nth(number).unwrap_or_default();
                    let (before, here) =
                        (place.line.checked_sub(2).map_or("", line), line(place.line.saturating_sub(1)));
                    let what = format!("this is not YAML: {}", error.info());
                    self.problems.add(&place, "", what, advice(error.info(), before, here));
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = self.place(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(&place),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = self.tagged(&place, tag.as_deref());
                if self.awaits_key() {
                    return self.key(&text, style, place);
                }
                let data = if style == ScalarStyle::Plain && !tagged {
                    self.plain(&text, &place)
                } else {
                    Data::String(text.into_owned())
                };
                self.finished(Anchored { node: Node { place, data }, height: 0, nodes: 1 }, anchor)
            }
            Event::SequenceStart(anchor, tag) => self.begin(place, (anchor, tag), Body::List(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let body = Body::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.begin(place, (anchor, tag), body)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn document(&mut self, place: &Place) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        self.problems.add(place, "", "a second document begins here", "Put it into a file of its own");
        Err(Stop)
    }

    fn begin(&mut self, place: Place, (anchor, tag): (usize, Option<Cow<'_, Tag>>), body: Body) -> Result<(), Stop> {
        if let Some(tag) = tag {
            self.refuse_tag(&place, &tag);
        }
        if self.awaits_key() {
            self.problems.add(&place, "", "a key must be plain text, not a list or a map", "Quote it if it is text");
            return Err(Stop);
        }
        self.deep_enough(&place, 1)?;
        self.count(&place, 1)?;
        self.open.push(Open { place, anchor, height: 1, body });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(Open { place, anchor, height, body }) = self.open.pop() else { return Ok(()) };
        let data = match body {
            Body::List(nodes) => Data::List(nodes),
            Body::Map { entries, .. } => Data::Map(entries),
        };
        self.put(Anchored { node: Node { place, data }, height, nodes: 0 }, anchor);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        let Some(copy) = self.anchors.get(&anchor).cloned() else {
            self.problems.add(&place, "", "this alias stands inside the value that it names", "Write the value out");
            return Err(Stop);
        };
        if self.awaits_key() {
            let Data::String(text) = copy.node.data else {
                self.problems.add(&place, "", "a key must be a string", "Write the key out");
                return Err(Stop);
            };
            self.count(&place, copy.nodes)?;
            return self.key(&text, ScalarStyle::DoubleQuoted, place);
        }
        self.deep_enough(&place, copy.height)?;
        self.finished(copy, 0)
    }

    fn finished(&mut self, value: Anchored, anchor: usize) -> Result<(), Stop> {
        self.count(&value.node.place, value.nodes)?;
        self.put(value, anchor);
        Ok(())
    }

    fn put(&mut self, value: Anchored, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { nodes: size(&value.node), ..value.clone() });
        }
        let Anchored { node, height, .. } = value;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.height = open.height.max(height + 1);
        match &mut open.body {
            Body::List(nodes) => nodes.push(node),
            Body::Map { entries, key, .. } => {
                // A value without a key is the value of a key that was refused.
                if let Some((key, place)) = key.take() {
                    entries.push(Entry { key, place, value: node });
                }
            }
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { body: Body::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, style: ScalarStyle, place: Place) -> Result<(), Stop> {
        self.count(&place, 1)?;
        if style == ScalarStyle::Plain && text == "<<" {
            self.problems.add(&place, "", "merge keys (`<<`) are not read", "Write the keys out");
        } else if style == ScalarStyle::Plain && text.is_empty() {
            self.problems.add(&place, "", "the key is missing", "");
        }
        let Some(Open { body: Body::Map { seen, key, .. }, .. }) = self.open.last_mut() else { return Ok(()) };
        if let Some(first) = seen.insert(text.to_owned(), place.line) {
            let hint = format!("The first is in line {first}: keep one of them");
            self.problems.add(&place, "", format!("the key `{text}` is given twice"), hint);
        }
        *key = Some((text.to_owned(), place));
        Ok(())
    }

    /// Reads a plain scalar by the core schema.
    fn plain(&mut self, text: &str, place: &Place) -> Data {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
            "true" | "True" | "TRUE" => return Data::Bool(true),
            "false" | "False" | "FALSE" => return Data::Bool(false),
            _ => {}
        }
        if is_json_number(text)
            && let Ok(number) = text.parse::<Number>()
        {
            return Data::Number(number);
        }
        if is_yaml_number(text) {
            let number = as_json(text).map_or_else(|| "leave it out".to_owned(), |number| format!("write {number}"));
            let hint = format!("Quote it if it is text (\"{text}\"), else {number}");
            self.problems.add(place, "", format!("`{text}` is a number in YAML that JSON cannot spell"), hint);
        }
        Data::String(text.to_owned())
    }

    /// Whether a scalar is tagged as text; any other tag is a mistake.
    fn tagged(&mut self, place: &Place, tag: Option<&Tag>) -> bool {
        match tag {
            None => false,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
            Some(tag) => {
                self.refuse_tag(place, tag);
                true
            }
        }
    }

    fn refuse_tag(&mut self, place: &Place, tag: &Tag) {
        let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
        let what = format!("the tag `{handle}{}` is not read", tag.suffix);
        self.problems.add(place, "", what, "Leave it out; only `!!str` before a scalar is known");
    }

    fn deep_enough(&mut self, place: &Place, height: usize) -> Result<(), Stop> {
        if self.open.len() + height <= MAX_DEPTH {
            return Ok(());
        }
        self.problems.add(place, "", format!("this is nested deeper than {MAX_DEPTH} levels"), "");
        Err(Stop)
    }

    fn count(&mut self, place: &Place, nodes: usize) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let what = format!("the file holds more than {MAX_NODES} values, counting what aliases copy");
        self.problems.add(place, "", what, "Split it");
        Err(Stop)
    }

    fn place(&self, mark: Marker) -> Place {
        Place { file: Arc::clone(&self.file), line: mark.line(), column: mark.col() + 1 }
    }
}

/// What to do about a text that is not YAML, by what the parser says, the line it stopped at, and the one before.
fn advice(info: &str, before: &str, line: &str) -> &'static str {
    let between_brackets = info.contains("flow");
    let open = |bracket: char, end: char| before.matches(bracket).count() > before.matches(end).count();
    if info.contains("tab") {
        "Indent with spaces"
    } else if between_brackets && line.contains("${") {
        "Between brackets quote what holds braces: { id: \"${payload.id}\" }"
    } else if info.contains("mapping values are not allowed") && line.matches(": ").count() > 1 {
        "Quote a text that holds `: `"
    } else if open('[', ']') || open('{', '}') {
        "The line before opens a bracket that it does not close"
    } else {
        "Check indentation, quotes and brackets on this line and the one before"
    }
}

/// How many values a copy counts as: a long text is as many as take up that much.
fn size(node: &Node) -> usize {
    let text = |text: &str| 1 + text.len() / BYTES_PER_NODE;
    match &node.data {
        Data::List(nodes) => 1 + nodes.iter().map(size).sum::<usize>(),
        Data::Map(entries) => 1 + entries.iter().map(|entry| text(&entry.key) + size(&entry.value)).sum::<usize>(),
        Data::String(value) => text(value),
        Data::Number(number) => text(number.as_str()),
        Data::Null | Data::Bool(_) => 1,
    }
}

/// Takes a row of digits off the front; `None` when there is none.
fn digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// `[eE][-+]?[0-9]+`, or nothing, up to the end.
fn is_exponent(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['e', 'E']) else { return text.is_empty() };
    digits(rest.strip_prefix(['-', '+']).unwrap_or(rest)) == Some("")
}

fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = if text.starts_with('0') { text.get(1..) } else { digits(text) };
    let Some(rest) = whole else { return false };
    match rest.strip_prefix('.') {
        Some(fraction) => digits(fraction).is_some_and(is_exponent),
        None => is_exponent(rest),
    }
}

/// A number of the core schema as JSON spells it; `None` for what JSON has no number for.
fn as_json(text: &str) -> Option<String> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|number| number.to_string());
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let (minus, text) = text.strip_prefix('-').map_or(("", text), |text| ("-", text));
    let text = text.strip_prefix('+').unwrap_or(text);
    let (number, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let dot = if fraction.is_empty() { "" } else { "." };
    let spelled = format!("{minus}{whole}{dot}{fraction}{exponent}");
    is_json_number(&spelled).then_some(spelled)
}

/// The integers and floats of the core schema.
fn is_yaml_number(text: &str) -> bool {
    let all = |text: &str, radix: u32| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(rest) = text.strip_prefix("0x") {
        return all(rest, 16);
    }
    if let Some(rest) = text.strip_prefix("0o") {
        return all(rest, 8);
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(text, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    match digits(text) {
        Some(rest) => match rest.strip_prefix('.') {
            Some(fraction) => is_exponent(digits(fraction).unwrap_or(fraction)),
            None => is_exponent(rest),
        },
        None => text.strip_prefix('.').and_then(digits).is_some_and(is_exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn file() -> Arc<str> {
        "f.yaml".into()
    }

    fn tree(text: &str) -> Value {
        read(&file(), text).unwrap().to_json()
    }

    fn mistakes(text: &str) -> Vec<String> {
        read(&file(), text).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let text = "[~, null, '', true, False, NO, yes, 1_000, 2026-01-01, 1:30, x y]";
        let words = json!([null, null, "", true, false, "NO", "yes", "1_000", "2026-01-01", "1:30", "x y"]);
        assert_eq!(tree(text), words);
        assert_eq!(tree(""), Value::Null);
        assert_eq!(tree("# nothing\n"), Value::Null);
        assert_eq!(tree("\u{feff}a: 1"), json!({"a": 1}));
    }

    #[test]
    fn numbers_keep_their_exact_text() {
        let text = "[12345678901234567890.10,10.10,-0,0.5,1e400,99999999999999999999]";
        assert_eq!(tree(text).to_string().replace("e+", "e"), text);
    }

    #[test]
    fn numbers_that_json_cannot_spell_are_mistakes_with_a_hint() {
        for number in ["0x1F", "+5", ".5", "012", ".inf", "-.INF", ".nan", "0o17", "1.", "-012", "5.e3", "+1e3"] {
            let found = mistakes(&format!("a: {number}"));
            assert_eq!(found.len(), 1, "{number}: {found:?}");
            assert!(found[0].starts_with("f.yaml:1:4: ") && found[0].contains("Quote it"), "{found:?}");
            assert_eq!(tree(&format!("a: '{number}'")), json!({"a": number}));
            assert_eq!(tree(&format!("a: !!str {number}")), json!({"a": number}));
        }
    }

    #[test]
    fn a_number_that_json_cannot_spell_is_told_with_the_one_that_it_can() {
        for (number, spelled) in [
            ("0x1F", "31"),
            ("0o17", "15"),
            ("+5", "5"),
            (".5", "0.5"),
            ("012", "12"),
            ("00", "0"),
            ("-012.50", "-12.50"),
            ("1.", "1"),
            ("5.e3", "5e3"),
        ] {
            assert!(mistakes(number)[0].ends_with(&format!("else write {spelled}")), "{:?}", mistakes(number));
        }
        assert!(mistakes("-.INF")[0].ends_with("else leave it out") && mistakes(".nan")[0].ends_with("leave it out"));
    }

    #[test]
    fn a_bracket_that_the_line_before_leaves_open_and_a_key_that_was_there_are_told() {
        assert!(
            mistakes("a:\n  b: [1, 2\n  c: 3\n")[0].ends_with("The line before opens a bracket that it does not close")
        );
        assert!(mistakes("a: 1\nb: 2\na: 3\n")[0].ends_with("The first is in line 1: keep one of them"));
    }

    #[test]
    fn every_value_and_key_knows_its_place_in_characters() {
        let node = read(&file(), "a: 1\nö: [ä, {x: y}]\n").unwrap();
        let Data::Map(entries) = &node.data else { panic!("{node:?}") };
        let at = |place: &Place| (place.line, place.column);
        assert_eq!(at(&entries[0].place), (1, 1));
        assert_eq!(at(&entries[0].value.place), (1, 4));
        assert_eq!(at(&entries[1].place), (2, 1));
        assert_eq!(at(&node.at("ö[0]").unwrap().place), (2, 5));
        assert_eq!(at(&node.at("ö[1].x").unwrap().place), (2, 12));
    }

    #[test]
    fn all_mistakes_of_a_file_are_told_at_once() {
        let found = mistakes("a: 0x1F\nb: !!int 3\nc: 1\nc: 2\nd: { <<: {} }\ne: !mine [x]\n");
        assert_eq!(found.len(), 5, "{found:#?}");
        for (line, word) in [(1, "`0x1F`"), (2, "`!!int`"), (4, "`c` is given twice"), (5, "merge"), (6, "`!mine`")] {
            assert!(found.iter().any(|f| f.starts_with(&format!("f.yaml:{line}:")) && f.contains(word)), "{found:#?}");
        }
    }

    #[test]
    fn broken_text_names_its_line() {
        let found = mistakes("a: 1\nb: [1, 2\nc: 3\n");
        assert!(found[0].contains("this is not YAML") && found[0].starts_with("f.yaml:3:"), "{found:?}");
        assert!(mistakes("--- 1\n--- 2\n")[0].contains("second document"));
        assert!(mistakes("? [a]\n: 1\n")[0].contains("a key must be"));
    }

    #[test]
    fn anchors_are_copied_and_loops_refused() {
        assert_eq!(tree("a: &x { b: 1 }\nc: *x\n&k d: 2\n"), json!({"a": {"b": 1}, "c": {"b": 1}, "d": 2}));
        assert!(mistakes("a: &x [*x]")[0].contains("inside the value"));
    }

    #[test]
    fn hostile_files_are_refused_and_do_not_overflow() {
        assert!(mistakes(&"- ".repeat(100_000))[0].contains("64 levels"));
        assert_eq!(mistakes(&"[".repeat(100_000)).len(), 1);
        assert!(mistakes(&"[".repeat(65))[0].contains("64 levels"));
        assert!(mistakes(&"a: ".repeat(MAX_BYTES))[0].contains("bytes"));
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let copies = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{copies}]\n"));
        }
        assert!(mistakes(&bomb)[0].contains("100000 values"));
        let text = "x".repeat(1 << 16);
        assert!(mistakes(&format!("a: &a {text}\nb: [{}]", ["*a"; 200].join(",")))[0].contains("100000 values"));
        let keys: Vec<_> = (0..200).map(|_| "{*a : 1}").collect();
        assert!(mistakes(&format!("a: &a {text}\nb: [{}]", keys.join(",")))[0].contains("100000 values"));
        let mut deep = String::from("a0: &a0 [x]\n");
        for i in 1..100 {
            deep.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        assert!(mistakes(&deep)[0].contains("64 levels"));
    }

    type Yaml = serde_yaml::Value;

    fn yaml() -> impl Strategy<Value = Yaml> {
        let leaf = prop_oneof![
            Just(Yaml::Null),
            any::<bool>().prop_map(Yaml::Bool),
            any::<i64>().prop_map(|n| Yaml::Number(n.into())),
            (-1e9..1e9_f64).prop_map(|n| Yaml::Number(n.into())),
            // Unicode's own line breaks end a line in YAML 1.1 only, which serde_yaml's writer speaks.
            any::<String>().prop_map(|text| Yaml::String(text.replace(['\u{85}', '\u{2028}', '\u{2029}'], ""))),
            "[-+.0-9a-fxoe:~# \n]{0,8}".prop_map(Yaml::String),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Yaml::Sequence),
                proptest::collection::btree_map("[a-z?. :-]{1,6}|[0-9]{1,3}", inner, 0..6).prop_map(|map| {
                    Yaml::Mapping(map.into_iter().map(|(key, value)| (Yaml::String(key), value)).collect())
                }),
            ]
        })
    }

    fn same(ours: &Node, theirs: &Yaml) -> bool {
        match (&ours.data, theirs) {
            (Data::Null, Yaml::Null) => true,
            (Data::Bool(a), Yaml::Bool(b)) => a == b,
            (Data::Number(a), Yaml::Number(b)) => a.as_f64() == b.as_f64(),
            (Data::String(a), Yaml::String(b)) => a == b,
            (Data::List(a), Yaml::Sequence(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Data::Map(a), Yaml::Mapping(b)) => {
                a.len() == b.len() && a.iter().all(|e| b.get(e.key.as_str()).is_some_and(|value| same(&e.value, value)))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn our_tree_is_what_serde_yaml_reads(tree in yaml()) {
            let text = serde_yaml::to_string(&tree).unwrap();
            let theirs: Yaml = serde_yaml::from_str(&text).unwrap();
            match read(&file(), &text) {
                Ok(ours) => prop_assert!(same(&ours, &theirs), "{text}\n{ours:#?}\n{theirs:#?}"),
                Err(problems) => prop_assert!(false, "{text}\n{problems}"),
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>(), yamlish in "[-\\[\\]{}:,#&*!|>'\"%@a1 \n?~<]{0,60}") {
            drop(read(&file(), &text));
            drop(read(&file(), &yamlish));
        }
    }
}
