//! `Idempotency-Key`: the same request sent again gets the same answer and does nothing more.
//!
//! Answers are kept for 24 h, in memory: at most 1,000 and at most 8 MiB, the oldest go first, none survives the
//! process. Only what succeeded is kept; what was refused may be tried again with the same key.

use crate::web::api::problem::{Kind, Problem};
use crate::web::auth::Caller;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long an answer is kept.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers at most.
const MOST: usize = 1_000;
/// Bytes of them at most.
const BYTES: usize = 8 << 20;

/// The answers that are kept; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    by_key: HashMap<Key, Entry>,
    order: VecDeque<(Key, Instant)>,
    bytes: usize,
}

/// Whose key.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    token: Option<usize>,
    text: String,
}

struct Entry {
    request: [u8; 32],
    answer: Option<Answer>,
}

/// An answer as it was given.
#[derive(Clone)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// What a key leads to.
pub(crate) enum Known {
    /// The request is new; its answer belongs in the claim.
    No(Claim),
    /// It was answered before.
    Yes(Response),
}

/// A request that is being answered; given back when it is dropped.
pub(crate) struct Claim {
    kept: Kept,
    key: Option<Key>,
}

// === impl Kept ===

impl Kept {
    /// Looks for the answer to this request of this caller.
    ///
    /// # Errors
    /// The key is none, belongs to another request, or to one that is under way.
    pub(crate) fn look(&self, headers: &HeaderMap, caller: &Caller, request: [u8; 32]) -> Result<Known, Problem> {
        let Some(text) = read(headers)? else { return Ok(Known::No(Claim { kept: self.clone(), key: None })) };
        let key = Key { token: caller.token, text };
        let mut answers = self.lock();
        answers.forget(Instant::now());
        match answers.by_key.get(&key) {
            None => {}
            Some(entry) if entry.request != request => {
                return Err(Problem::of(Kind::KeyReused, "the Idempotency-Key came with another body before"));
            }
            Some(Entry { answer: None, .. }) => {
                return Err(Problem::of(Kind::Conflict, "a request with this Idempotency-Key is under way"));
            }
            Some(Entry { answer: Some(answer), .. }) => return Ok(Known::Yes(answer.clone().again())),
        }
        answers.by_key.insert(key.clone(), Entry { request, answer: None });
        drop(answers);
        Ok(Known::No(Claim { kept: self.clone(), key: Some(key) }))
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Answers ===

impl Answers {
    /// Forgets what is too old, and the oldest while there is too much.
    fn forget(&mut self, now: Instant) {
        while let Some((key, at)) = self.order.front() {
            if self.order.len() <= MOST && self.bytes <= BYTES && now.duration_since(*at) < LIFE {
                return;
            }
            if let Some(Entry { answer: Some(answer), .. }) = self.by_key.remove(key) {
                self.bytes -= answer.body.len();
            }
            self.order.pop_front();
        }
    }
}

// === impl Answer ===

impl Answer {
    /// An answer in JSON.
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        Self { status, headers, body: Bytes::from(body.to_string()) }
    }

    /// With a header more.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The answer, given for the first time.
    pub(crate) fn first(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        (*response.status_mut(), *response.headers_mut()) = (self.status, self.headers);
        response
    }

    fn again(self) -> Response {
        let mut response = self.first();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

// === impl Claim ===

impl Claim {
    /// Keeps the answer for whoever asks again.
    pub(crate) fn keep(mut self, answer: &Answer) {
        let Some(key) = self.key.take() else { return };
        let (mut answers, now) = (self.kept.lock(), Instant::now());
        answers.bytes += answer.body.len();
        if let Some(entry) = answers.by_key.get_mut(&key) {
            entry.answer = Some(answer.clone());
        }
        answers.order.push_back((key, now));
        answers.forget(now);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.kept.lock().by_key.remove(&key);
        }
    }
}

fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(HEADER).iter();
    let Some(only) = all.next() else { return Ok(None) };
    let text = only.to_str().ok().filter(|text| (1..=255).contains(&text.len()) && all.next().is_none());
    let text =
        text.ok_or_else(|| Problem::of(Kind::BadRequest, "one Idempotency-Key of 1 to 255 characters of ASCII"))?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use crate::web::auth::Tokens;
    use crate::web::settings::{Scope, Token};
    use axum::http::Method;

    fn caller() -> Caller {
        let token = Token { name: "boss".into(), token: Secret::new("t"), scope: Scope::Admin };
        let headers = HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, HeaderValue::from_static("Bearer t"))]);
        Tokens::new(&[token]).admit(&Method::POST, &headers).unwrap()
    }

    fn look(kept: &Kept, key: &str, request: u8) -> Result<Known, Problem> {
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(key).unwrap())]);
        kept.look(&headers, &caller(), [request; 32])
    }

    fn claim(kept: &Kept, key: &str) -> Claim {
        match look(kept, key, 0) {
            Ok(Known::No(claim)) => claim,
            Ok(Known::Yes(_)) | Err(_) => panic!("{key} is known"),
        }
    }

    fn answer(bytes: usize) -> Answer {
        Answer { status: StatusCode::CREATED, headers: HeaderMap::new(), body: vec![b'x'; bytes].into() }
    }

    #[test]
    fn while_a_request_is_under_way_its_key_is_taken() {
        let kept = Kept::default();
        let claim = claim(&kept, "k");
        assert!(
            matches!(look(&kept, "k", 0), Err(problem) if problem == Problem::of(Kind::Conflict, "a request with this Idempotency-Key is under way"))
        );
        drop(claim);
        assert!(matches!(look(&kept, "k", 0), Ok(Known::No(_))));
    }

    #[test]
    fn the_oldest_answers_go_when_there_are_too_many() {
        let kept = Kept::default();
        for number in 0..MOST + 5 {
            claim(&kept, &number.to_string()).keep(&answer(1));
        }
        assert!(matches!(look(&kept, "4", 0), Ok(Known::No(_))));
        assert!(matches!(look(&kept, "5", 0), Ok(Known::Yes(_))));
        assert!(kept.lock().by_key.len() <= MOST);
    }

    #[test]
    fn the_oldest_answers_go_when_they_are_too_large() {
        let kept = Kept::default();
        for key in ["a", "b", "c"] {
            claim(&kept, key).keep(&answer(BYTES / 2 - 1));
        }
        assert!(matches!(look(&kept, "a", 0), Ok(Known::No(_))));
        assert!(matches!(look(&kept, "c", 0), Ok(Known::Yes(_))));
        assert!(kept.lock().bytes <= BYTES);
    }

    #[test]
    fn an_answer_is_forgotten_after_24_h() {
        let kept = Kept::default();
        claim(&kept, "k").keep(&answer(1));
        let now = Instant::now();
        kept.lock().forget(now + LIFE - Duration::from_secs(1));
        assert_eq!(kept.lock().by_key.len(), 1);
        kept.lock().forget(now + LIFE);
        let answers = kept.lock();
        assert_eq!((answers.by_key.len(), answers.bytes), (0, 0));
    }
}
