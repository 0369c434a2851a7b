//! Asks an endpoint whether it wants events at all: the handshake of CloudEvents web hooks (WH-4 to WH-7), or a token
//! that it sends back.
//!
//! Takes a subscription's sending side and who we are, gives the endpoint's word. A status alone is never a yes. Knows
//! no store and no retry: what follows from the answer is the directory's business.

use crate::deliver::target::{REQUEST_ORIGIN, Target, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::egress::exchange::{Request, Response, Transport};
use crate::model::subscription::Subscription;
use crate::model::verification::{Proof, Verification};
use crate::runtime::random;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::time::Duration;
use url::Url;

/// The longest wait for a word: an endpoint that thinks longer is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The query parameter that holds the token of a challenge.
pub const CHALLENGE: &str = "challenge";
/// Where the endpoint may say yes later (WH-7).
pub const REQUEST_CALLBACK: HeaderName = HeaderName::from_static("webhook-request-callback");
/// Requests per minute that we ask for.
pub const REQUEST_RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
/// Whom the endpoint takes events from (WH-5).
pub const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
/// Requests per minute that it takes.
pub const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// Who we are towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// A DNS name for the whole system, not for a host (WH-4).
    pub origin: String,
    /// Where this house's API is reached from outside; `None`: nobody can say yes later.
    pub callback: Option<Url>,
}

/// What an endpoint said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It wants the events.
    Yes {
        /// As whom it took us.
        origin: Option<String>,
        /// How many it takes.
        rate: AllowedRate,
    },
    /// It answered, and that was no yes.
    No(String),
    /// It did not answer.
    Silence(String),
}

/// Requests per minute that an endpoint allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedRate {
    /// It did not say.
    Unsaid,
    /// Any (`*`).
    Any,
    /// So many.
    PerMinute(u32),
    /// What it said is no rate.
    Unreadable(String),
}

// === impl Introduction ===

impl Default for Introduction {
    fn default() -> Self {
        Self { origin: "hookline".into(), callback: None }
    }
}

// === impl AllowedRate ===

impl AllowedRate {
    /// Reads `WebHook-Allowed-Rate`.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(ALLOWED_RATE) else { return Self::Unsaid };
        let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            _ if text == "*" => Self::Any,
            Ok(rate @ 1..) if digits => Self::PerMinute(u32::try_from(rate).unwrap_or(u32::MAX)),
            _ => Self::Unreadable(text.chars().take(32).collect()),
        }
    }
}

/// Asks the endpoint of a subscription once; `None` when it need not be asked.
pub async fn ask(transport: &impl Transport, subscription: &Subscription, introduction: &Introduction) -> Option<Word> {
    let verification = subscription.verification.as_ref()?;
    let (target, token) = match Target::new(subscription, PATIENCE) {
        Ok(target) => (target, token()),
        Err(error) => return Some(Word::Silence(error.to_string())),
    };
    let request = match verification.proof {
        Proof::CloudEvents => options(&target, (subscription, verification), introduction),
        Proof::Challenge => challenge(&target, &token),
    };
    Some(match (transport.exchange(request).await, verification.proof) {
        (Ok(answer), Proof::CloudEvents) => consent(&answer, &introduction.origin),
        (Ok(answer), Proof::Challenge) => echo(&answer, &token),
        (Err(error), Proof::CloudEvents | Proof::Challenge) => Word::Silence(error.to_string()),
    })
}

/// What nobody guesses.
#[must_use]
pub fn token() -> String {
    format!("{:032x}", u128::from_be_bytes(random::secret()))
}

fn options(
    target: &Target,
    (subscription, verification): (&Subscription, &Verification),
    introduction: &Introduction,
) -> Request {
    let mut request = bare(target, Method::OPTIONS);
    let mut add = |name, text: &str| {
        request.headers.insert(name, HeaderValue::try_from(text).expect("names, digits and URLs are visible ASCII"));
    };
    add(REQUEST_ORIGIN, &introduction.origin);
    if let Some(rate) = subscription.rate {
        add(REQUEST_RATE, &(u64::from(rate) * 60).to_string());
    }
    if let Some(base) = &introduction.callback {
        let base = base.as_str().trim_end_matches('/');
        let (id, grant) = (&subscription.id, verification.grant.expose());
        add(REQUEST_CALLBACK, &format!("{base}/v1/handshakes/{id}?grant={grant}"));
    }
    request
}

