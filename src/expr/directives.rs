//! What a user wrote -> a compiled template: `$copy $without $rename`, `$merge`, `$each $as $where $emit`,
//! `$if $then $else`, `$use $with`, `key?`, `${...}`. Collects all mistakes, each with its path as written.

use crate::expr::expression::Expression;
use crate::expr::fragments::Fragments;
use crate::expr::mistake::{Mistake, did_you_mean};
use crate::expr::path::{is_word, kind};
use crate::expr::reshape::Reshape;
use crate::expr::scope::Names;
use crate::expr::shape::{Base, Copied, Each, Field, If, Need, Shape, Used};
use crate::expr::text::Text;
use serde_json::{Map, Value};

/// The directives that make an object something else, each with those that go with it.
const DIRECTIVES: &[(&str, &[&str])] = &[
    ("$copy", &["$without", "$rename"]),
    ("$merge", &[]),
    ("$each", &["$as", "$where", "$emit"]),
    ("$if", &["$then", "$else"]),
    ("$use", &["$with"]),
];
/// How deep a template may be: as deep as a YAML file.
const MAX_DEPTH: usize = 64;
/// Parts of one template, those of the fragments in it counted as often as they are used: fragments that use each other
/// several times would multiply without end.
const MAX_PARTS: usize = 20_000;

/// Compiles what was written; mistakes go to the list.
#[derive(Debug)]
pub struct Directives<'f> {
    /// All mistakes so far.
    pub mistakes: Vec<Mistake>,
    fragments: &'f Fragments,
    /// The fragments that what is compiled now stands in, outermost first.
    within: Vec<&'f str>,
    depth: usize,
    parts: usize,
}

// === impl Directives ===

impl<'f> Directives<'f> {
    /// Nothing is compiled yet.
    #[must_use]
    pub fn new(fragments: &'f Fragments) -> Self {
        Self { mistakes: Vec::new(), fragments, within: Vec::new(), depth: 0, parts: 0 }
    }

    /// One node; what it gives when there are mistakes is of no use.
    pub fn shape(&mut self, written: &Value, names: &Names) -> Shape {
        self.parts += 1;
        if self.parts == MAX_PARTS {
            let what = format!("the template has more than {MAX_PARTS} parts, with those of the fragments in it");
            self.mistakes.push(Mistake::new(what, "use fewer fragments"));
        }
        if self.depth == MAX_DEPTH {
            self.mistakes.push(Mistake::new(format!("the template is more than {MAX_DEPTH} deep"), ""));
        }
        if self.parts >= MAX_PARTS || self.depth == MAX_DEPTH {
            return Shape::Fixed(Value::Null);
        }
        self.depth += 1;
        let shape = match written {
            Value::String(source) => self.text(source, names),
            Value::Array(items) => self.list(items, names),
            Value::Object(map) => self.object(map, names),
            plain => Shape::Fixed(plain.clone()),
        };
        self.depth -= 1;
        shape
    }

    fn text(&mut self, source: &str, names: &Names) -> Shape {
        match Text::compile(source, names) {
            Ok(text) => match text.literal() {
                Some(literal) => Shape::Fixed(literal.clone()),
                None => Shape::Text(text),
            },
            Err(mistake) => self.wrong(mistake),
        }
    }

    fn wrong(&mut self, mistake: Mistake) -> Shape {
        self.mistakes.push(mistake);
        Shape::Fixed(Value::Null)
    }

    /// What `make` gives; its mistakes are those of `key`.
    fn under<T>(&mut self, key: &str, make: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.mistakes.len();
        let made = make(self);
        let own = self.mistakes.split_off(before);
        self.mistakes.extend(own.into_iter().map(|mistake| mistake.within(key)));
        made
    }

    fn complain(&mut self, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.push(Mistake::new(what, hint).within(key));
    }

