//! The schemas that are known by now, by the names that records give them.
//!
//! A schema never changes under its id (SR-5), so it is kept until there are too many: then the one that was not used
//! for longest goes, and is learnt again when it is needed.

use crate::decode::schema::Schema;
use crate::model::schema::{SchemaId, SchemaText};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// How many schemas are kept when nothing else is said: more than most registries hold, a few KiB each.
pub const CACHE: usize = 1_000;

/// What is known.
#[derive(Debug)]
pub struct Schemas {
    known: RwLock<HashMap<SchemaId, Known>>,
    most: usize,
    uses: AtomicU64,
}

#[derive(Debug)]
struct Known {
    schema: Arc<Schema>,
    /// The number of its last use.
    used: AtomicU64,
}

// === impl Schemas ===

impl Schemas {
    /// Knows nothing yet, and will keep so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { known: RwLock::default(), most, uses: AtomicU64::new(0) }
    }

    /// Learns a schema.
    ///
    /// # Errors
    /// It cannot be used; why, a sentence for people.
    pub fn learn(&self, id: SchemaId, text: &SchemaText) -> Result<(), String> {
        let schema = Arc::new(Schema::compile(text)?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        while known.len() >= self.most
            && let Some(oldest) =
                known.iter().min_by_key(|(_, one)| one.used.load(Ordering::Relaxed)).map(|(id, _)| *id)
        {
            known.remove(&oldest);
        }
        known.insert(id, Known { schema, used: AtomicU64::new(self.next_use()) });
        Ok(())
    }

    /// The schema of this id, when it is known.
    pub(crate) fn get(&self, id: &SchemaId) -> Option<Arc<Schema>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let one = known.get(id)?;
        one.used.store(self.next_use(), Ordering::Relaxed);
        Some(Arc::clone(&one.schema))
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }
}

impl Default for Schemas {
    fn default() -> Self {
        Self::new(CACHE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::Language;

    #[test]
    fn sr_5_a_schema_is_kept_until_there_are_too_many_and_then_the_least_used_goes() {
        let schemas = Schemas::new(2);
        let text = SchemaText { language: Language::Avro, text: "\"int\"".into(), references: Vec::new() };
        let id = SchemaId::Number;
        schemas.learn(id(1), &text).unwrap();
        schemas.learn(id(2), &text).unwrap();
        assert!(schemas.get(&id(1)).is_some());
        schemas.learn(id(3), &text).unwrap();
        assert!(schemas.get(&id(1)).is_some() && schemas.get(&id(3)).is_some());
        assert!(schemas.get(&id(2)).is_none());
    }

    #[test]
    fn what_cannot_be_compiled_is_not_learnt() {
        let (schemas, id) = (Schemas::default(), SchemaId::Number(1));
        for language in Language::ALL {
            let text = SchemaText { language, text: "{\"type\": 5".into(), references: Vec::new() };
            assert!(!schemas.learn(id, &text).unwrap_err().is_empty());
        }
        assert!(schemas.get(&id).is_none());
    }
}
