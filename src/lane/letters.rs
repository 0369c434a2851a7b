//! How much the dead letters of one subscription take, and whether there is room for more.
//!
//! They are in the store; here is only their weight. What retention took is not among them: that is how a loss is
//! told, it is tiny, and it always fits. Pure.

use crate::lane::ledger::Judged;
use crate::model::weight::Weight;

/// The dead letters of one subscription.
#[derive(Debug)]
pub(crate) struct Letters {
    held: Weight,
    budget: Weight,
    full: bool,
}

// === impl Letters ===

impl Letters {
    pub(crate) fn new(budget: Weight) -> Self {
        Self { held: Weight::default(), budget, full: false }
    }

    pub(crate) fn configure(&mut self, budget: Weight) {
        self.budget = budget;
    }

    pub(crate) fn add(&mut self, more: Weight) {
        self.held += more;
    }

    pub(crate) fn take(&mut self, less: Weight) {
        self.held -= less;
    }

    pub(crate) fn held(&self) -> Weight {
        self.held
    }

    /// Judges again whether they are over their budget; then they are full until a quarter of it is free, so that the
    /// gate does not flutter.
    pub(crate) fn judge(&mut self) -> Judged {
        let bound = |budget: u64| if self.full { budget - budget / 4 } else { budget };
        let over = self.held.bytes > bound(self.budget.bytes) || self.held.rows > bound(self.budget.rows);
        match (std::mem::replace(&mut self.full, over), over) {
            (false, true) => Judged::Full,
            (true, false) => Judged::Free,
            _ => Judged::Same,
        }
    }
}
