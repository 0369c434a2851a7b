//! Reads of the store, off the async threads.

use crate::store::Store;
use crate::store::error::StoreError;
use crate::web::api::problem::{Kind, Problem};
use crate::web::state::Api;
use tracing::error;

/// What `read` finds in the store.
///
/// # Errors
/// 503: the store cannot be read. The reason goes to the log, not to the client.
pub(crate) async fn read<T: Send + 'static>(
    api: &Api,
    read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = api.state.store.clone();
    match tokio::task::spawn_blocking(move || read(&store)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            error!(%error, "the store cannot be read");
            Err(Problem::of(Kind::StoreUnavailable, "the store cannot be read; the log says why"))
        }
        Err(error) => {
            error!(%error, "reading the store broke down");
            Err(Problem::of(Kind::Internal, "reading the store broke down"))
        }
    }
}
