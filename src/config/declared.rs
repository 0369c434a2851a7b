//! Subscriptions in files: found, read in sorted order, each read as the API reads one.
//!
//! Scalars may hold references, but for those that are expressions of their own. That there is no file at all says
//! nothing about which subscriptions there are; a list that is empty says that there are none.

use crate::config::error::{ConfigError, Sources};
use crate::config::files::{self, Named};
use crate::config::masked;
use crate::config::reading::Reading;
use crate::egress::guard::Guard;
use crate::model::problem::Place;
use crate::model::subscription::Subscription;
use crate::runtime::clock;
use crate::subscriptions::declared;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Node};
use crate::yaml::reader;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fields in which `${` is an expression's.
const EXPRESSIONS: [&str; 3] = ["filter", "filters", "transform"];

/// Fields that hold numbers, which a reference brings as text.
const NUMBERS: [&str; 4] = ["concurrency", "rate", "batch", "retry"];

const FORM: &str = "Write `subscriptions:` and a list; `subscriptions: []` for none";

/// Declared subscriptions, as far as files say something about them.
pub(crate) type Declared = Option<Vec<Subscription>>;

/// Reads files and folders of declared subscriptions without a configuration; what may be called is what may be by
/// default.
///
/// # Errors
/// All mistakes in all files.
#[allow(clippy::disallowed_methods, reason = "the environment is read here, once")]
pub fn load(paths: &[PathBuf]) -> Result<Vec<Subscription>, ConfigError> {
    let named = paths.iter().map(|path| {
        let place = Place::whole(path.display().to_string());
        Named { path: path.clone(), place, key: String::new() }
    });
    let named = named.collect::<Vec<_>>();
    let environment = |name: &str| std::env::var(name).ok();
    let (mut reading, mut sources) = (Reading::new(Path::new(""), environment), Sources::default());
    let found = read(&named, &Guard::new(Default::default()), &mut reading, &mut sources);
    let read = reading.end().or(found.unwrap_or_default());
    read.map_err(|problems| ConfigError::new(problems, sources, reading.files.end()))
}

/// What the section names: files and folders, relative to the configuration. The folder that is read when nothing is
/// said need not be there.
pub(crate) fn named(field: Option<Field<'_>>, top: &Place, reading: &mut Reading) -> (Vec<Named>, Declared) {
    let usual = |place: &Place, key: String, reading: &Reading| {
        let path = reading.folder.join("subscriptions");
        if path.exists() {
            return vec![Named { path, place: place.clone(), key }];
        }
        reading.files.missed(&path);
        Vec::new()
    };
    let Some(field) = field else { return (usual(top, "subscriptions".to_owned(), reading), None) };
    let mut named = Vec::new();
    let Some(fields) = field.list(&mut reading.problems) else { return (named, None) };
    let none = fields.is_empty().then(Vec::new);
    for field in fields {
        match field.text(&mut reading.problems) {
            Some("subscriptions") => named.extend(usual(&field.node.place, field.path, reading)),
            Some(path) => {
                let path = reading.folder.join(path);
                named.push(Named { path, place: field.node.place.clone(), key: field.path });
            }
            None => {}
        }
    }
    (named, none)
}

/// Reads what `named` stands for, each file once.
pub(crate) fn read(named: &[Named], guard: &Guard, reading: &mut Reading, sources: &mut Sources) -> Declared {
    let (mut seen, mut all, mut ids) = (Vec::new(), None, HashMap::new());
    for named in named {
        for file in files::found(named, &reading.files, &mut reading.problems) {
            if seen.contains(&file) {
                continue;
            }
            let list = all.get_or_insert_with(Vec::new);
            if let Some(node) = tree(&file, named, reading, sources) {
                list.extend(one_file(&node, guard, &mut ids, reading));
            }
            seen.push(file);
        }
    }
    all
}

