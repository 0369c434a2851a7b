//! One attempt: target and event in, outcome out.
//!
//! A [`Target`] is a subscription's sending side, made once. An attempt renders the body in its format (once for all
//! who share the event), signs it, sends it, and says what came of it. It knows no retry, no queue and no store, and
//! takes the time as a parameter.

pub mod auth;
pub mod error;
pub mod format;
pub mod headers;
pub mod request;
pub mod response;
pub mod sign;
pub mod target;
pub mod trace;

use crate::deliver::target::Target;
use crate::egress::exchange::Transport;
use crate::model::event::Emitted;
use crate::model::outcome::{FailureCause, Outcome};
use crate::model::time::Timestamp;

/// Makes one attempt to deliver `event` to `target`; `now` becomes its `webhook-timestamp`, so take it at the call (SW-3).
///
/// Every failure is an outcome. Takes no longer than the target's timeout; dropping the future cuts the attempt off.
pub async fn attempt(transport: &impl Transport, target: &Target, event: &Emitted, now: Timestamp) -> Outcome {
    let request = match request::build(target, event, now) {
        Ok(request) => request,
        Err(error) => return Outcome::Failed { cause: FailureCause::TooLarge, detail: error.to_string() },
    };
    match transport.exchange(request).await {
        // `now` is when the attempt began: read against it, a date can only ask for a longer wait, never a shorter one.
        Ok(answer) => Outcome::Answered(response::read(answer, now)),
        Err(error) => Outcome::Failed { cause: error.cause, detail: error.detail },
    }
}
