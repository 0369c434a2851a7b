//! Where the schema registry is (`schema_registry:`).

use crate::model::secret::Secret;
use std::path::PathBuf;
use url::Url;

/// Where the registry is, and who we are to it.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistrySettings {
    /// Its addresses, at least one; the next is asked when one does not answer. No userinfo.
    pub urls: Vec<Url>,
    /// Who we are.
    pub credentials: Option<Credentials>,
    /// PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How many schemas are kept, at least 16.
    pub cache: usize,
}

/// Who we are to a registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Credentials {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user, or the id of an API key.
        username: String,
        /// The password, or the secret of an API key.
        password: Secret,
    },
    /// A bearer token (RFC 6750).
    Bearer(Secret),
}
