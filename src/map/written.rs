//! A mapping file as its author wrote it, read with all its mistakes.

use crate::expr::scope::Names;
use crate::expr::secrets::Secrets;
use crate::expr::text::Text;
use crate::map::attribute;
use crate::map::compile::{Compiler, Reach, Shared};
use crate::map::library::Library;
use crate::map::mapping::{Each, Emit, Let, Mapping, OnError, TopicSelector};
use crate::map::surroundings::{NAMES, Uses};
use crate::map::tables::{self, ReadFile, Tables};
use crate::model::attribute::is_name;
use crate::model::problem::{Place, Problems};
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Node};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Mapping files on their way to be mappings: names are unique, tables and fragments shared over all files.
#[derive(Debug, Default)]
pub struct Rules {
    secrets: Secrets,
    tables: Tables,
    library: Library,
    mappings: Vec<Written>,
    names: Vec<Named>,
}

/// A mapping as it was written; compiled when all files are read, for any of them may hold its fragments.
#[derive(Debug)]
struct Written {
    node: Node,
    path: String,
}

/// Where a mapping got its name.
#[derive(Debug)]
struct Named {
    name: String,
    place: Place,
    path: String,
}

/// The longest name of a mapping: it stands in keys of the store and in labels.
const NAME_LENGTH: usize = 100;

/// The longest name of an extension (CE-3).
const EXTENSION_LENGTH: usize = 20;

/// The most extensions of an event: they may all have to go into headers.
const MAX_EXTENSIONS: usize = 20;

/// Attributes of CloudEvents that are no extensions, and extensions that say where an event comes from.
const OWN_ATTRIBUTES: [&str; 11] = [
    "id",
    "source",
    "specversion",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "database64",
    "traceparent",
    "tracestate",
];

/// The most names that `let` may bind in one mapping.
const MAX_LETS: usize = 100;

