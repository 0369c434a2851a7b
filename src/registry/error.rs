//! Why a registry could not say whether it has a schema. No secret is in it: addresses have no userinfo.

use crate::egress::exchange::ExchangeError;

/// The registry did not say it. To be asked again; the record is not to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No answer came.
    #[error("{url} does not answer ({failure})")]
    Away {
        /// The registry's address.
        url: String,
        /// Why not.
        failure: ExchangeError,
    },
    /// It does not know us, or does not let us read.
    #[error("{url} answers {status}: are schema_registry.username, password or token right?")]
    Forbidden {
        /// The registry's address.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// It answers something else than the schema, or that there is none.
    #[error("{url} answers {status}, {what}")]
    Unexpected {
        /// The registry's address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        what: String,
    },
}
