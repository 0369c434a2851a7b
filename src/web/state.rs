//! What requests work with: the rooms they ask, who may ask, what must not be cut off half-way.

use crate::deliver::handshake::Introduction;
use crate::egress::client::HttpTransport;
use crate::egress::guard::Guard;
use crate::kafka::settings::KafkaSettings;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::quarantine::Quarantine;
use crate::registry::desk::Desk;
use crate::runtime::status::Board;
use crate::store::Store;
use crate::subscriptions::Directory;
use crate::web::api::idempotency::Kept;
use crate::web::auth::Tokens;
use crate::web::reload::Reloads;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

/// The rooms that requests ask.
#[derive(Clone)]
pub struct State {
    /// All subscriptions.
    pub directory: Arc<Directory>,
    /// What is durable.
    pub store: Store,
    /// What the loops report.
    pub board: Board,
    /// What was counted.
    pub metrics: Metrics,
    /// Whether subscriptions are shown one by one, too.
    pub per_subscription: bool,
    /// Records that were not understood.
    pub quarantine: Arc<Quarantine>,
    /// Where schemas are asked for.
    pub desk: Arc<Desk>,
    /// Which endpoints may be called.
    pub guard: Guard,
    /// Makes the attempts of tests.
    pub transport: HttpTransport,
    /// How to reach the log, to look offsets up.
    pub kafka: KafkaSettings,
    /// The rules in force; they say which topics are read.
    pub pipeline: Arc<ArcSwap<Pipeline>>,
    /// Who we are towards endpoints.
    pub introduction: Introduction,
    /// Where a reload is asked for.
    pub reloads: Reloads,
}

/// Everything the API works with.
pub(crate) struct Api {
    /// The rooms it asks.
    pub(crate) state: State,
    /// Who may ask.
    pub(crate) tokens: Tokens,
    /// Answers that are given again.
    pub(crate) kept: Kept,
    changes: TaskTracker,
}

// === impl Api ===

impl Api {
    pub(crate) fn new(state: State, tokens: Tokens) -> Arc<Self> {
        Arc::new(Self { state, tokens, kept: Kept::default(), changes: TaskTracker::new() })
    }

    /// Does `change` to its end although the client may hang up: half a change would be in the store and not in
    /// memory.
    ///
    /// # Errors
    /// It panicked.
    pub(crate) async fn unbroken<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.changes.spawn(change).await
    }

    /// Waits for changes that are under way.
    pub(crate) async fn settled(&self) {
        self.changes.close();
        self.changes.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::trial;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_change_comes_to_its_end_although_the_client_hangs_up() {
        let directory = tempfile::tempdir().unwrap();
        let api = Api::new(trial::state(&directory), Tokens::default());
        let (go, wait) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let change = api.unbroken(async move {
            wait.await.unwrap();
            done.send(()).unwrap();
        });
        tokio::select! {
            biased;
            _ = change => panic!("it waits"),
            () = std::future::ready(()) => {} // the client hangs up: what was polled once is dropped
        }
        go.send(()).unwrap();
        api.settled().await;
        is_done.await.unwrap();
    }
}
