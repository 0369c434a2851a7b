//! The secrets that `hmac` may use, by name. Found when an expression is compiled; no expression can read one.

use crate::expr::mistake::did_you_mean;
use crate::model::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Secrets by name.
#[derive(Clone, Debug, PartialEq)]
pub enum Secrets {
    /// These and no others.
    Known(Arc<BTreeMap<String, Secret>>),
    /// Nobody has read them: each name is taken for one, and what uses it fails when it runs.
    Unread,
}

// === impl Secrets ===

impl Default for Secrets {
    /// None.
    fn default() -> Self {
        Self::Known(Arc::default())
    }
}

impl Secrets {
    /// The one called `name`; none when it was not read.
    ///
    /// # Errors
    /// What to tell someone who wrote the name of one that is not there.
    pub fn find(&self, name: &str) -> Result<Option<Secret>, String> {
        let Self::Known(secrets) = self else { return Ok(None) };
        let unknown = || match secrets.is_empty() {
            true => "there are none here: name it under `secrets` of the configuration".to_owned(),
            false => did_you_mean(name, secrets.keys().map(String::as_str))
                .unwrap_or_else(|| "name it under `secrets` of the configuration".to_owned()),
        };
        secrets.get(name).cloned().map(Some).ok_or_else(unknown)
    }
}
