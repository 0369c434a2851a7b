//! One subscription: offers and outcomes in, attempts and durable changes out; places live, behind and joining.
//!
//! Pure and synchronous: `now` and dice come with each call ([`signal::Turn`]), what the lane wants done goes out as
//! [`signal::Effect`]s. It knows no HTTP, no store, no progress. How loops use it, under the lane's lock:
//! - effects are followed in their order, at once; `Write` batches reach the store in that order, one atomic batch
//!   each. Durable: `flushed`, then its `settles`. Each `Park` that is encoded: `weigh`, at once.
//! - intake: `open` for lanes with rows on a partition that comes; `offer` each group, then move the position; `join`
//!   between two records, while `wants_to_join`; `committed` on an acknowledged commit. A partition that goes:
//!   `stop`, wait for `in_flight`, `close`, all durable, commit, `forget`. A lost one: `forget` alone.
//! - dispatch: `start` until `None`, then `finished` (`buried`, `unreadable`); `tick` at `wake_at`; obeys `Cut`.
//! - catch-up: on `Read` asks `riders`; `scan_offer` and `passed` as it reads, on `Ride::Off` and `Live` lets the
//!   rider go; `stranded` when reading fails, `overtaken` when the log begins later.
//! - `subscriptions`: a status is durable first, then `pause`, `resume`, `disable`, `configure`, `delete`.

pub mod backoff;
mod breaker;
mod cursor;
mod domains;
mod flights;
pub mod gate;
mod join;
mod ledger;
mod offer;
mod operate;
mod outcome;
mod park;
pub mod partition;
mod patience;
mod place;
mod places;
mod queue;
mod rate;
pub mod settings;
pub mod signal;
mod slots;
mod start;
pub mod state;
pub mod verdict;
mod window;
