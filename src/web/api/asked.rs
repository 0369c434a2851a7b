//! What a request holds, read with a problem for each thing that is wrong: the JSON body, the id in the path.

use crate::web::api::problem::{Kind, Problem};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The body of a request, at most: a subscription has some KiB.
pub(crate) const BODY: usize = 1 << 20;

/// A JSON body.
pub(crate) struct Document {
    /// What it says.
    pub(crate) value: Value,
    /// Its bytes as a digest, to know the same request again.
    pub(crate) digest: [u8; 32],
}

/// The last part of the path.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        is_json(request.headers())?;
        let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if declared.and_then(|length| length.parse().ok()).is_some_and(|length: u64| length > BODY as u64) {
            return Err(too_large());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Problem::of(Kind::BadRequest, "the body could not be read to its end"),
        })?;
        let value =
            serde_json::from_slice(&bytes).map_err(|error| Problem::of(Kind::MalformedJson, error.to_string()))?;
        Ok(Self { value, digest: Sha256::digest(&bytes).into() })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|_| Problem::of(Kind::BadRequest, "the path is not UTF-8"))
    }
}

/// A browser sends these only where the server agreed beforehand, and this one never does: a page of another site
/// cannot ask for changes.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if ["application/json", "application/merge-patch+json"].contains(&kind.as_str()) {
        return Ok(());
    }
    Err(Problem::of(Kind::UnsupportedMediaType, "send content-type: application/json"))
}

fn too_large() -> Problem {
    Problem::of(Kind::BodyTooLarge, format!("a body has at most {BODY} bytes"))
}