    fn list(&mut self, items: &[Value], names: &Names) -> Shape {
        let under = |(at, item)| self.under(&format!("[{at}]"), |inner| inner.shape(item, names));
        let shapes: Vec<Shape> = items.iter().enumerate().map(under).collect();
        let fixed: Option<Vec<Value>> = shapes.iter().map(fixed).collect();
        fixed.map_or(Shape::List(shapes), |items| Shape::Fixed(Value::Array(items)))
    }

    fn object(&mut self, map: &Map<String, Value>, names: &Names) -> Shape {
        self.unknown_directives(map);
        let heads: Vec<&str> =
            DIRECTIVES.iter().map(|(head, _)| *head).filter(|head| map.contains_key(*head)).collect();
        if let [first, second, ..] = heads[..] {
            self.complain(second, format!("`{second}` cannot stand beside `{first}`"), "put one inside the other");
        }
        match heads.first() {
            Some(&"$each") => self.each(map, names),
            Some(&"$if") => self.choice(map, names),
            Some(&"$use") => self.fragment(map, names),
            Some(&"$merge") => self.merge(map, names),
            Some(_) => self.copy(map, names),
            None => {
                let fields = self.fields(map, names);
                let same = |field: &Field| {
                    (field.need == Need::Required).then(|| Some((field.key.clone(), fixed(&field.shape)?)))?
                };
                let all: Option<Map<String, Value>> = fields.iter().map(same).collect();
                all.map_or(Shape::Object(Base::Empty, fields), |map| Shape::Fixed(Value::Object(map)))
            }
        }
    }

    /// Keys with a dollar are directives, and only in their company.
    fn unknown_directives(&mut self, map: &Map<String, Value>) {
        for key in map.keys().filter(|key| key.starts_with('$') && !key.starts_with("$$")) {
            if key.contains("${") {
                self.complain(key, "a key cannot hold an expression", "write the key as plain text");
                continue;
            }
            if DIRECTIVES.iter().any(|(head, _)| head == key) {
                continue;
            }
            match DIRECTIVES.iter().find(|(_, company)| company.contains(&key.as_str())) {
                Some((head, _)) if map.contains_key(*head) => {}
                Some((head, _)) => self.complain(key, format!("`{key}` goes with `{head}`, which is not here"), ""),
                None => {
                    let all =
                        DIRECTIVES.iter().flat_map(|(head, company)| std::iter::once(head).chain(*company)).copied();
                    let hint = did_you_mean(key, all)
                        .unwrap_or_else(|| format!("write `${key}` for a key that begins with a dollar"));
                    self.complain(key, format!("unknown directive `{key}`"), hint);
                }
            }
        }
    }

