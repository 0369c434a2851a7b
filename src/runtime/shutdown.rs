//! One stop for the whole process: who must stop waits for it, who spawned a task awaits it.

use tokio_util::sync::CancellationToken;

/// The stop signal; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

// === impl Shutdown ===

impl Shutdown {
    /// Tells everybody to stop; more calls change nothing.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether the stop was given.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the stop. Cancel-safe.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// A stop that comes with this one, and can be given alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}
