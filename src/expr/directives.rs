//! What a user wrote -> a compiled template: `$copy $without $rename`, `$each $as $where $emit`, `$if $then $else`,
//! `key?`, `${...}`. Collects all mistakes, each with its path as written.

use crate::expr::expression::Expression;
use crate::expr::mistake::{Mistake, did_you_mean};
use crate::expr::path::{is_word, kind};
use crate::expr::reshape::Reshape;
use crate::expr::scope::Names;
use crate::expr::shape::{Copied, Each, Field, If, Need, Shape};
use crate::expr::text::Text;
use serde_json::{Map, Value};

/// The directives that make an object something else, each with those that go with it.
const DIRECTIVES: &[(&str, &[&str])] =
    &[("$copy", &["$without", "$rename"]), ("$each", &["$as", "$where", "$emit"]), ("$if", &["$then", "$else"])];
/// How deep a template may be: as deep as a YAML file.
const MAX_DEPTH: usize = 64;

/// Compiles what was written; mistakes go to the list.
#[derive(Debug, Default)]
pub struct Directives {
    /// All mistakes so far.
    pub mistakes: Vec<Mistake>,
    depth: usize,
}

// === impl Directives ===

impl Directives {
    /// One node; what it gives when there are mistakes is of no use.
    pub fn shape(&mut self, written: &Value, names: &Names) -> Shape {
        if self.depth == MAX_DEPTH {
            self.mistakes.push(Mistake::new(format!("the template is more than {MAX_DEPTH} deep"), ""));
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
            Some(_) => self.copy(map, names),
            None => {
                let fields = self.fields(map, names);
                let same = |field: &Field| {
                    (field.need == Need::Required).then(|| Some((field.key.clone(), fixed(&field.shape)?)))?
                };
                let all: Option<Map<String, Value>> = fields.iter().map(same).collect();
                all.map_or(Shape::Object(None, fields), |map| Shape::Fixed(Value::Object(map)))
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
            Some(source) => Shape::Object(Some(Copied { source, reshape }), fields),
            None => Shape::Fixed(Value::Null),
        }
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