    /// The plain keys.
    fn fields(&mut self, map: &Map<String, Value>, names: &Names) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::with_capacity(map.len());
        for (written, value) in map {
            if written.starts_with('$') && !written.starts_with("$$") {
                continue;
            }
            if written.contains("${") && !written.starts_with("$$") {
                self.complain(written, "a key cannot hold an expression", "write the key as plain text");
                continue;
            }
            let key = written.strip_prefix('$').unwrap_or(written);
            let (key, need) = match key.strip_suffix('?') {
                Some(key) => (key, Need::Optional),
                None => (key, Need::Required),
            };
            let shape = self.under(written, |inner| inner.shape(value, names));
            if fields.iter().any(|field| field.key == key) {
                self.complain(written, format!("the key `{key}` is given twice"), "");
            }
            fields.push(Field { key: key.to_string(), need, shape });
        }
        fields
    }

    fn copy(&mut self, map: &Map<String, Value>, names: &Names) -> Shape {
        let source = self.under("$copy", |inner| inner.expression(map.get("$copy"), names));
        let mut reshape = Reshape::default();
        self.without(map.get("$without"), &mut reshape);
        self.rename(map.get("$rename"), &mut reshape);
        let fields = self.fields(map, names);
        match source {
            Some(source) => Shape::Object(Base::Copy(Copied { source, reshape }), fields),
            None => Shape::Fixed(Value::Null),
        }
    }

    fn merge(&mut self, map: &Map<String, Value>, names: &Names) -> Shape {
        let fields = self.fields(map, names);
        let Some(Value::Array(items)) = map.get("$merge") else {
            return self
                .wrong(Mistake::new("needs a list of objects", "write `[\"${payload}\", { a: 1 }]`").within("$merge"));
        };
        let shapes = items.iter().enumerate().map(|(at, item)| {
            if matches!(item, Value::Array(_) | Value::Number(_) | Value::Bool(_)) {
                self.complain(&format!("$merge[{at}]"), format!("needs an object, this is {}", kind(item)), "");
            }
            self.under(&format!("$merge[{at}]"), |inner| inner.shape(item, names))
        });
        let shapes = shapes.collect();
        Shape::Object(Base::Merge(shapes), fields)
    }

    fn fragment(&mut self, map: &Map<String, Value>, names: &Names) -> Shape {
        for key in map.keys().filter(|key| !key.starts_with('$')) {
            let hint = "write `$merge: [{ $use: ... }, { ... }]`";
            self.complain(key, format!("`{key}` cannot stand beside `$use`"), hint);
        }
        let with = self.with(map.get("$with"), names);
        let Some(Value::String(name)) = map.get("$use") else {
            return self.wrong(Mistake::new("needs the name of a fragment", "").within("$use"));
        };
        let fragments = self.fragments;
        let Some((name, body)) = fragments.get(name) else {
            let mistake = Mistake::new(format!("unknown fragment `{name}`"), fragments.hint(name));
            return self.wrong(mistake.within("$use"));
        };
        if self.within.contains(&name) {
            let way = [&self.within[..], &[name]].concat().join(" -> ");
            return self.wrong(Mistake::new(format!("the fragment uses itself: {way}"), "").within("$use"));
        }
        let inside = with.iter().fold(fragments.names().clone(), |names, (name, _)| names.with(name));
        self.within.push(name);
        let before = self.mistakes.len();
        let body = self.shape(body, &inside);
        let own = self.mistakes.split_off(before);
        self.mistakes.extend(own.into_iter().map(|mistake| mistake.in_fragment(name)));
        self.within.pop();
        Shape::Use(Box::new(Used { name: name.to_owned(), with, body }))
    }

    /// `$with`: names of the fragment, and what they stand for; that may name what can be named here.
    fn with(&mut self, written: Option<&Value>, names: &Names) -> Vec<(String, Shape)> {
        let pairs = match written {
            None => return Vec::new(),
            Some(Value::Object(pairs)) => pairs,
            Some(other) => {
                let what = format!("needs names and values, this is {}", kind(other));
                self.complain("$with", what, "write `{ amount: \"${payload.total}\" }`");
                return Vec::new();
            }
        };
        let mut with = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let key = format!("$with.{name}");
            let shape = self.under(&key, |inner| inner.shape(value, names));
            if !is_word(name) {
                self.complain(&key, "this is no name", "write a word of letters, digits and _");
            } else if self.fragments.names().contains(name) {
                self.complain(&key, format!("`{name}` has a meaning already"), "take another name");
            } else {
                with.push((name.clone(), shape));
            }
        }
        with
    }

    fn without(&mut self, written: Option<&Value>, reshape: &mut Reshape) {
        match written {
            None => {}
            Some(Value::Array(paths)) => {
                for (at, path) in paths.iter().enumerate() {
                    match path.as_str().and_then(keys) {
                        Some(path) => reshape.without(&path),
                        None => self.complain(
                            &format!("$without[{at}]"),
                            "this is no key or path of keys",
                            "write `ssn` or `address.zip`",
                        ),
                    }
                }
            }
            Some(other) => self.complain(
                "$without",
                format!("needs a list of keys, this is {}", kind(other)),
                "write `[ssn, address.zip]`",
            ),
        }
    }

    fn rename(&mut self, written: Option<&Value>, reshape: &mut Reshape) {
        match written {
            None => {}
            Some(Value::Object(pairs)) => {
                for (path, name) in pairs {
                    match (keys(path), name.as_str()) {
                        (Some(path), Some(name)) if !name.is_empty() => reshape.rename(&path, name),
                        _ => self.complain(
                            "$rename",
                            format!("`{path}` needs a new name as a string"),
                            "write `{ mail: email }`",
                        ),
                    }
                }
            }
            Some(other) => self.complain(
                "$rename",
                format!("needs old and new names, this is {}", kind(other)),
                "write `{ mail: email }`",
            ),
        }
    }

    fn each(&mut self, map: &Map<String, Value>, names: &Names) -> Shape {
        self.no_keys_beside(map, "$each", "$emit");
        let name = match map.get("$as") {
            None => "item".to_string(),
            Some(Value::String(name)) if is_word(name) => name.clone(),
            Some(_) => {
                self.complain("$as", "this is no name", "write a word of letters, digits and _");
                "item".to_string()
            }
        };
        let inside = names.with("index").with(&name);
        let source = self.under("$each", |inner| inner.expression(map.get("$each"), names));
        let filter = map
            .get("$where")
            .and_then(|written| self.under("$where", |inner| inner.expression(Some(written), &inside)));
        let Some(emit) = map.get("$emit") else {
            return self.wrong(Mistake::new("`$each` needs `$emit`: what becomes of each entry", "").within("$each"));
        };
        let emit = self.under("$emit", |inner| inner.shape(emit, &inside));
        match source {
            Some(source) => Shape::Each(Box::new(Each { source, name, filter, emit })),
            None => Shape::Fixed(Value::Null),
        }
    }

    fn choice(&mut self, map: &Map<String, Value>, names: &Names) -> Shape {
        self.no_keys_beside(map, "$if", "$then");
        let condition = self.under("$if", |inner| inner.expression(map.get("$if"), names));
        let Some(then) = map.get("$then") else {
            return self.wrong(Mistake::new("`$if` needs `$then`", "").within("$if"));
        };
        let then = self.under("$then", |inner| inner.shape(then, names));
        let otherwise = map.get("$else").map(|written| self.under("$else", |inner| inner.shape(written, names)));
        match condition {
            Some(condition) => Shape::If(Box::new(If { condition, then, otherwise })),
            None => Shape::Fixed(Value::Null),
        }
    }

    fn no_keys_beside(&mut self, map: &Map<String, Value>, head: &str, inside: &str) {
        for key in map.keys().filter(|key| !key.starts_with('$')) {
            self.complain(key, format!("`{key}` cannot stand beside `{head}`"), format!("put it under `{inside}`"));
        }
    }

    /// The value of a directive: an expression, with or without `${...}` around it, or a boolean.
    fn expression(&mut self, written: Option<&Value>, names: &Names) -> Option<Expression> {
        let compiled = match written {
            Some(Value::Bool(value)) => Expression::compile(if *value { "true" } else { "false" }, names),
            Some(Value::String(source)) if source.contains("${") => Text::compile(source, names).and_then(|text| {
                let alone = text.alone().cloned();
                alone.ok_or_else(|| {
                    Mistake::new("this is text, not an expression", "write one `${...}` and nothing around it")
                })
            }),
            Some(Value::String(source)) => Expression::compile(source, names),
            other => {
                let what = format!("needs an expression, this is {}", other.map_or("nothing", kind));
                Err(Mistake::new(what, "write `${...}`"))
            }
        };
        compiled.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }
}

fn fixed(shape: &Shape) -> Option<Value> {
    if let Shape::Fixed(value) = shape { Some(value.clone()) } else { None }
}

/// `a.b` as its keys; none of them is empty.
fn keys(path: &str) -> Option<Vec<&str>> {
    let keys: Vec<&str> = path.split('.').collect();
    keys.iter().all(|key| !key.is_empty()).then_some(keys)
}
