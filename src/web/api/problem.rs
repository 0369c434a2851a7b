//! What was wrong with a request, as `application/problem+json` (RFC 9457). `docs/errors.md` lists the kinds; a test
//! compares.

use crate::model;
use crate::model::problem::Problems;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A refusal, or a failure of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The body is no JSON.
    MalformedJson,
    /// A query parameter, a header or the path cannot be read.
    BadRequest,
    /// There is no token, or it is not known.
    Unauthorized,
    /// The token does not allow it.
    Forbidden,
    /// There is nothing here, or it belongs to somebody else.
    NotFound,
    /// The resource has no such method.
    MethodNotAllowed,
    /// It changed meanwhile, or a request with the same key is under way.
    Conflict,
    /// It stands in a file and can be changed only there.
    ReadOnly,
    /// The endpoint has not said that it wants events.
    Unverified,
    /// `If-Match` names another version.
    PreconditionFailed,
    /// The body is too large.
    BodyTooLarge,
    /// The body is declared as something else than JSON.
    UnsupportedMediaType,
    /// Fields are wrong; `errors` says which.
    Invalid,
    /// The same idempotency key came with another request.
    KeyReused,
    /// We broke down.
    Internal,
    /// The store takes no writes now.
    StoreUnavailable,
    /// Kafka did not answer.
    KafkaUnavailable,
    /// It took too long.
    Timeout,
}

// === impl Problem ===

impl Problem {
    pub(crate) fn of(kind: Kind, detail: impl Into<String>) -> Self {
        let (errors, mut headers) = (Vec::new(), Vec::new());
        if kind == Kind::Unauthorized {
            headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hookline\"")));
        }
        Self { kind, detail: detail.into(), errors, headers }
    }

    /// No such thing, or another tenant's.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::of(Kind::NotFound, format!("there is no such {what}"))
    }

    /// One field is wrong.
    pub(crate) fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::of(Kind::Invalid, "1 field is wrong");
        problem.errors.push((pointer.into(), detail.into()));
        problem
    }

    /// Fields of `document` are wrong.
    pub(crate) fn invalid(problems: &Problems, document: &Value) -> Self {
        let count = problems.0.len();
        let mut problem =
            Self::of(Kind::Invalid, format!("{count} field{}", if count == 1 { " is wrong" } else { "s are wrong" }));
        for one in &problems.0 {
            let stop = if one.hint.is_empty() { "" } else { ". " };
            problem.errors.push((pointer(&one.path, document), format!("{}{stop}{}", one.what, one.hint)));
        }
        problem
    }

    /// The configuration is wrong; each mistake is told with its file, line and column.
    pub(crate) fn config(problems: &Problems) -> Self {
        let count = problems.0.len();
        let (mistakes, verb) = if count == 1 { ("mistake", "is") } else { ("mistakes", "are") };
        let what = format!("there {verb} {count} {mistakes}: the configuration that is in force stays");
        let mut problem = Self::of(Kind::Invalid, what);
        let error = |one: &model::problem::Problem| (pointer(&one.path, &Value::Null), one.to_string());
        problem.errors = problems.0.iter().map(error).collect();
        problem
    }

    /// The answer carries this header, too.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut body = json!({
            "type": self.kind.slug(), "title": self.kind.title(), "status": status.as_u16(), "detail": self.detail,
        });
        if !self.errors.is_empty() {
            let error = |(pointer, detail)| json!({ "pointer": pointer, "detail": detail });
            body["errors"] = self.errors.into_iter().map(error).collect();
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        response.headers_mut().extend(self.headers.into_iter().collect::<HeaderMap>());
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

// === impl Kind ===

impl Kind {
    /// Every kind, for tables.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 18] = [
        Self::MalformedJson,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::ReadOnly,
        Self::Unverified,
        Self::PreconditionFailed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::KeyReused,
        Self::Internal,
        Self::StoreUnavailable,
        Self::KafkaUnavailable,
        Self::Timeout,
    ];

    pub(crate) fn slug(self) -> &'static str {
        self.words().0
    }

    pub(crate) fn title(self) -> &'static str {
        self.words().2
    }

    pub(crate) fn status(self) -> StatusCode {
        self.words().1
    }

    fn words(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedJson => ("malformed-json", StatusCode::BAD_REQUEST, "The body is not JSON"),
            Self::BadRequest => ("bad-request", StatusCode::BAD_REQUEST, "The request cannot be understood"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A valid token is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "This is outside of what the token allows"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The method is not available here")
            }
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Another request is in the way"),
            Self::ReadOnly => ("read-only", StatusCode::CONFLICT, "It is declared in a file"),
            Self::Unverified => ("unverified", StatusCode::CONFLICT, "Its endpoint has not said that it wants events"),
            Self::PreconditionFailed => {
                ("precondition-failed", StatusCode::PRECONDITION_FAILED, "It has another version")
            }
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
            }
            Self::Invalid => ("invalid", StatusCode::UNPROCESSABLE_ENTITY, "Fields are wrong"),
            Self::KeyReused => {
                ("idempotency-key-reused", StatusCode::UNPROCESSABLE_ENTITY, "The key belongs to another request")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something broke down here"),
            Self::StoreUnavailable => {
                ("store-unavailable", StatusCode::SERVICE_UNAVAILABLE, "Nothing can be stored now")
            }
            Self::KafkaUnavailable => ("kafka-unavailable", StatusCode::SERVICE_UNAVAILABLE, "Kafka does not answer"),
            Self::Timeout => ("timeout", StatusCode::SERVICE_UNAVAILABLE, "It took too long"),
        }
    }
}

