//! What the store needs of a database: ordered bytes in three trees, atomic batches, a durable flush.
//!
//! The seam behind which sled stands. A batch is atomic within its tree only; nothing is durable before the flush.

use crate::store::error::StoreError;
use std::ops::ControlFlow;

/// The trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// Who the store is, topic numbers.
    Meta,
    /// Subscriptions and their secrets.
    Config,
    /// All delivery state: one tree, because only there a batch is atomic.
    State,
}

// === impl Tree ===

impl Tree {
    /// All of them, in the order in which an archive has them.
    pub(crate) const ALL: [Self; 3] = [Self::Meta, Self::Config, Self::State];

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Config => "config",
            Self::State => "state",
        }
    }
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The row is this from now on.
    Put(Vec<u8>, Vec<u8>),
    /// The row goes.
    Delete(Vec<u8>),
}

/// What [`Engine::scan`] calls with each row.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A database. Calls block and are made off the async threads.
pub trait Engine: Send + Sync + 'static {
    /// The value of a row.
    ///
    /// # Errors
    /// The database cannot read.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows rows whose keys begin with `prefix` and are after `after`, in the order of their keys.
    ///
    /// # Errors
    /// The database cannot read.
    fn scan(&self, tree: Tree, prefix: &[u8], after: &[u8], each: &mut Each<'_>) -> Result<(), StoreError>;

    /// Applies all changes or none. Visible at once, durable after the next flush.
    ///
    /// # Errors
    /// The database cannot write.
    fn apply(&self, tree: Tree, changes: &[Op]) -> Result<(), StoreError>;

    /// Makes durable what was applied.
    ///
    /// # Errors
    /// The disk did not take it.
    fn flush(&self) -> Result<(), StoreError>;

    /// Bytes of its files; 0 when they cannot be asked.
    fn size(&self) -> u64;
}

/// Shows rows as [`Engine::scan`] does to one who may fail.
pub(crate) fn each_row(
    engine: &(impl Engine + ?Sized),
    (tree, prefix): (Tree, &[u8]),
    after: &[u8],
    mut row: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut result = Ok(());
    engine.scan(tree, prefix, after, &mut |key, value| match row(key, value) {
        Ok(flow) => flow,
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    result
}
