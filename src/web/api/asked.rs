//! What a request holds, read with a problem for each thing that is wrong: the JSON body, the id in the path.

use crate::model::problem::Problems;
use crate::web::api::problem::{Kind, Problem};
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Node;
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
    /// Path and bytes as a digest, to know the same request again.
    pub(crate) digest: [u8; 32],
}

/// Reads an object; whatever is wrong with it is told at once, and what `read` did not ask for is not known.
pub(crate) fn object<T>(
    document: &Value,
    read: impl FnOnce(&mut Fields<'_>, &mut Problems) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let (node, mut problems) = (Node::from_json(&"request".into(), document), Problems::default());
    let read = Fields::of(&Field::new(&node, ""), &mut problems).and_then(|mut fields| {
        let read = read(&mut fields, &mut problems);
        fields.finish(&mut problems);
        read
    });
    problems.or(read).map_err(|problems| Problem::invalid(&problems, document))
}

/// The last part of the path.
pub(crate) struct Id(pub(crate) String);

/// A change that says nothing but its path, whose digest this is: its body, if there is one, is not read.
pub(crate) struct Plain(pub(crate) [u8; 32]);

/// A JSON body that may be left out.
pub(crate) struct Optional(pub(crate) Option<Value>);

impl<S: Send + Sync> FromRequestParts<S> for Plain {
    type Rejection = Problem;

    /// A page of another site can ask for this without a declared JSON body, but then the browser says where it comes
    /// from.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let headers = &parts.headers;
        if headers.contains_key(header::CONTENT_TYPE) || headers.contains_key(header::ORIGIN) {
            is_json(headers)?;
        }
        Ok(Self(digest(parts.uri.path(), &[])))
    }
}

impl<S: Send + Sync> FromRequest<S> for Optional {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        Plain::from_request_parts(&mut parts, state).await?;
        let bytes = read(Request::from_parts(parts, body), state).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        parse(&bytes).map(|value| Self(Some(value)))
    }
}

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        is_json(request.headers())?;
        let path = request.uri().path().to_owned();
        let bytes = read(request, state).await?;
        Ok(Self { value: parse(&bytes)?, digest: digest(&path, &bytes) })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|_| Problem::of(Kind::BadRequest, "the path is not UTF-8"))
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if declared.and_then(|length| length.parse().ok()).is_some_and(|length: u64| length > BODY as u64) {
        return Err(too_large());
    }
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Problem::of(Kind::BadRequest, "the body could not be read to its end"),
    })
}

fn parse(bytes: &Bytes) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::of(Kind::MalformedJson, error.to_string()))
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

fn digest(path: &str, body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(path).chain_update([0]).chain_update(body).finalize().into()
}

fn too_large() -> Problem {
    Problem::of(Kind::BodyTooLarge, format!("a body has at most {BODY} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::trial::{Answer, Trial, order};
    use serde_json::json;

    #[tokio::test]
    async fn what_is_no_json_is_refused_with_its_place() {
        let trial = Trial::open().await;
        let post = |body: &str| {
            let ask = trial.ask("POST /v1/subscriptions").header("content-type", "application/json");
            ask.body(body.as_bytes()).send()
        };
        let problem = post("{\n  \"url\": }").await.problem(400, "malformed-json");
        assert!(problem["detail"].as_str().unwrap().contains("line 2 column 10"), "{problem}");
        for body in ["", "{", "{} {}", "\u{feff}{}", "{'a': 1}"] {
            post(body).await.problem(400, "malformed-json");
        }
    }

    #[tokio::test]
    async fn json_that_is_nested_too_deeply_is_refused() {
        let trial = Trial::open().await;
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let ask = trial.ask("POST /v1/subscriptions").header("content-type", "application/json").body(deep);
        ask.send().await.problem(400, "malformed-json");
    }

    #[tokio::test]
    async fn a_body_must_be_declared_as_json() {
        let trial = Trial::open().await;
        let body = order(json!({})).to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""]
        {
            let ask = trial.ask("POST /v1/subscriptions").header("content-type", kind).body(body.clone());
            ask.send().await.problem(415, "unsupported-media-type");
        }
        trial.ask("POST /v1/subscriptions").body(body.clone()).send().await.problem(415, "unsupported-media-type");
        for kind in ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"] {
            let ask = trial.ask("POST /v1/subscriptions").header("content-type", kind).body(body.clone());
            assert_eq!(ask.send().await.status, 201, "{kind}");
        }
    }

    #[tokio::test]
    async fn a_body_above_1_mib_is_refused_whether_its_length_is_declared_or_not() {
        let trial = Trial::open().await;
        let head = |more: &str| {
            format!(
                "POST /v1/subscriptions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                 content-type: application/json\r\n{more}\r\n\r\n"
            )
        };
        let declared = head(&format!("content-length: {}", BODY + 1));
        Answer::to(trial.api, declared.as_bytes()).await.problem(413, "body-too-large");
        let size = format!("{:x}", BODY + 1);
        let chunk = format!("{}{size}\r\n{}", head("transfer-encoding: chunked"), " ".repeat(BODY + 1));
        Answer::to(trial.api, chunk.as_bytes()).await.problem(413, "body-too-large");
        let mut most = order(json!({})).to_string();
        most.push_str(&" ".repeat(BODY - most.len()));
        let ask = trial.ask("POST /v1/subscriptions").header("content-type", "application/json").body(most);
        assert_eq!(ask.send().await.status, 201);
    }

    #[tokio::test]
    async fn a_path_that_is_no_text_is_refused() {
        let trial = Trial::open().await;
        trial.ask("GET /v1/subscriptions/%ff").send().await.problem(400, "bad-request");
        trial.ask("GET /v1/subscriptions/%2e%2e%2f").send().await.problem(404, "not-found");
    }
}
