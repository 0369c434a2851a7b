//! What operators hear of a lane: lines in the log, and counts.

use crate::lane::signal::News;
use crate::metrics::Metrics;
use crate::model::id::Sid;
use tracing::{info, warn};

/// Tells the news of this subscription's lane.
pub(crate) fn tell(subscription: Sid, news: News, metrics: &Metrics) {
    match news {
        News::Failing => warn!(%subscription, "its endpoint fails: the breaker opened, probes go out"),
        News::Trying => info!(%subscription, "its endpoint answered: it is tried carefully"),
        News::Recovered => info!(%subscription, "its endpoint is well again"),
        News::LedgerFull => warn!(%subscription, "its ledger is full: nothing new is tried until half of it is free"),
        News::LedgersFull => {
            warn!(%subscription, "all ledgers together are full: nothing new of it is tried until half of its own is free");
        }
        News::LedgerFree => info!(%subscription, "its ledger has room again"),
        News::DeadLettersFull => {
            warn!(%subscription, "its dead letters are full (delivery.dead_letter_budget): nothing is tried until a quarter \
                of them is sent again or removed");
        }
        News::DeadLettersFree => info!(%subscription, "its dead letters have room again"),
    }
    metrics.breaker(match news {
        News::Failing => "open",
        News::Trying => "probation",
        News::Recovered => "closed",
        News::LedgerFull | News::LedgersFull | News::LedgerFree | News::DeadLettersFull | News::DeadLettersFree => {
            return;
        }
    });
}
