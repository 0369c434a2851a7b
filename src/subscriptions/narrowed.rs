//! Replays that mean some types only. A lane knows streams, and nothing of types: who reads for a replay leaves out
//! what it does not mean.

use crate::matching::pattern::Pattern;
use crate::model::event::Emitted;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::error;

/// The types that replays of one subscription mean, by stream.
#[derive(Default)]
pub struct Narrowed(Mutex<HashMap<u128, Arc<[Pattern]>>>);

// === impl Narrowed ===

impl Narrowed {
    /// A replay means these types only; none: all. A pattern that this version cannot read matches nothing, and says so.
    pub(crate) fn add(&self, stream: u128, types: &[String]) {
        let read = |text: &String| Pattern::parse(text).inspect_err(|error| error!(pattern = text, %error, "replay"));
        let patterns: Arc<[Pattern]> = types.iter().filter_map(|text| read(text).ok()).collect();
        if !types.is_empty() {
            self.lock().insert(stream, patterns);
        }
    }

    /// A replay is over.
    pub(crate) fn remove(&self, stream: u128) {
        self.lock().remove(&stream);
    }

    /// What of these events the stream means.
    #[must_use]
    pub fn meant(&self, stream: u128, events: &[Arc<Emitted>]) -> Vec<Arc<Emitted>> {
        let patterns = if stream == 0 { None } else { self.lock().get(&stream).map(Arc::clone) };
        let Some(patterns) = patterns else { return events.to_vec() };
        let is_meant = |event: &&Arc<Emitted>| patterns.iter().any(|one| one.matches(&event.event.event_type));
        events.iter().filter(is_meant).map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Arc<[Pattern]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
