//! `hookline test`: runs the tests that stand beside the mappings, and writes what they expect where that is asked for.

use crate::cli::common::{Common, Exit};
use crate::cli::loaded;
use crate::cli::output::{self, Look, Output};
use crate::dryrun::junit;
use crate::dryrun::suite::{self, Ran, Report};
use crate::yaml::edit;
use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs the tests that stand beside the mappings
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline test
  hookline test config/mappings/orders.yaml --filter placed
  hookline test --junit target/hookline.xml      # for CI
  hookline test --update                         # writes what comes out as what is expected; look at the diff

  It ends with 0 when all passed, with 1 when some failed, with 2 when something is not valid.")]
pub struct Args {
    /// Config files, mapping files or folders of mappings [default: the config and all that it names]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Runs only tests whose name holds this
    #[arg(long, value_name = "NAME")]
    pub filter: Option<String>,
    /// Also writes the outcome as JUnit XML
    #[arg(long, value_name = "FILE", conflicts_with = "update")]
    pub junit: Option<PathBuf>,
    /// Rewrites the `expect` of tests that fail by it, and leaves the rest of their files as it is
    #[arg(long)]
    pub update: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// A test, by its file and its path in it.
type Name = (String, String);

/// Runs them.
///
/// # Errors
/// A file cannot be written.
pub fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let all = match loaded::all(args.paths, &common, &output) {
        Ok(all) => all,
        Err(exit) => return Ok(exit),
    };
    let (mut report, mut invalid) = (Report(Vec::new()), false);
    for one in all {
        let Ok(loaded) = loaded::take(one, &output) else {
            invalid = true;
            continue;
        };
        let Some((pipeline, mut tests)) = loaded.suite() else { continue };
        tests.retain(|test| args.filter.as_ref().is_none_or(|words| test.name.contains(words.as_str())));
        report.0.extend(suite::run(&pipeline, &tests).0);
    }
    if invalid {
        return Ok(Exit::Invalid);
    }
    if let Some(words) = args.filter.filter(|_| report.0.is_empty()) {
        output.fail(&anyhow!("no test has a name with `{words}` in it"));
        return Ok(Exit::Bad);
    }
    if let Some(file) = &args.junit {
        fs::write(file, junit::xml(&report)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let updated = if args.update { update(&report, &output)? } else { Vec::new() };
    let left = report.0.iter().filter(|ran| !ran.passed() && !updated.contains(&name(ran))).count();
    if args.json {
        output.line(serde_json::to_string_pretty(&shape(&report, &updated))?)?;
    } else {
        output.line(text(&report, &updated, &output))?;
    }
    Ok(if left == 0 { Exit::Good } else { Exit::Bad })
}

fn name(ran: &Ran) -> Name {
    (ran.place.file.to_string(), ran.path.clone())
}

/// Writes the expectations that would make tests pass; gives the tests that do now.
fn update(report: &Report, output: &Output) -> anyhow::Result<Vec<Name>> {
    let mut files: BTreeMap<&str, Vec<(&Ran, &Value)>> = BTreeMap::new();
    for ran in &report.0 {
        if let Some(becomes) = &ran.becomes {
            files.entry(&*ran.place.file).or_default().push((ran, becomes));
        }
    }
    let mut updated = Vec::new();
    for (file, tests) in files {
        let path = Path::new(file);
        let mut text = fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
        let mut written = 0;
        for (ran, becomes) in tests {
            match edit::replaced(&text, &format!("{}.expect", ran.path), becomes) {
                Ok(edited) => {
                    (text, written) = (edited, written + 1);
                    // What does not fit its schema, or fails for another reason, is not mended by an expectation.
                    updated.extend(mended(ran).then(|| name(ran)));
                }
                Err(error) => output.complain(format!("{}: {error}", ran.place)),
            }
        }
        if written > 0 {
            replace(path, &text).with_context(|| format!("cannot write {file}"))?;
            output.complain(format!("written: {file}, the expectations of {}", output::count(written, "test")));
        }
    }
    Ok(updated)
}

/// Whether a test that is expected to become what it became passes.
fn mended(ran: &Ran) -> bool {
    ran.failures.iter().all(|failure| matches!(failure, suite::Failure::Differs(_)))
}

/// Replaces a file at once, so that a full disk leaves the old one; a link goes on to lead to it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(path)?;
    let beside = path.with_extension(format!("hookline-{}", std::process::id()));
    let written = fs::write(&beside, text)
        .and_then(|()| fs::set_permissions(&beside, fs::metadata(&path)?.permissions()))
        .and_then(|()| fs::rename(&beside, &path));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn text(report: &Report, updated: &[Name], output: &Output) -> String {
    if report.0.is_empty() {
        return "there are no tests; write some beside the mappings, as `tests:`".into();
    }
    let mut lines = Vec::new();
    for ran in &report.0 {
        let about = output::harmless(&ran.name);
        if ran.passed() {
            lines.push(format!("{}      {about}", output.paint(Look::Good, "ok")));
            continue;
        }
        let word = match updated.contains(&name(ran)) {
            true => output.paint(Look::Bold, "updated"),
            false => output.paint(Look::Bad, "FAILED "),
        };
        lines.push(format!("{word} {about}  ({})", ran.place));
        lines.extend(ran.failures.iter().map(|failure| output::indent(&output::harmless(&failure.to_string()), 8)));
    }
    let (failed, mended) = (report.failed() - updated.len(), updated.len());
    let passed = report.0.len() - report.failed();
    let mut counts = vec![format!("{passed} passed")];
    counts.extend((failed > 0).then(|| output.paint(Look::Bad, &format!("{failed} failed"))));
    counts.extend((mended > 0).then(|| format!("{mended} updated")));
    lines.push(counts.join(", "));
    lines.join("\n")
}

fn shape(report: &Report, updated: &[Name]) -> Value {
    let test = |ran: &Ran| {
        json!({
            "name": ran.name,
            "file": &*ran.place.file,
            "line": ran.place.line,
            "column": ran.place.column,
            "passed": ran.passed(),
            "updated": updated.contains(&name(ran)),
            "failures": ran.failures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    json!({
        "passed": report.0.len() - report.failed(),
        "failed": report.failed() - updated.len(),
        "updated": updated.len(),
        "tests": report.0.iter().map(test).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::common::Color;

    const FILE: &str = "\
mappings:
  - { name: paid, from: shop.payments, emit: { type: com.acme.paid, data: { amount: '${payload.amount}' } } }
tests:
  - name: a payment is announced
    record: { topic: shop.payments, payload: { amount: 10.10 } }
    expect: [{ data: { amount: 10.1 } }]    # by value
  - name: another one
    record: { topic: shop.payments, payload: { amount: 5 } }
    expect:
      # what partners get
      - { type: com.acme.paid, data: { amount: 6 } }

  - name: one without amount
    record: { topic: shop.payments, payload: {} }
    expect: []
";

    fn ran(folder: &Path, more: impl FnOnce(&mut Args)) -> Exit {
        let mut args =
            Args { paths: vec![folder.join("m.yaml")], filter: None, junit: None, update: false, json: false };
        more(&mut args);
        let common = Common { config: None, sets: Vec::new(), color: Color::Never };
        run(args, common, Output::plain()).unwrap()
    }

    #[test]
    fn the_exit_says_whether_all_passed_some_failed_or_something_is_not_valid() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.yaml"), FILE).unwrap();
        assert_eq!(ran(folder.path(), |_| {}), Exit::Bad);
        assert_eq!(ran(folder.path(), |args| args.filter = Some("a payment".into())), Exit::Good);
        assert_eq!(ran(folder.path(), |args| args.filter = Some("a paymnet".into())), Exit::Bad);
        let junit = folder.path().join("junit.xml");
        assert_eq!(ran(folder.path(), |args| args.junit = Some(junit.clone())), Exit::Bad);
        assert!(fs::read_to_string(junit).unwrap().contains("tests=\"3\" failures=\"2\""));
        fs::write(folder.path().join("m.yaml"), FILE.replace("from:", "frm:")).unwrap();
        assert_eq!(ran(folder.path(), |_| {}), Exit::Invalid);
        fs::write(folder.path().join("m.yaml"), "tables: {}").unwrap();
        assert_eq!(ran(folder.path(), |_| {}), Exit::Good);
    }

    #[test]
    fn an_update_writes_what_came_out_of_failing_tests_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, FILE).unwrap();
        assert_eq!(ran(folder.path(), |args| args.update = true), Exit::Bad, "what cannot be mapped is not mended");
        let old = "      - { type: com.acme.paid, data: { amount: 6 } }\n";
        let new = "      - type: com.acme.paid\n        data: { amount: 5 }\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), FILE.replace(old, new));
        assert_eq!(ran(folder.path(), |args| args.filter = Some("another".into())), Exit::Good);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_failed_is_told_with_its_place_and_its_differences() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, FILE).unwrap();
        let (pipeline, tests) = loaded_suite(&file);
        let told = text(&suite::run(&pipeline, &tests), &[], &Output::plain());
        let told = told.replace(&format!("{}/", folder.path().display()), "");
        let expected = "\
ok      a payment is announced
FAILED  another one  (m.yaml:7:5)
        expect[0].data.amount: differs
          expected 6
          got      5
FAILED  one without amount  (m.yaml:13:5)
        the record cannot be mapped: paid: emit.data.amount: no such key `amount` in `payload`
          in payload.amount
1 passed, 2 failed";
        assert_eq!(told, expected);
    }

    #[test]
    fn what_the_page_shows_is_valid_and_passes() {
        let page = include_str!("../../docs/authoring.md");
        let blocks: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        let mapping = "mappings: [{ name: placed, from: shop.orders, when: 'payload.type == \"OrderPlaced\"', emit:
            { type: com.acme.order.placed.v1, subject: '${payload.id}', data: { order_id: '${payload.id}', total: '${payload.total}' } } }]";
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.yaml"), format!("{mapping}\n{}{}", blocks[0], blocks[1])).unwrap();
        assert!(blocks[0].starts_with("tests:") && blocks[1].starts_with("events:"));
        assert_eq!(ran(folder.path(), |_| {}), Exit::Good);
    }

    fn loaded_suite(file: &Path) -> (crate::pipeline::Pipeline, Vec<suite::Test>) {
        let rules = crate::config::rules::load(&[file.to_owned()]).map_err(|error| error.report()).unwrap();
        rules.suite()
    }
}
