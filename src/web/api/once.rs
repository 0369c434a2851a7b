//! The frame of a change: it comes to its end although the client hangs up, and for one `Idempotency-Key` it is made
//! once.

use crate::web::api::idempotency::{Answer, Known};
use crate::web::api::problem::{Kind, Problem};
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::http::HeaderMap;
use axum::response::Response;

/// Who asks for what, as far as it tells whether it is the same request again.
pub(crate) struct Request<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) headers: &'a HeaderMap,
    /// Its path and body.
    pub(crate) digest: [u8; 32],
}

/// Makes a change to its end.
///
/// # Errors
/// The change's own, or 500: it broke down.
pub(crate) async fn whole<T: Send + 'static>(
    api: &Api,
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    api.unbroken(change).await.unwrap_or_else(|_| Err(Problem::of(Kind::Internal, "the change broke down")))
}

/// Makes a change to its end, unless the same request was answered before: then that is the answer.
///
/// # Errors
/// As [`whole`]; or the key cannot be used.
pub(crate) async fn once(
    api: &Api,
    request: Request<'_>,
    change: impl Future<Output = Result<Answer, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let claim = match api.kept.look(request.headers, request.caller, request.digest)? {
        Known::Yes(response) => return Ok(response),
        Known::No(claim) => claim,
    };
    let kept = async move {
        let answer = change.await?;
        claim.keep(&answer);
        Ok(answer.first())
    };
    whole(api, kept).await
}