/// The JSON pointer (RFC 6901) of a path as the readers write it (`a.b[0].c`). Keys may hold full stops: where the
/// document has such a key, it is meant.
fn pointer(path: &str, document: &Value) -> String {
    let (mut rest, mut here, mut pointer) = (path, Some(document), String::new());
    while !rest.is_empty() {
        if let Some((index, more)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            pointer = format!("{pointer}/{index}");
            here = here.and_then(|value| value.get(index.parse::<usize>().ok()?));
            rest = more;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let key = key_of(rest, here);
            pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            here = here.and_then(|value| value.get(key));
            rest = &rest[key.len()..];
            if rest.is_empty() || !rest.starts_with(['.', '[']) {
                break;
            }
        }
    }
    pointer
}

/// The key that `path` begins with: the longest of the document's, else up to the next full stop or bracket.
fn key_of<'p>(path: &'p str, here: Option<&Value>) -> &'p str {
    let ends =
        |key: &&String| path.strip_prefix(key.as_str()).is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']));
    let known = here.and_then(Value::as_object).and_then(|map| map.keys().filter(ends).map(String::len).max());
    &path[..known
        .filter(|len| *len > 0)
        .unwrap_or_else(|| path.find(['.', '[']).unwrap_or(path.len()).max(1).min(path.len()))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::problem::Place;

    #[test]
    fn every_kind_is_documented_with_its_status_and_title() {
        let page = include_str!("../../../docs/errors.md");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let kinds =
            Kind::ALL.map(|kind| format!("| `{}` | {} | {} |", kind.slug(), kind.status().as_u16(), kind.title()));
        assert_eq!(rows.len(), kinds.len());
        for (row, kind) in rows.iter().zip(&kinds) {
            assert!(row.starts_with(kind.as_str()), "{row} is not {kind}");
        }
    }

    #[test]
    fn a_path_becomes_a_pointer_into_the_document() {
        let document = json!({
            "types": ["a", 5], "metadata": { "a.b/c": 1, "x~y": 2, "": 3 }, "retry": { "schedule": [[1]] }, "a": { "b": 1 },
        });
        let cases = [
            ("", ""),
            ("types", "/types"),
            ("types[1]", "/types/1"),
            ("retry.schedule[0][0]", "/retry/schedule/0/0"),
            ("metadata.a.b/c", "/metadata/a.b~1c"),
            ("metadata.x~y", "/metadata/x~0y"),
            ("a.b", "/a/b"),
            ("a.missing.deep[3].x", "/a/missing/deep/3/x"),
            ("tiemout", "/tiemout"),
        ];
        for (path, expected) in cases {
            assert_eq!(pointer(path, &document), expected, "{path}");
        }
    }

    #[test]
    fn whatever_a_key_is_called_the_pointer_ends() {
        for path in ["..", "[", "]", "a..b", "a[", "a[x]y", "ä.ö[", ".[", "metadata."] {
            pointer(path, &json!({ "metadata": { "": 1 }, "a": [1] }));
        }
    }

    #[test]
    fn all_mistakes_are_told_each_with_its_hint() {
        let (mut problems, place) = (Problems::default(), Place::whole("request"));
        problems.add(&place, "types[0]", "is no pattern", "Write com.acme.*");
        problems.add(&place, "url", "is missing", "");
        let problem = Problem::invalid(&problems, &json!({ "types": [""] }));
        let expected = [("/types/0", "is no pattern. Write com.acme.*"), ("/url", "is missing")];
        assert_eq!(problem.errors, expected.map(|(pointer, detail)| (pointer.to_owned(), detail.to_owned())));
        assert_eq!(problem.detail, "2 fields are wrong");
    }
}