fn challenge(target: &Target, token: &str) -> Request {
    let mut request = bare(target, Method::GET);
    request.url.query_pairs_mut().append_pair(CHALLENGE, token);
    request
}

/// A request with the headers that the subscriber configured, so that it passes the same doors as a delivery, and
/// without what says something about an event.
fn bare(target: &Target, method: Method) -> Request {
    let mut headers = target.headers.clone();
    for name in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE, REQUEST_ORIGIN, header::CONTENT_TYPE] {
        headers.remove(name);
    }
    let timeout = target.timeout.min(PATIENCE);
    Request { url: target.url.clone(), method, headers, body: Bytes::new(), timeout }
}

/// Consent is `WebHook-Allowed-Origin`, ours or `*`, in an answer that is no error.
fn consent(answer: &Response, origin: &str) -> Word {
    if !(200..300).contains(&answer.status) {
        return Word::No(format!("it answered OPTIONS with {}", answer.status));
    }
    if !answer.headers.contains_key(ALLOWED_ORIGIN) {
        return Word::No("its answer to OPTIONS has no WebHook-Allowed-Origin".into());
    }
    let mut allowed = answer.headers.get_all(ALLOWED_ORIGIN).iter().filter_map(|value| value.to_str().ok());
    match allowed.any(|allowed| allowed.trim() == "*" || allowed.trim().eq_ignore_ascii_case(origin)) {
        true => Word::Yes { origin: Some(origin.to_owned()), rate: AllowedRate::read(&answer.headers) },
        false => Word::No(format!("its WebHook-Allowed-Origin is another than {origin}")),
    }
}