/// The file as a tree, with its references replaced.
fn tree(file: &Path, named: &Named, reading: &mut Reading, sources: &mut Sources) -> Option<Node> {
    let text = match reading.files.text(file) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("{} cannot be read: {error}", file.display());
            reading.problems.add(&named.place, named.key.clone(), what, "");
            return None;
        }
    };
    let tree = reader::read(&Arc::from(file.display().to_string()), &text);
    sources.add(file, masked::masked(&text, tree.as_ref().ok()));
    match tree {
        Ok(mut tree) => {
            reading.remember(masked::secrets(&tree));
            refer(&mut tree, reading);
            Some(tree)
        }
        Err(problems) => {
            reading.problems.extend(problems);
            None
        }
    }
}

/// Replaces the references of each subscription.
fn refer(tree: &mut Node, reading: &mut Reading) {
    let Data::Map(entries) = &mut tree.data else { return };
    let lists = entries.iter_mut().filter(|entry| entry.key == "subscriptions");
    let lists =
        lists.filter_map(|entry| if let Data::List(nodes) = &mut entry.value.data { Some(nodes) } else { None });
    for (i, node) in lists.flatten().enumerate() {
        let Data::Map(fields) = &mut node.data else { continue };
        for field in fields.iter_mut().filter(|field| !EXPRESSIONS.contains(&field.key.as_str())) {
            reading.refer(&mut field.value, &format!("subscriptions[{i}].{}", field.key));
            if NUMBERS.contains(&field.key.as_str()) {
                field.value = reading.typed(&field.value);
            }
        }
    }
}

/// Ids, and where each was first given.
type Ids = HashMap<String, Place>;

