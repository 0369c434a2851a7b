//! Why a subscription could not be made, changed or removed.

use crate::deliver::error::TargetError;
use crate::store::error::StoreError;

/// Why the directory did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store did not take it, or cannot be read.
    #[error("the store did not take it")]
    Store(#[from] StoreError),
    /// A write would wait for room, and everybody else with it.
    #[error("the disk is full: free space is below store.min_free")]
    Full,
    /// The subscription cannot be made ready: the stored row is not one that the reader lets through.
    #[error("the subscription cannot be delivered to")]
    Target(#[from] TargetError),
    /// There is no subscription of that id.
    #[error("there is no such subscription")]
    NotFound,
    /// It was changed by somebody else meanwhile.
    #[error("the subscription has version {found}, not {expected}")]
    Conflict {
        /// The version that the change was made for.
        expected: u64,
        /// The version it has.
        found: u64,
    },
}