/// Consent is the token, alone in the body.
fn echo(answer: &Response, token: &str) -> Word {
    if !(200..300).contains(&answer.status) {
        return Word::No(format!("it answered the challenge with {}", answer.status));
    }
    match answer.head.trim_ascii() == token.as_bytes() {
        true => Word::Yes { origin: None, rate: AllowedRate::Unsaid },
        false => Word::No("its answer to the challenge is not the token alone".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::exchange::ExchangeError;
    use crate::egress::guard::Guard;
    use crate::egress::settings::EgressSettings;
    use crate::model::outcome::FailureCause;
    use crate::model::secret::Secret;
    use crate::runtime::clock;
    use crate::subscriptions::written;
    use crate::yaml::node::Node;
    use serde_json::json;
    use std::sync::Mutex;

    /// Answers as the script says, and keeps what it was asked.
    struct Script<A>(A, Mutex<Vec<Request>>);

    impl<A: Fn(&Request) -> Result<Response, ExchangeError> + Send + Sync> Transport for Script<A> {
        async fn exchange(&self, request: Request) -> Result<Response, ExchangeError> {
            let answer = (self.0)(&request);
            self.1.lock().unwrap().push(request);
            answer
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &str)], head: &str) -> Response {
        let pairs = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Response { status, headers: pairs.collect(), head: Bytes::copy_from_slice(head.as_bytes()) }
    }

    async fn asked(
        proof: Proof,
        introduction: &Introduction,
        script: impl Fn(&Request) -> Result<Response, ExchangeError> + Send + Sync,
    ) -> (Word, Request) {
        let verification = Verification { proof, grant: Secret::new("gr4nt"), consent: None };
        let subscription = Subscription { verification: Some(verification), ..subscription() };
        let script = Script(script, Mutex::default());
        let word = ask(&script, &subscription, introduction).await.unwrap();
        (word, script.1.into_inner().unwrap().remove(0))
    }

    fn subscription() -> Subscription {
        let body = json!({
            "url": "https://example.com/hooks?a=b", "types": ["**"], "headers": { "x-door": "open" },
            "auth": { "bearer": "t0ken" }, "timeout": "60s", "rate": 2,
        });
        let guard = Guard::new(EgressSettings::default());
        let made = written::create(&Node::from_json(&"test".into(), &body), &guard, clock::now()).unwrap();
        Subscription { id: "sub_a".into(), ..made }
    }

    fn ours() -> Introduction {
        Introduction { origin: "eventemitter.example.com".into(), callback: None }
    }

    async fn said(status: u16, headers: &[(&'static str, &str)]) -> Word {
        asked(Proof::CloudEvents, &ours(), |_| Ok(answer(status, headers, ""))).await.0
    }

    fn yes(rate: AllowedRate) -> Word {
        Word::Yes { origin: Some("eventemitter.example.com".into()), rate }
    }

    #[tokio::test]
    async fn wh_4_the_endpoint_is_asked_with_options_at_its_exact_url_who_we_are_and_how_much_we_want() {
        let callback = Some("https://hooks.example.com/base/".parse().unwrap());
        let introduction = Introduction { callback, ..ours() };
        let (_, request) = asked(Proof::CloudEvents, &introduction, |_| Ok(answer(200, &[], ""))).await;
        assert_eq!((request.method, request.url.as_str()), (Method::OPTIONS, "https://example.com/hooks?a=b"));
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("webhook-request-origin"), Some("eventemitter.example.com"));
        assert_eq!(header("webhook-request-rate"), Some("120"));
        let callback = "https://hooks.example.com/base/v1/handshakes/sub_a?grant=gr4nt";
        assert_eq!(header("webhook-request-callback"), Some(callback));
        assert_eq!((header("x-door"), header("authorization")), (Some("open"), Some("Bearer t0ken")));
        for of_an_event in ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type"] {
            assert_eq!(header(of_an_event), None, "{of_an_event}");
        }
        assert!(request.body.is_empty() && request.timeout == PATIENCE);
    }

    #[tokio::test]
    async fn wh_5_only_the_allowed_origin_is_consent_never_the_status() {
        let origin = "webhook-allowed-origin";
        assert_eq!(said(200, &[(origin, "eventemitter.example.com")]).await, yes(AllowedRate::Unsaid));
        assert_eq!(said(204, &[(origin, " EventEmitter.example.com ")]).await, yes(AllowedRate::Unsaid));
        assert_eq!(said(200, &[(origin, "*")]).await, yes(AllowedRate::Unsaid));
        assert_eq!(said(200, &[(origin, "a.b"), (origin, "*")]).await, yes(AllowedRate::Unsaid));
        for (status, headers) in [
            (200, &[][..]),
            (200, &[(origin, "other.example.com")]),
            (200, &[(origin, "example.com")]),
            (405, &[(origin, "*")]),
            (307, &[(origin, "*")]),
        ] {
            assert!(matches!(said(status, headers).await, Word::No(_)), "{status} {headers:?}");
        }
        let reset = |_: &Request| Err(ExchangeError { cause: FailureCause::Reset, detail: "gone".into() });
        assert_eq!(asked(Proof::CloudEvents, &ours(), reset).await.0, Word::Silence("reset: gone".into()));
    }

    #[tokio::test]
    async fn wh_5_a_rate_is_a_positive_number_per_minute_or_any() {
        for (text, rate) in [
            ("120", AllowedRate::PerMinute(120)),
            (" 1 ", AllowedRate::PerMinute(1)),
            ("99999999999", AllowedRate::PerMinute(u32::MAX)),
            ("*", AllowedRate::Any),
        ] {
            let headers = [("webhook-allowed-origin", "*"), ("webhook-allowed-rate", text)];
            assert_eq!(said(200, &headers).await, yes(rate));
        }
        for text in ["0", "-1", "abc", "+5", "1.5", ""] {
            let headers = [("webhook-allowed-origin", "*"), ("webhook-allowed-rate", text)];
            assert_eq!(said(200, &headers).await, yes(AllowedRate::Unreadable(text.into())), "{text}");
        }
    }

    #[tokio::test]
    async fn wh_8_a_challenge_is_met_by_the_token_alone() {
        let token = |request: &Request| request.url.query_pairs().last().unwrap().1.into_owned();
        let none = Introduction::default();
        let (word, request) =
            asked(Proof::Challenge, &none, |request| Ok(answer(200, &[], &format!("{}\n", token(request))))).await;
        assert_eq!(word, Word::Yes { origin: None, rate: AllowedRate::Unsaid });
        assert_eq!(request.method, Method::GET);
        let (start, token_sent) = request.url.as_str().split_once("&challenge=").unwrap();
        assert_eq!((start, token_sent.len()), ("https://example.com/hooks?a=b", 32));
        let (_, again) = asked(Proof::Challenge, &none, |_| Ok(answer(200, &[], ""))).await;
        assert_ne!(again.url, request.url, "each time another token");
        for (status, before) in [(500, ""), (200, "?challenge=")] {
            let reflects = |request: &Request| Ok(answer(status, &[], &format!("{before}{}", token(request))));
            assert!(matches!(asked(Proof::Challenge, &none, reflects).await.0, Word::No(_)), "{status} {before}");
        }
    }
}
