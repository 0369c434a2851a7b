//! What the macros over lists and maps make of their entries, one by one; and sorting.

use crate::expr::compare::{is_number, order};
use crate::expr::failure::{Failure, FailureKind};
use crate::expr::limits::{Budget, Limits};
use crate::expr::node::LoopKind;
use crate::expr::operators::as_double;
use crate::expr::value::Cel;
use std::sync::Arc;

/// Whether a loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// To the next entry.
    On,
    /// It is decided.
    Stop,
}

/// What a loop has gathered so far.
#[derive(Debug)]
pub struct Gathered<'a> {
    kind: LoopKind,
    pairs: Vec<(Cel<'a>, Cel<'a>)>,
    list: Vec<Cel<'a>>,
    count: usize,
    failure: Option<Failure>,
}

// === impl Gathered ===

impl<'a> Gathered<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(kind: LoopKind) -> Self {
        Self { kind, pairs: Vec::new(), list: Vec::new(), count: 0, failure: None }
    }

    /// Takes the `answer` of the body for one entry.
    ///
    /// # Errors
    /// The answer was a failure and the macro cannot do without it; a limit.
    pub fn take(&mut self, answer: Result<Cel<'a>, Failure>, first: Cel<'a>, entry: Cel<'a>) -> Result<Go, Failure> {
        match self.kind {
            LoopKind::All | LoopKind::Exists => return self.ask(answer.and_then(|answer| answer.truth())),
            LoopKind::ExistsOne => self.count += usize::from(answer?.truth()?),
            LoopKind::Filter => {
                if answer?.truth()? {
                    self.list.push(entry);
                }
            }
            LoopKind::Map => self.list.push(answer?),
            LoopKind::TransformMap => self.pairs.push((first, answer?)),
            LoopKind::SortBy => self.pairs.push((answer?, entry)),
        }
        Ok(Go::On)
    }

    /// One answer that decides is enough, whatever failed before it (EL-2).
    fn ask(&mut self, answer: Result<bool, Failure>) -> Result<Go, Failure> {
        match answer {
            Ok(answer) if answer == (self.kind == LoopKind::Exists) => {
                self.count = 1;
                Ok(Go::Stop)
            }
            Ok(_) => Ok(Go::On),
            Err(failure) if failure.kind == FailureKind::Limit => Err(failure),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                Ok(Go::On)
            }
        }
    }

    /// What the macro gives.
    ///
    /// # Errors
    /// What failed and was not overruled; keys that have no order; a limit.
    pub fn finish(self, budget: &mut Budget) -> Result<Cel<'a>, Failure> {
        let decided = self.count > 0;
        match self.kind {
            LoopKind::All | LoopKind::Exists => match self.failure {
                Some(failure) if !decided => Err(failure),
                _ => Ok(Cel::Bool(decided == (self.kind == LoopKind::Exists))),
            },
            LoopKind::ExistsOne => Ok(Cel::Bool(self.count == 1)),
            LoopKind::Filter | LoopKind::Map => Ok(Cel::list(self.list)),
            LoopKind::TransformMap => Ok(Cel::Map(Arc::new(self.pairs))),
            LoopKind::SortBy => sorted(self.pairs, budget),
        }
    }
}

/// The second of each pair, sorted by the first; equals keep their order, NaN goes last.
///
/// # Errors
/// Keys that have no order among each other; the limit, before anything is moved.
pub fn sorted<'a>(mut pairs: Vec<(Cel<'a>, Cel<'a>)>, budget: &mut Budget) -> Result<Cel<'a>, Failure> {
    let longest = pairs.iter().map(|(key, _)| if let Cel::String(key) = key { key.len() } else { 0 }).max();
    let rounds = pairs.len().max(1).ilog2() as usize + 1;
    budget.touch(pairs.len().saturating_mul(rounds).saturating_mul(64 + longest.unwrap_or(0)))?;
    // Checked beforehand, so that the order below is one: a sort may panic over a comparison that fails half-way.
    let mut unlimited = Budget::new(&Limits { steps: u64::MAX, output_bytes: 0 });
    if let Some((first, _)) = pairs.first() {
        for (key, _) in &pairs {
            order(first, key, &mut unlimited)?;
        }
    }
    let nan = |value: &Cel| is_number(value) && as_double(value).is_some_and(f64::is_nan);
    pairs.sort_by(|(a, _), (b, _)| order(a, b, &mut unlimited).ok().flatten().unwrap_or_else(|| nan(a).cmp(&nan(b))));
    Ok(Cel::list(pairs.into_iter().map(|(_, entry)| entry).collect()))
}
