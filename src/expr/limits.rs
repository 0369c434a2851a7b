//! What one record may cost: steps and output bytes, counted while expressions run; exceeded is a failure, never a stall.
//!
//! A step is one node of an expression evaluated, one entry of a list visited, or 64 bytes of text or binary touched
//! by a function: about 20 ns each.

use crate::expr::failure::Failure;
use serde_json::Value;

/// The most one record may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of all expressions together.
    pub steps: u64,
    /// Bytes of JSON of all rendered templates together.
    pub output_bytes: u64,
}

/// What is left of the limits for one record.
#[derive(Clone, Debug)]
pub struct Budget {
    steps: u64,
    bytes: u64,
    limits: Limits,
}

/// Bytes that cost as much as one step.
const BYTES_PER_STEP: usize = 64;

// === impl Limits ===

impl Default for Limits {
    /// A million steps (about 20 ms: what Kubernetes grants one call) and 4 MiB of output (four events of the size of the
    /// largest record).
    fn default() -> Self {
        Self { steps: 1_000_000, output_bytes: 4 << 20 }
    }
}

// === impl Budget ===

impl Budget {
    /// The whole of `limits`, for one record.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { steps: limits.steps, bytes: limits.output_bytes, limits: *limits }
    }

    /// Takes `steps`. Asked *before* the work, and before anything is allocated for it.
    ///
    /// # Errors
    /// The limit, when there are not that many left; none are left then.
    #[inline]
    pub fn step(&mut self, steps: usize) -> Result<(), Failure> {
        match self.steps.checked_sub(steps as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(self.no_steps()),
        }
    }

    /// Takes the steps for `bytes` of text or binary that a function touches or makes.
    ///
    /// # Errors
    /// The limit.
    #[inline]
    pub fn touch(&mut self, bytes: usize) -> Result<(), Failure> {
        self.step(1 + bytes / BYTES_PER_STEP)
    }

    /// Takes `bytes` of output.
    ///
    /// # Errors
    /// The limit, when there are not that many left.
    #[inline]
    pub fn output(&mut self, bytes: usize) -> Result<(), Failure> {
        match self.bytes.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => {
                Err(Failure::limit(format!("more than {} bytes of output for one record", self.limits.output_bytes)))
            }
        }
    }

    /// Steps taken so far.
    #[must_use]
    pub fn steps_taken(&self) -> u64 {
        self.limits.steps - self.steps
    }

    #[cold]
    fn no_steps(&mut self) -> Failure {
        self.steps = 0;
        Failure::limit(format!("more than {} steps for one record", self.limits.steps))
    }
}

/// About how many bytes `value` takes as JSON.
#[must_use]
pub fn weigh(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(_) => 5,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weigh(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + weigh(value) + 4).sum::<usize>() + 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::failure::FailureKind;

    #[test]
    fn a_budget_ends_with_a_limit_and_stays_at_its_end() {
        let mut budget = Budget::new(&Limits { steps: 10, output_bytes: 5 });
        assert!(budget.step(10).is_ok());
        assert_eq!(budget.step(1).unwrap_err().kind, FailureKind::Limit);
        assert_eq!(budget.touch(0).unwrap_err().what, "more than 10 steps for one record");
        assert_eq!(budget.steps_taken(), 10);
        assert!(budget.output(5).is_ok());
        assert_eq!(budget.output(1).unwrap_err().what, "more than 5 bytes of output for one record");
    }
}
