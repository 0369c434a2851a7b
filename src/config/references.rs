//! References in scalars: `${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}`; `$$` is `$`.
//!
//! Takes the tree of a configuration, puts values in the place of references. What a reference brought may be a
//! secret: it is remembered, so that no problem repeats it. A `$` before anything else is a `$`.

use crate::config::reads::Files;
use crate::model::problem::{Place, Problem, Problems};
use crate::yaml::node::{Data, Node};
use std::path::Path;

/// Where references lead.
pub(crate) struct Surroundings<'s> {
    /// What relative paths are relative to.
    pub(crate) folder: &'s Path,
    /// The environment.
    pub(crate) environment: &'s dyn Fn(&str) -> Option<String>,
    /// Reads files.
    pub(crate) files: &'s Files,
}

/// A scalar that held references.
pub(crate) struct Resolved {
    /// Where it stands.
    pub(crate) place: Place,
    written: String,
    text: String,
    /// Each reference and what it brought.
    parts: Vec<(String, String)>,
}

/// The fewest letters of a referred value that are looked for in all problems: fewer occur by chance.
const RARE: usize = 4;

const FORMS: &str = "References are ${env:NAME}, ${env:NAME:-default} and ${file:PATH}; a literal ${ is written $${";

/// Replaces all references below `node`, whose path is `path`.
pub(crate) fn resolve(
    node: &mut Node,
    path: &str,
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) -> Vec<Resolved> {
    let mut resolved = Vec::new();
    match &mut node.data {
        Data::Null | Data::Bool(_) | Data::Number(_) => {}
        Data::String(text) if !text.contains('$') => {}
        Data::String(text) => match expand(text, surroundings) {
            Ok((expanded, parts)) => {
                let written = std::mem::replace(text, expanded.clone());
                if !parts.is_empty() {
                    resolved.push(Resolved { place: node.place.clone(), written, text: expanded, parts });
                }
            }
            Err((what, hint)) => {
                problems.add(&node.place, path, what, hint);
                // One mistake is told once: nothing is read out of this scalar.
                node.data = Data::Null;
            }
        },
        Data::List(nodes) => {
            for (i, node) in nodes.iter_mut().enumerate() {
                resolved.extend(resolve(node, &format!("{path}[{i}]"), surroundings, problems));
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                resolved.extend(resolve(&mut entry.value, &path, surroundings, problems));
            }
        }
    }
    resolved
}

/// A text with its references replaced, and each reference with what it brought.
type Expanded = (String, Vec<(String, String)>);

fn expand(text: &str, surroundings: &Surroundings<'_>) -> Result<Expanded, (String, String)> {
    let (mut out, mut parts, mut rest) = (String::new(), Vec::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}').ok_or_else(|| ("`${` has no `}`".to_owned(), FORMS.to_owned()))?;
            let value = look_up(&inner[..end], surroundings)?;
            out.push_str(&value);
            parts.push((format!("${{{}}}", &inner[..end]), value));
            rest = &inner[end + 1..];
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok((out, parts))
}

fn look_up(reference: &str, surroundings: &Surroundings<'_>) -> Result<String, (String, String)> {
    match reference.split_once(':') {
        Some(("env", name)) => {
            let (name, default) = name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err((format!("`{name}` is not the name of a variable"), FORMS.to_owned()));
            }
            match ((surroundings.environment)(name), default) {
                (Some(value), None) => Ok(value),
                (Some(value), Some(_)) if !value.is_empty() => Ok(value),
                (_, Some(default)) => Ok(default.to_owned()),
                (None, None) => {
                    let hint = format!("Set it, or write ${{env:{name}:-default}}");
                    Err((format!("the environment variable {name} is not set"), hint))
                }
            }
        }
        Some(("file", path)) if !path.is_empty() => {
            let path = surroundings.folder.join(path);
            let text = surroundings.files.text(&path);
            let text = text.map_err(|error| {
                let hint = "Paths are relative to the configuration file".to_owned();
                (format!("{} cannot be read: {error}", path.display()), hint)
            })?;
            Ok(text.trim().to_owned())
        }
        _ => Err((format!("`${{{reference}}}` is not a reference"), FORMS.to_owned())),
    }
}

// === impl Resolved ===

impl Resolved {
    /// Takes what references brought out of a problem.
    pub(crate) fn conceal(&self, problem: &mut Problem) {
        let here = problem.place == self.place;
        for text in [&mut problem.what, &mut problem.hint] {
            if here && !self.text.is_empty() {
                *text = text.replace(&format!("`{}`", self.text), &format!("`{}`", self.written));
            }
            for (reference, value) in self.parts.iter().filter(|(_, value)| value.chars().count() >= RARE) {
                *text = text.replace(value.as_str(), reference);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret.txt"), "\n  from a file \n").unwrap();
        let environment = |name: &str| match name {
            "HOST" => Some("broker-1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let files = Files::default();
        let surroundings = Surroundings { folder: folder.path(), environment: &environment, files: &files };
        let mut node = Node { place: Place::whole("f"), data: Data::String(text.to_owned()) };
        let mut problems = Problems::default();
        resolve(&mut node, "a.b", &surroundings, &mut problems);
        match (problems.0.first(), node.data) {
            (Some(problem), Data::Null) => Err(problem.to_string()),
            (None, Data::String(text)) => Ok(text),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn references_are_replaced_and_a_doubled_dollar_is_one() {
        for (written, expected) in [
            ("${env:HOST}:9092", "broker-1:9092"),
            ("${env:HOST},${env:OTHER:-b:1}", "broker-1,b:1"),
            ("${env:EMPTY}", ""),
            ("${env:EMPTY:-x}", "x"),
            ("${env:OTHER:-}", ""),
            ("${file:secret.txt}", "from a file"),
            ("$${env:HOST} costs 5$ or $$5", "${env:HOST} costs 5$ or $5"),
        ] {
            assert_eq!(resolved(written).as_deref(), Ok(expected), "{written}");
        }
    }

    #[test]
    fn every_wrong_reference_is_told_with_its_path() {
        for (written, expected) in [
            (
                "${env:OTHER}",
                "f: a.b: the environment variable OTHER is not set. Set it, or write ${env:OTHER:-default}",
            ),
            ("${env:}", "f: a.b: `` is not the name of a variable"),
            ("${HOME}", "f: a.b: `${HOME}` is not a reference"),
            ("${vault:x}", "f: a.b: `${vault:x}` is not a reference"),
            ("${env:HOST", "f: a.b: `${` has no `}`"),
            ("${file:no.txt}", "no.txt cannot be read: "),
        ] {
            let told = resolved(written).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn what_a_reference_brought_is_in_no_problem() {
        let environment = |_: &str| Some("hunter2".to_owned());
        let files = Files::default();
        let surroundings = Surroundings { folder: Path::new("."), environment: &environment, files: &files };
        let mut node = Node { place: Place::whole("f"), data: Data::String("x${env:PW}".to_owned()) };
        let resolved = resolve(&mut node, "", &surroundings, &mut Problems::default());
        let mut problem = Problem {
            place: Place::whole("f"),
            path: "a".into(),
            what: "must be a number, not `xhunter2`".into(),
            hint: "hunter2 is none".into(),
        };
        resolved[0].conceal(&mut problem);
        assert_eq!(problem.to_string(), "f: a: must be a number, not `x${env:PW}`. ${env:PW} is none");
    }
}
