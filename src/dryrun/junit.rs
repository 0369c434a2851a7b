//! A report in the XML that JUnit made common, for CI systems.

use crate::dryrun::suite::{Ran, Report};
use std::fmt::Write;

/// The report as XML, a suite for each file.
#[must_use]
pub fn xml(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (all, failed) = (report.0.len(), report.failed());
    line(&mut out, &format!("<testsuites name=\"hookline\" tests=\"{all}\" failures=\"{failed}\">"));
    let mut rest = report.0.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|ran| ran.place.file == first.place.file).count();
        let (suite, others) = rest.split_at(same);
        rest = others;
        let failed = suite.iter().filter(|ran| !ran.passed()).count();
        let file = escaped(&first.place.file);
        line(&mut out, &format!("  <testsuite name=\"{file}\" tests=\"{same}\" failures=\"{failed}\">"));
        suite.iter().for_each(|ran| case(&mut out, ran));
        line(&mut out, "  </testsuite>");
    }
    line(&mut out, "</testsuites>");
    out
}

fn case(out: &mut String, ran: &Ran) {
    let (name, file, at) = (escaped(&ran.name), escaped(&ran.place.file), ran.place.line);
    let head = format!("    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" line=\"{at}\"");
    if ran.passed() {
        return line(out, &format!("{head}/>"));
    }
    let told: Vec<String> = ran.failures.iter().map(ToString::to_string).collect();
    let (message, told) = (escaped(told[0].lines().next().unwrap_or_default()), escaped(&told.join("\n")));
    line(out, &format!("{head}>"));
    line(out, &format!("      <failure message=\"{message}\">{told}</failure>"));
    line(out, "    </testcase>");
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes everything");
}

/// Text as XML 1.0 may hold it, also between quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dryrun::diff::Difference;
    use crate::dryrun::suite::Failure;
    use crate::model::problem::Place;
    use serde_json::json;

    #[test]
    fn each_file_is_a_suite_and_each_failure_says_what_differs() {
        let ran = |file: &str, name: &str, failures: Vec<Failure>| Ran {
            name: name.into(),
            place: Place { file: file.into(), line: 7, column: 5 },
            path: "tests[0]".into(),
            failures,
            becomes: None,
        };
        let differs = Difference { path: "expect[0]".into(), expected: Some(json!("<a & b>\u{1}")), got: None };
        let report = Report(vec![
            ran("a.yaml", "good", Vec::new()),
            ran("a.yaml", "\"bad\"", vec![Failure::Differs(differs), Failure::NoFault("x".into())]),
            ran("b.yaml", "good", Vec::new()),
        ]);
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"hookline\" tests=\"3\" failures=\"1\">
  <testsuite name=\"a.yaml\" tests=\"2\" failures=\"1\">
    <testcase name=\"good\" classname=\"a.yaml\" file=\"a.yaml\" line=\"7\"/>
    <testcase name=\"&quot;bad&quot;\" classname=\"a.yaml\" file=\"a.yaml\" line=\"7\">
      <failure message=\"expect[0]: is missing\">expect[0]: is missing
  expected &quot;&lt;a &amp; b&gt;\\u0001&quot;
no mapping fails with `x`</failure>
    </testcase>
  </testsuite>
  <testsuite name=\"b.yaml\" tests=\"1\" failures=\"0\">
    <testcase name=\"good\" classname=\"b.yaml\" file=\"b.yaml\" line=\"7\"/>
  </testsuite>
</testsuites>
";
        assert_eq!(xml(&report), expected);
    }
}
