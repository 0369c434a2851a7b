//! Figures, limits, and whether they hold.

use std::process::ExitCode;

/// What was measured so far.
#[derive(Default)]
pub(crate) struct Report {
    held: usize,
    failed: Vec<String>,
}

/// A figure and its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

// === impl Report ===

impl Report {
    /// A figure that has no limit.
    pub(crate) fn tell(&self, what: &str, figure: impl std::fmt::Display) {
        println!("        {what:<64} {figure}");
    }

    /// A figure and its limit, in this unit.
    pub(crate) fn hold(&mut self, what: &str, (figure, unit): (f64, &str), limit: Limit) {
        let (holds, bound) = match limit {
            Limit::AtMost(most) => (figure <= most, format!("<= {most:.2}")),
            Limit::AtLeast(least) => (figure >= least, format!(">= {least:.2}")),
        };
        println!("  {}  {what:<64} {figure:.2} {unit} ({bound})", if holds { "PASS" } else { "FAIL" });
        if holds {
            self.held += 1;
        } else {
            self.failed.push(what.to_owned());
        }
    }

    /// Nothing of this may be there.
    pub(crate) fn none(&mut self, what: &str, found: u64) {
        self.hold(what, (found as f64, ""), Limit::AtMost(0.0));
    }

    /// Says how it all ended.
    pub(crate) fn end(self) -> ExitCode {
        println!("\n{} held, {} failed", self.held, self.failed.len());
        self.failed.iter().for_each(|what| println!("  FAIL  {what}"));
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A size of the run, from the environment.
pub(crate) fn size(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