/// What no `let` may be called, besides what is in scope: names of later versions, and CEL's own words.
const RESERVED: &[&str] = &[
    "item",
    "index",
    "ce",
    "event",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Keys of `emit` that people write beside it.
const OF_EMIT: &[&str] = &["type", "source", "subject", "time", "tenant", "key", "extensions", "data"];

/// Keys of a mapping that people write under `emit`.
const BESIDE_EMIT: &[&str] = &["name", "from", "on_error", "when", "let", "each"];

const ON_ERROR: &[(&str, OnError)] =
    &[("quarantine", OnError::Quarantine), ("drop", OnError::Drop), ("stop", OnError::Stop)];

// === impl Rules ===

impl Rules {
    /// No files yet; `hmac` may use these secrets.
    #[must_use]
    pub fn knowing(secrets: Secrets) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Takes over a whole mapping file that may name no other files. An empty file is one without mappings.
    pub fn add_file(&mut self, node: &Node, problems: &mut Problems) {
        self.add_file_with(node, &mut |_, _| Err("names a file, and files are not read here".to_owned()), problems);
    }

    /// Takes over a whole mapping file; the files that it names are read by `files`.
    pub fn add_file_with(&mut self, node: &Node, files: &mut ReadFile<'_>, problems: &mut Problems) {
        if node.is_null() {
            return;
        }
        let Some(mut fields) = Fields::of(&Field::new(node, ""), problems) else { return };
        if let Some(tables) = fields.optional("tables") {
            self.tables.add(&tables, files, problems);
        }
        if let Some(fragments) = fields.optional("fragments") {
            self.library.add(&fragments, problems);
        }
        let mappings = fields.optional("mappings").and_then(|field| field.list(problems)).unwrap_or_default();
        self.mappings.extend(mappings.into_iter().map(|field| Written { node: field.node.clone(), path: field.path }));
        // Other rooms read these of the same file.
        for elsewhere in ["events", "tests"] {
            fields.present(elsewhere);
        }
        fields.finish(problems);
    }

    /// Compiles all mappings; gives those that have no mistake, and the tables.
    pub(crate) fn compile(mut self, problems: &mut Problems) -> (Vec<Mapping>, Value) {
        let fragments = self.library.fragments(Names::new(NAMES).knowing(self.secrets.clone()));
        let shared = Shared { fragments, library: std::mem::take(&mut self.library) };
        let written = std::mem::take(&mut self.mappings);
        let mut compiled = Vec::with_capacity(written.len());
        for Written { node, path } in &written {
            compiled.extend(self.mapping(&Field::new(node, path.clone()), &shared, problems));
        }
        self.unique(problems);
        (compiled, self.tables.into_value())
    }

    /// Tells of names that are given twice, over all files.
    fn unique(&self, problems: &mut Problems) {
        let mut seen = HashMap::new();
        for Named { name, place, path } in &self.names {
            if let Some(first) = seen.get(name) {
                let what = format!("there are two mappings named `{name}`");
                problems.add(place, path.clone(), what, format!("The first is at {first}"));
            } else {
                seen.insert(name, place);
            }
        }
    }

    fn mapping(&mut self, field: &Field<'_>, shared: &Shared, problems: &mut Problems) -> Option<Mapping> {
        let mut fields = Fields::of(field, problems)?;
        let name = fields.required("name", problems).and_then(|field| self.name(&field, problems));
        let from = fields.required("from", problems).and_then(|field| from(&field, problems));
        let on_error = fields.optional("on_error");
        let on_error = on_error.map_or(Some(OnError::default()), |field| field.one_of(ON_ERROR, problems));
        let (when, lets, each) = (fields.optional("when"), fields.optional("let"), fields.optional("each"));
        let emit = fields.required("emit", problems);
        fields.misplaced(OF_EMIT, "Put it under `emit`", problems);
        fields.finish(problems);

        let mut compiler = Compiler::new(each.as_ref(), shared, problems);
        let when = when.map(|field| compiler.either(&field));
        let lets = lets.map_or(Some(Vec::new()), |field| read_lets(&field, &mut compiler));
        let list = each.map(|field| compiler.once(&field));
        let emit = emit.and_then(|field| read_emit(&field, &mut compiler));
        let mut uses = Uses::default();
        uses.add_all(field.node);
        shared.library.add_uses(&mut uses);

        // Each is missing only after a problem about it was added.
        let (name, from, on_error, lets, emit) = (name?, from?, on_error?, lets?, emit?);
        let (when, list) = (transpose(when)?, transpose(list)?);
        let (lets, item_lets) = split(lets);
        let (when, item_when) = match when {
            Some((when, Reach::Item)) => (None, Some(when)),
            Some((when, Reach::Record)) => (Some(when), None),
            None => (None, None),
        };
        let each = list.map(|list| Each { list, when: item_when, lets: item_lets });
        Some(Mapping { name: name.into(), from, on_error, uses, when, lets, each, emit })
    }

    fn name(&mut self, field: &Field<'_>, problems: &mut Problems) -> Option<String> {
        let name = field.string(problems)?;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > NAME_LENGTH || !name.bytes().all(allowed) {
            let hint = format!("Use 1 to {NAME_LENGTH} of the characters a-z 0-9 and -");
            field.problem(problems, format!("`{name}` is not a name for a mapping"), hint);
            return None;
        }
        self.names.push(Named { name: name.clone(), place: field.node.place.clone(), path: field.path.clone() });
        Some(name)
    }
}

fn from(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<TopicSelector>> {
    let fields = match field.node.data {
        Data::List(_) => field.list(problems)?,
        _ => vec![field.clone()],
    };
    if fields.is_empty() {
        field.problem(problems, "names no topic", "Name at least one, or leave the mapping out");
        return None;
    }
    let selectors = fields.iter().map(|field| match TopicSelector::parse(field.text(problems)?) {
        Ok(selector) => Some(selector),
        Err(error) => {
            field.problem(problems, error.to_string(), "Write a topic's name, a list of names, or /a pattern/");
            None
        }
    });
    // Collected twice, so that the second mistake is told as well as the first.
    selectors.collect::<Vec<_>>().into_iter().collect()
}

fn read_lets(field: &Field<'_>, compiler: &mut Compiler<'_>) -> Option<Vec<(Let, Reach)>> {
    let entries = field.entries(compiler.problems)?;
    if entries.len() > MAX_LETS {
        field.problem(compiler.problems, format!("binds more than {MAX_LETS} names"), "");
        return None;
    }
    let mut lets = Vec::new();
    for (entry, field) in &entries {
        let name = entry.key.as_str();
        if !tables::is_name(name) || NAMES.contains(&name) || RESERVED.contains(&name) {
            let hint = "Use letters, digits and `_`, and no word that has a meaning already";
            compiler.problems.add(&entry.place, field.path.clone(), "is not a name that `let` can bind", hint);
        }
        let value = compiler.either(field);
        // Known also after a mistake, so that it is told once and not for every use.
        let reach = value.as_ref().map_or(Reach::Record, |(_, reach)| *reach);
        compiler.name(name, reach);
        lets.push(value.map(|(value, reach)| (Let { name: name.to_owned(), value }, reach)));
    }
    lets.into_iter().collect()
}

fn read_emit(field: &Field<'_>, compiler: &mut Compiler<'_>) -> Option<Emit> {
    let mut fields = Fields::of(field, compiler.problems)?;
    let event_type = fields.required("type", compiler.problems);
    let event_type = event_type.and_then(|field| compiler.attribute(&field, attribute::text));
    let source = fields.optional("source").map(|field| compiler.attribute(&field, attribute::source));
    let subject = fields.optional("subject").map(|field| compiler.checked(&field, attribute::name));
    let time = fields.optional("time").map(|field| compiler.checked(&field, |value| attribute::time(&value)));
    let tenant = fields.optional("tenant").map(|field| compiler.checked(&field, attribute::name));
    let key = fields.optional("key").map(|field| compiler.checked(&field, attribute::name));
    let extensions = fields.optional("extensions").map_or(Some(Vec::new()), |field| read_extensions(&field, compiler));
    let data = fields.optional("data").map(|field| compiler.template(&field));
    for later in ["dataschema", "datacontenttype"] {
        fields.not_yet(later, compiler.problems);
    }
    fields.misplaced(BESIDE_EMIT, "Put it beside `emit`, one level further out", compiler.problems);
    fields.finish(compiler.problems);
    Some(Emit {
        event_type: event_type?,
        source: transpose(source)?,
        subject: transpose(subject)?,
        time: transpose(time)?,
        tenant: transpose(tenant)?,
        key: transpose(key)?,
        extensions: extensions?,
        data: transpose(data)?,
    })
}

/// Extensions: their names are checked here, their values when they are computed.
fn read_extensions(field: &Field<'_>, compiler: &mut Compiler<'_>) -> Option<Vec<(Arc<str>, Text)>> {
    let entries = field.entries(compiler.problems)?;
    if entries.len() > MAX_EXTENSIONS {
        field.problem(compiler.problems, format!("names more than {MAX_EXTENSIONS} extensions"), "");
    }
    let mut extensions = Vec::with_capacity(entries.len());
    for (entry, field) in entries {
        let name = entry.key.as_str();
        if !is_name(name) || name.len() > EXTENSION_LENGTH {
            let hint = format!("Use 1 to {EXTENSION_LENGTH} of the characters a-z 0-9");
            compiler.problems.add(&entry.place, field.path.clone(), "is not a name for an extension", hint);
        } else if OWN_ATTRIBUTES.contains(&name) {
            let hint = "It is no extension, or is set by hookline";
            compiler.problems.add(&entry.place, field.path.clone(), "has a meaning already", hint);
        }
        extensions.push(compiler.checked(&field, attribute::extension).map(|text| (name.into(), text)));
    }
    extensions.into_iter().collect()
}

/// What is absent is fine; what is there and wrong is not.
#[allow(clippy::option_option, reason = "the one place that takes the two meanings apart")]
fn transpose<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn split(lets: Vec<(Let, Reach)>) -> (Vec<Let>, Vec<Let>) {
    let (record, item): (Vec<_>, Vec<_>) = lets.into_iter().partition(|(_, reach)| *reach == Reach::Record);
    let bare = |lets: Vec<(Let, Reach)>| lets.into_iter().map(|(value, _)| value).collect();
    (bare(record), bare(item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{reader, report};

    fn told(files: &[&str]) -> Vec<String> {
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        for (i, text) in files.iter().enumerate() {
            let node = reader::read(&format!("{i}.yaml").into(), text).unwrap();
            rules.add_file(&node, &mut problems);
        }
        rules.finish(&mut problems);
        problems.or(()).map_or_else(|problems| problems.0.iter().map(ToString::to_string).collect(), |()| Vec::new())
    }

    fn one(mapping: &str) -> Vec<String> {
        told(&[&format!("mappings:\n  - {{ {mapping} }}\n")])
    }

    const WHOLE: &str = "name: a, from: t, emit: { type: x }";

    #[test]
    fn a_file_may_be_empty_or_hold_only_tables() {
        assert_eq!(told(&["", "mappings: []", "tables: { a: {} }", "mappings: ~\ntables: ~\nevents: ~"]), [""; 0]);
    }

    #[test]
    fn the_least_mapping_has_a_name_a_topic_and_a_type() {
        assert_eq!(one(WHOLE), [""; 0]);
        assert_eq!(
            one("let: {}"),
            [
                "0.yaml:2:5: mappings[0].emit: is missing",
                "0.yaml:2:5: mappings[0].from: is missing",
                "0.yaml:2:5: mappings[0].name: is missing"
            ]
        );
    }

    #[test]
    fn all_mistakes_of_all_mappings_are_told_with_place_path_and_hint() {
        let text = "\
mappings:
  - name: Order Placed
    from: [shop orders, shop.orders, /(/]
    when: ${payload.x}
    on_eror: drop
    emit:
      type: ''
      source: 'not a uri'
      time: yesterday
      subject: 5
      extensions: { a: 1, trace-id: x, type: y, ok: '${payload.a}' }
      dataschema: 'urn:x'
      dta: {}
  - name: ok
    from: []
    on_error: explode
    let: { payload: '1', 2x: '1' }
    emit: { type: x }
events: {}
tests: []
tabels: {}
";
        let found = told(&[text]);
        let expected = [
            "0.yaml:2:11: mappings[0].name: `Order Placed` is not a name for a mapping. Use 1 to 100 of",
            "0.yaml:3:12: mappings[0].from[0]: `shop orders` is not a topic name",
            "0.yaml:3:38: mappings[0].from[2]: the pattern is not a regular expression",
            "0.yaml:4:11: mappings[0].when: is an expression already. Leave out `${` and `}`",
            "0.yaml:5:5: mappings[0].on_eror: is not a known key. Did you mean `on_error`?",
            "0.yaml:7:13: mappings[0].emit.type: must not be empty",
            "0.yaml:8:15: mappings[0].emit.source: `not a uri` is not a URI-reference",
            "0.yaml:9:13: mappings[0].emit.time: must be a time like 2026-01-01T00:00:00Z, not `yesterday`",
            "0.yaml:10:16: mappings[0].emit.subject: must be a string, not `5`. Quote it",
            "0.yaml:11:24: mappings[0].emit.extensions.a: must be a string, not `1`. Quote it",
            "0.yaml:11:27: mappings[0].emit.extensions.trace-id: is not a name for an extension. Use 1 to 20 of",
            "0.yaml:11:40: mappings[0].emit.extensions.type: has a meaning already",
            "0.yaml:12:7: mappings[0].emit.dataschema: is not yet available",
            "0.yaml:13:7: mappings[0].emit.dta: is not a known key. Did you mean `data`?",
            "0.yaml:15:11: mappings[1].from: names no topic",
            "0.yaml:16:15: mappings[1].on_error: `explode` is none of `quarantine`, `drop`, `stop`",
            "0.yaml:17:12: mappings[1].let.payload: is not a name that `let` can bind",
            "0.yaml:17:26: mappings[1].let.2x: is not a name that `let` can bind",
            "0.yaml:21:1: tabels: is not a known key. Did you mean `tables`?",
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "\n{found}\n{expected}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn a_name_given_twice_is_told_over_all_files() {
        let file = "mappings: [{ name: a, from: t, emit: { type: x } }]";
        let expected = "1.yaml:1:20: mappings[0].name: there are two mappings named `a`. The first is at 0.yaml:1:20";
        assert_eq!(told(&[file, file]), [expected]);
    }

    #[test]
    fn a_mistake_in_an_expression_is_told_at_its_line() {
        let text = "\
mappings:
  - name: a
    from: t
    when: payload.type ==
    let: { n: nothing + 1 }
    each: payload.lines +
    emit:
      type: x
      key: ${payload.}
      data:
        a: { b: '${payloda.x}' }
        c: { $rename: 5 }
";
        let found = told(&[text]);
        let places = [
            "0.yaml:4:11: mappings[0].when: ",
            "0.yaml:5:15: mappings[0].let.n: ",
            "0.yaml:6:11: mappings[0].each: ",
            "0.yaml:9:12: mappings[0].emit.key: ",
            "0.yaml:11:17: mappings[0].emit.data.a.b: ",
        ];
        for place in places {
            assert!(found.iter().any(|found| found.starts_with(place)), "{place}\n{found:#?}");
        }
        assert!(
            found.iter().any(|found| found.contains("emit.data.c") && found.starts_with("0.yaml:12:")),
            "{found:#?}"
        );
        assert!(found.iter().any(|found| found.contains(". Did you mean `payload`?")), "{found:#?}");
    }

    #[test]
    fn a_fragment_of_any_file_is_known_and_a_mistake_in_it_is_told_once_and_there() {
        let mapping =
            |name: &str| format!("{{ name: {name}, from: t, emit: {{ type: x, data: {{ p: {{ $use: price }} }} }} }}");
        let users = format!("mappings:\n  - {}\n  - {}\n", mapping("a"), mapping("b"));
        assert_eq!(told(&[&users, "fragments:\n  price: { amount: '${payload.total}' }\n"]), [""; 0]);
        let broken = "fragments:\n  price:\n    amount: '${paylod.total}'\n";
        let expected =
            "1.yaml:3:13: fragments.price.amount: unknown name `paylod` (at character 3). Did you mean `payload`?";
        assert_eq!(told(&[&users, broken]), [expected]);
        let found = told(&[&users, "fragments: { prise: 1, 'a b': 1 }", "fragments: { prise: 2 }"]);
        assert!(
            found[0].starts_with(
                "0.yaml:2:61: mappings[0].emit.data.p.$use: unknown fragment `price`. Did you mean `prise`?"
            ),
            "{found:#?}"
        );
        assert!(found[2].starts_with("1.yaml:1:24: fragments.a b: is not a name for a fragment"), "{found:#?}");
        assert!(found[3].starts_with(
            "2.yaml:1:14: fragments.prise: there are two fragments of this name. The first is at 1.yaml:1:14"
        ));
    }

    #[test]
    fn a_secret_is_found_when_a_mapping_is_read() {
        let mapping = "name: a, from: t, emit: { type: x, key: '${hmac(payload.id, \"s\")}' }";
        assert!(
            one(mapping)[0].contains("unknown secret `s` (at character 7). There are none here"),
            "{:?}",
            one(mapping)
        );
        let secrets = [("s".to_owned(), crate::model::secret::Secret::new("key"))].into();
        let mut rules = Rules::knowing(Secrets::Known(std::sync::Arc::new(secrets)));
        let mut problems = Problems::default();
        rules
            .add_file(&reader::read(&"m.yaml".into(), &format!("mappings: [{{ {mapping} }}]")).unwrap(), &mut problems);
        rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems}");
    }

    #[test]
    fn a_table_in_a_file_is_a_mistake_where_files_are_not_read() {
        let found = told(&["tables: { a: { $file: /etc/passwd.json } }"]);
        assert_eq!(found, ["0.yaml:1:23: tables.a.$file: names a file, and files are not read here"]);
    }

    #[test]
    fn item_and_index_are_known_only_under_each() {
        assert_eq!(one("name: a, from: t, when: item.x > 0, emit: { type: x }").len(), 1);
        assert_eq!(one("name: a, from: t, emit: { type: x, key: '${index}' }").len(), 1);
        let all =
            "when: item.x > index, let: { a: item.x, b: a + 1 }, each: payload.l, emit: { type: x, data: '${b}' }";
        assert_eq!(one(&format!("name: a, from: t, {all}")), [""; 0]);
        assert_eq!(one("name: a, from: t, each: item.x, emit: { type: x }").len(), 1);
    }

    #[test]
    fn a_let_is_known_to_what_follows_and_not_to_when() {
        let lets = "let: { a: '1', b: a + 1 }";
        assert_eq!(one(&format!("name: a, from: t, {lets}, emit: {{ type: x, data: '${{b}}' }}")), [""; 0]);
        assert_eq!(one(&format!("name: a, from: t, {lets}, when: b > 0, emit: {{ type: x }}")).len(), 1);
        assert_eq!(one("name: a, from: t, let: { b: a + 1, a: '1' }, emit: { type: x }").len(), 1);
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_a_caret() {
        let text = "mappings:\n  - name: a\n    frm: t\n    emit: { type: x }\n";
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        rules.add_file(&reader::read(&"m.yaml".into(), text).unwrap(), &mut problems);
        rules.finish(&mut problems);
        let shown = report::report(&problems.or(()).unwrap_err(), &|_| Some(text.to_owned()));
        let expected = "\
m.yaml:2:5: mappings[0].from: is missing
  2 |   - name: a
    |     ^
m.yaml:3:5: mappings[0].frm: is not a known key. Did you mean `from`?
  3 |     frm: t
    |     ^
";
        assert_eq!(shown, expected);
    }
}