fn one_file(tree: &Node, guard: &Guard, ids: &mut Ids, reading: &mut Reading) -> Vec<Subscription> {
    let (problems, mut all) = (&mut reading.problems, Vec::new());
    if tree.is_null() {
        problems.add(&Place::whole(Arc::clone(&tree.place.file)), "", "the file is empty", FORM);
        return all;
    }
    let Some(mut fields) = Fields::of(&Field::new(tree, ""), problems) else { return all };
    let list = fields.required("subscriptions", problems).and_then(|field| field.list(problems));
    fields.finish(problems);
    for field in list.unwrap_or_default() {
        match declared::read(&field, guard, clock::now()) {
            Ok(one) => {
                let place = field.node.place.clone();
                if let Some(first) = ids.get(&one.id) {
                    let what = format!("there are two subscriptions with the id `{}`", one.id);
                    field.problem(problems, what, format!("The first is at {first}"));
                }
                ids.entry(one.id.clone()).or_insert(place);
                all.push(one);
            }
            Err(found) => problems.extend(found),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::fs;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// A configuration with this text, and these files beside it.
    fn loaded(config: &str, files: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mappings")).unwrap();
        fs::write(folder.path().join("secret.txt"), format!("{SECRET}\n")).unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let file = folder.path().join("hookline.yaml");
        fs::write(&file, config).unwrap();
        let environment = |name: &str| match name {
            "TOKEN" => Some("hunter2-hunter2".to_owned()),
            "SLOTS" => Some("7".to_owned()),
            _ => None,
        };
        crate::config::load(&file, (&[], &[]), environment, crate::config::read)
    }

    fn one(id: &str, more: &str) -> String {
        let secrets = if more.contains("secrets:") { "" } else { "secrets: ['${file:secret.txt}'], " };
        format!("subscriptions: [{{ id: {id}, url: 'https://example.com/h', types: ['**'], {secrets}{more} }}]")
    }

    #[track_caller]
    fn ids(config: &str, files: &[(&str, &str)]) -> Option<Vec<String>> {
        let config = loaded(config, files).map_err(|error| error.report()).unwrap();
        config.declared.map(|all| all.into_iter().map(|one| one.id).collect())
    }

    #[test]
    fn files_beside_the_configuration_are_read_and_without_any_nothing_is_said() {
        assert_eq!(ids("", &[]), None);
        assert_eq!(ids("subscriptions: [subscriptions]", &[]), None);
        assert_eq!(ids("", &[("subscriptions/readme.md", "")]), None, "a folder without files says nothing");
        assert_eq!(ids("subscriptions: []", &[]), Some(vec![]));
        let (a, b) = (one("sub_a", ""), one("sub_b", ""));
        let files =
            [("subscriptions/2.yaml", a.as_str()), ("subscriptions/1.yml", &b), ("more.yaml", "subscriptions: []")];
        assert_eq!(ids("", &files), Some(vec!["sub_b".into(), "sub_a".into()]));
        assert_eq!(ids("subscriptions: [more.yaml]", &files), Some(vec![]));
    }

    #[test]
    fn references_bring_secrets_and_numbers_and_leave_expressions_alone() {
        let more = "filter: 'event.data.x == \"$${a}\"', transform: { a: '${event.data.x}' }, auth: { bearer: '${env:TOKEN}' }, concurrency: '${env:SLOTS}'";
        let config =
            loaded("", &[("subscriptions/a.yaml", &one("sub_a", more))]).map_err(|error| error.report()).unwrap();
        let declared = &config.declared.unwrap()[0];
        assert_eq!((declared.secrets[0].text.expose(), declared.concurrency), (SECRET, Some(7)));
        assert_eq!(declared.filter.as_deref(), Some("event.data.x == \"$${a}\""));
        assert_eq!(declared.transform.as_ref().unwrap()["a"], "${event.data.x}");
        assert!(!format!("{declared:?}").contains("hunter2"));
    }

    #[test]
    fn all_mistakes_of_all_files_are_told_with_their_places_and_no_secret() {
        let bad = format!(
            "subscriptions:\n  - {{ id: sub_a, url: 'http://10.0.0.1/', types: [], secrets: ['{SECRET}'],\n      timout: 5s }}\n  \
             - {{ id: sub_b, url: 'https://example.com', types: ['**'], secrets: [hunter2-hunter2], auth: {{ bearer: hunter2 }} }}\n"
        );
        let (twice, again) = (one("sub_c", ""), one("sub_c", ""));
        let files = [
            ("subscriptions/a.yaml", bad.as_str()),
            ("subscriptions/b.yaml", &twice),
            ("subscriptions/c.yaml", &again),
            ("subscriptions/d.yaml", "# nothing yet\n"),
            ("subscriptions/e.yaml", "subscription: []"),
        ];
        let error = loaded("egress: { allow_http: true }\nkafka: { grup: a }", &files).unwrap_err();
        let (told, report) = (error.to_string(), error.report());
        for expected in [
            "hookline.yaml:2:10: kafka.grup: is not a known key",
            "a.yaml:2:23: subscriptions[0].url: 10.0.0.1 may not be called",
            "a.yaml:2:50: subscriptions[0].types: there is no pattern",
            "a.yaml:3:7: subscriptions[0].timout: is not a known key. Did you mean `timeout`?",
            "subscriptions[1].secrets[0]: the secret is not base64",
            "c.yaml:1:17: subscriptions[0]: there are two subscriptions with the id `sub_c`. The first is at ",
            "d.yaml: the file is empty. Write `subscriptions:` and a list; `subscriptions: []` for none",
            "e.yaml:1:1: subscriptions: is missing",
        ] {
            assert!(told.contains(expected), "{expected}\nin\n{told}");
        }
        assert!(!report.contains("hunter2") && !report.contains(SECRET), "{report}");
    }

    #[test]
    fn what_the_documentation_shows_is_valid() {
        let page = include_str!("../../docs/reload.md");
        let example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let example = example.replace("BILLING_TOKEN", "TOKEN");
        let files = [("subscriptions/a.yaml", example.as_str()), ("billing.secret", SECRET)];
        assert_eq!(ids("", &files), Some(vec!["sub_billing".into()]));
    }

    #[test]
    fn a_file_or_folder_that_is_named_must_be_there() {
        let told = loaded("subscriptions: [more]", &[]).unwrap_err().to_string();
        assert!(told.contains("hookline.yaml:1:17: subscriptions[0]: there is no file or folder"), "{told}");
    }

    #[test]
    fn files_alone_are_read_with_what_may_be_called_by_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let text = one("sub_a", &format!("secrets: ['{SECRET}']"));
        fs::write(&file, &text).unwrap();
        assert_eq!(load(&[folder.path().into()]).unwrap()[0].id, "sub_a");
        fs::write(&file, text.replace("https", "http")).unwrap();
        assert!(load(&[file]).unwrap_err().to_string().contains("http needs egress.allow_http"));
    }
}
