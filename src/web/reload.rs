//! A reload, as requests ask the daemon for it: a message there, an answer back.

use crate::model::problem::{Place, Problems};
use tokio::sync::{mpsc, oneshot};

/// Where a reload is asked for; clones share it.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<Asked>);

/// Somebody waits for this answer.
pub type Asked = oneshot::Sender<Result<Reloaded, Refused>>;

/// A configuration that is in force now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Its generation.
    pub generation: u64,
    /// Declared subscriptions that are new, by id.
    pub added: Vec<String>,
    /// Those that say something else.
    pub changed: Vec<String>,
    /// Those that are declared no more, and were deleted with all that they were owed.
    pub removed: Vec<String>,
    /// Mappings that are not what they were for who waits behind a cursor.
    pub affected: Vec<Affected>,
}

/// A mapping that vanished, changed its name or makes events of another type, while subscriptions wait behind cursors on
/// its topics: what they are owed is what the new rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// The mapping's name before.
    pub mapping: String,
    /// The type its events have now; `None`: there is no mapping of that name any more.
    pub event_type: Option<String>,
    /// Who waits, by id.
    pub subscriptions: Vec<String>,
}

/// Why the configuration before stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The files are wrong, all of it.
    Invalid(Problems),
    /// Kafka did not answer where a new subscription begins.
    Kafka(String),
    /// The store takes no writes now.
    Store(String),
}

// === impl Reloads ===

impl Reloads {
    /// A way to ask, and where the questions arrive: one waits, whoever asks meanwhile waits to be heard.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(1);
        (Self(asks), asked)
    }

    /// Asks, and waits for what came of it; `None` when nobody reloads any more: the process stops.
    pub(crate) async fn ask(&self) -> Option<Result<Reloaded, Refused>> {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        answered.await.ok()
    }
}

// === impl Refused ===

impl Refused {
    /// What is wrong, as a list.
    #[must_use]
    pub fn problems(&self) -> Problems {
        match self {
            Self::Invalid(problems) => problems.clone(),
            Self::Kafka(why) | Self::Store(why) => {
                let mut problems = Problems::default();
                problems.add(&Place::whole("reload"), "", why.clone(), "It is tried again");
                problems
            }
        }
    }
}
