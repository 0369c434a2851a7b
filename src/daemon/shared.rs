//! What the parts share, and the parts that are made of it.

use crate::catchup::Catchup;
use crate::config::fixed::Fixed;
use crate::config::reads::Reads;
use crate::daemon::reload::{Origin, Reloader};
use crate::deliver::handshake::Introduction;
use crate::egress::client::HttpTransport;
use crate::egress::guard::Guard;
use crate::intake::Intake;
use crate::intake::settings::IntakeSettings;
use crate::kafka::settings::KafkaSettings;
use crate::pipeline::Pipeline;
use crate::progress::partitions::Partitions;
use crate::quarantine::Quarantine;
use crate::registry::desk::Desk;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::Board;
use crate::subscriptions::Directory;
use crate::traces::tracer::Tracer;
use crate::web::reload::{Asked, Reloads};
use crate::web::state::State;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What the parts share.
pub(crate) struct Shared {
    pub(crate) kafka: KafkaSettings,
    pub(crate) pipeline: Arc<ArcSwap<Pipeline>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) tracer: Tracer,
    pub(crate) board: Board,
    pub(crate) introduction: Introduction,
    pub(crate) per_subscription: bool,
    pub(crate) shutdown: Shutdown,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn state(&self, (guard, transport): (Guard, HttpTransport), reloads: Reloads) -> State {
        let hands = self.directory.hands();
        State {
            transport,
            kafka: self.kafka.clone(),
            pipeline: Arc::clone(&self.pipeline),
            directory: Arc::clone(&self.directory),
            store: hands.store.clone(),
            board: self.board.clone(),
            metrics: hands.metrics.clone(),
            per_subscription: self.per_subscription,
            desk: Arc::clone(&self.desk),
            quarantine: Arc::clone(&self.quarantine),
            guard,
            introduction: self.introduction.clone(),
            reloads,
        }
    }

    pub(crate) fn reloader(
        &self,
        origin: Origin,
        asked: mpsc::Receiver<Asked>,
        (fixed, reads): (Fixed, Reads),
    ) -> Reloader {
        Reloader {
            origin,
            asked,
            pipeline: Arc::clone(&self.pipeline),
            directory: Arc::clone(&self.directory),
            board: self.board.clone(),
            kafka: self.kafka.clone(),
            fixed,
            tried: reads.clone(),
            in_force: reads,
        }
    }

    pub(crate) fn catchup(&self, scans: usize) -> Catchup {
        Catchup {
            kafka: self.kafka.clone(),
            pipeline: Arc::clone(&self.pipeline),
            directory: Arc::clone(&self.directory),
            desk: Arc::clone(&self.desk),
            quarantine: Arc::clone(&self.quarantine),
            board: self.board.clone(),
            shutdown: self.shutdown.clone(),
            scans,
        }
    }

    pub(crate) fn intake(&self, settings: IntakeSettings, drain: Duration) -> Intake {
        Intake {
            pipeline: Arc::clone(&self.pipeline),
            directory: Arc::clone(&self.directory),
            desk: Arc::clone(&self.desk),
            quarantine: Arc::clone(&self.quarantine),
            partitions: Arc::clone(&self.partitions),
            board: self.board.clone(),
            shutdown: self.shutdown.clone(),
            settings,
            tracer: self.tracer.clone(),
            drain,
        }
    }
}
