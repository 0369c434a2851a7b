//! Why the daemon cannot start, or cannot go on.

/// The daemon could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store cannot be opened, or failed.
    #[error("the store: {0}")]
    Store(#[from] crate::store::error::StoreError),
    /// The subscriptions cannot be made ready.
    #[error("the subscriptions: {0}")]
    Subscriptions(#[from] crate::subscriptions::error::DirectoryError),
    /// The HTTP client cannot be made.
    #[error("egress: {0}")]
    Egress(#[from] crate::egress::error::EgressError),
    /// A listener cannot listen.
    #[error("{0}")]
    Web(#[from] crate::web::WebError),
    /// The consumer group cannot be joined.
    #[error("{0}")]
    Intake(#[from] crate::intake::IntakeError),
    /// The group's commits cannot be adopted.
    #[error("the group's offsets: {0}")]
    Adopt(#[from] crate::kafka::adopt::AdoptError),
    /// The declared subscriptions cannot be followed.
    #[error("{0}")]
    Declared(crate::model::problem::Problems),
    /// A part of the process broke down.
    #[error("a part of the process broke down: {0}")]
    Broken(String),
}
