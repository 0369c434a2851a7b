//! Who asks, and what that allows: tokens as `Authorization: Bearer`, compared in constant time.
//!
//! Without tokens everybody who reaches the listener may do everything, and it is bound to loopback only; then only
//! requests to a loopback name are answered, so that a web page whose name is made to point here cannot ask.

use crate::model::subscription::Tenant;
use crate::web::api::problem::{Kind, Problem};
use crate::web::settings::{Scope, Token};
use axum::http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The tokens that are known, as digests.
#[derive(Default)]
pub(crate) struct Tokens(Vec<Known>);

struct Known {
    digest: [u8; 32],
    caller: Caller,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The token's name; for logs.
    pub(crate) name: Arc<str>,
    /// Which token it is; names may repeat.
    pub(crate) token: Option<usize>,
    scope: Scope,
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn new(tokens: &[Token]) -> Self {
        let known = |(place, token): (usize, &Token)| Known {
            digest: Sha256::digest(token.token.expose()).into(),
            caller: Caller { name: token.name.as_str().into(), token: Some(place), scope: token.scope.clone() },
        };
        Self(tokens.iter().enumerate().map(known).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who sends a request with these headers, if it may do `method` at all.
    ///
    /// # Errors
    /// 401 without or with a wrong token, 403 when the token may only read.
    pub(crate) fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
        if self.is_empty() {
            return if is_local(headers) { Ok(Caller::everybody()) } else { Err(foreign_name()) };
        }
        let token =
            bearer(headers).ok_or_else(|| Problem::of(Kind::Unauthorized, "send Authorization: Bearer <token>"))?;
        let caller = self.find(token).ok_or_else(|| Problem::of(Kind::Unauthorized, "the token is not known"))?;
        if caller.scope == Scope::Read && ![Method::GET, Method::HEAD].contains(method) {
            return Err(Problem::of(Kind::Forbidden, "the token may only read"));
        }
        Ok(caller)
    }

    /// Looks at all of them, so that the time tells nothing about where a token stands or how much of it fits.
    fn find(&self, token: &str) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for known in &self.0 {
            if bool::from(known.digest.ct_eq(&digest)) {
                found = Some(&known.caller);
            }
        }
        found.cloned()
    }
}

// === impl Caller ===

impl Caller {
    fn everybody() -> Self {
        Self { name: "everybody".into(), token: None, scope: Scope::Admin }
    }

    /// The tenant it is bound to.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match &self.scope {
            Scope::Admin | Scope::Read => None,
            Scope::Tenant(tenant) => Some(tenant),
        }
    }

    /// Whether it may know of what belongs to `tenant`.
    pub(crate) fn sees(&self, tenant: &Tenant) -> bool {
        match (self.tenant(), tenant) {
            (None, _) => true,
            (Some(own), Tenant::One(other)) => own == other,
            (Some(_), Tenant::None | Tenant::All) => false,
        }
    }

    /// That it is not bound to a tenant.
    ///
    /// # Errors
    /// 403.
    pub(crate) fn operator(&self) -> Result<(), Problem> {
        match self.tenant() {
            None => Ok(()),
            Some(_) => Err(Problem::of(Kind::Forbidden, "this is for operators: the token is bound to a tenant")),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn is_local(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::HOST).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return false };
    let Ok(host) = only.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn foreign_name() -> Problem {
    let what = "without api.tokens the API answers only to localhost, by that name or a loopback address";
    Problem::of(Kind::Forbidden, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Sid;
    use crate::web::trial::{Trial, tokens};
    use serde_json::{Value, json};

    #[tokio::test]
    async fn without_a_token_or_with_a_wrong_one_everything_answers_401() {
        let trial = Trial::guarded().await;
        for path in ["/v1/subscriptions", "/v1/subscriptions/x", "/v1/status", "/nothing/here", "/"] {
            let answer = trial.ask(&format!("GET {path}")).send().await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"hookline\""));
        }
        for header in
            ["Bearer boss", "Bearer boss-token2", "Bearer ", "Bearer", "Basic Ym9zcy10b2tlbg==", "boss-token", ""]
        {
            let answer = trial.ask("GET /v1/status").header("authorization", header).send().await;
            answer.problem(401, "unauthorized");
        }
        let twice = trial.ask("GET /v1/status").token("boss").token("reader").send().await;
        twice.problem(401, "unauthorized");
        trial.ask("POST /v1/subscriptions").json(&json!({})).send().await.problem(401, "unauthorized");
    }

    #[tokio::test]
    async fn the_scheme_may_be_written_in_any_case() {
        let trial = Trial::guarded().await;
        let answer = trial.ask("GET /v1/status").header("authorization", "bearer boss-token").send().await;
        assert_eq!(answer.status, 200);
    }

    #[tokio::test]
    async fn a_read_token_reads_everything_and_changes_nothing() {
        let trial = Trial::guarded().await;
        let made = trial.create("one", json!({})).await.json();
        let path = format!("/v1/subscriptions/{}", made["id"].as_str().unwrap());
        for path in [&path, "/v1/subscriptions", "/v1/status", "/v1/quarantine", "/v1/dead-letters"] {
            assert_eq!(trial.ask(&format!("GET {path}")).token("reader").send().await.status, 200, "{path}");
        }
        trial.create("reader", json!({})).await.problem(403, "forbidden");
        let patch = trial.ask(&format!("PATCH {path}")).token("reader").json(&json!({ "name": "x" }));
        patch.send().await.problem(403, "forbidden");
        trial.ask(&format!("DELETE {path}")).token("reader").send().await.problem(403, "forbidden");
        assert_eq!(trial.ask(&format!("GET {path}")).token("boss").send().await.json()["name"], Value::Null);
    }

    #[tokio::test]
    async fn another_tenants_things_are_not_there() {
        let trial = Trial::guarded().await;
        trial.given("mine", Tenant::One("t-1".into()), Sid::new(1, 1)).await;
        trial.given("theirs", Tenant::One("t-2".into()), Sid::new(1, 2)).await;
        trial.given("nobodys", Tenant::None, Sid::new(1, 3)).await;
        trial.given("all", Tenant::All, Sid::new(1, 4)).await;
        let list = trial.ask("GET /v1/subscriptions").token("one").send().await.json();
        let ids: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["mine"]);
        for id in ["theirs", "nobodys", "all", "nothing"] {
            let path = format!("/v1/subscriptions/{id}");
            let answer = trial.ask(&format!("GET {path}")).token("one").send().await;
            assert_eq!(answer.problem(404, "not-found")["detail"], "there is no such subscription");
            let patch = trial.ask(&format!("PATCH {path}")).token("one").json(&json!({ "name": "x" }));
            patch.send().await.problem(404, "not-found");
            trial.ask(&format!("DELETE {path}")).token("one").send().await.problem(404, "not-found");
            let letters = trial.ask(&format!("GET /v1/dead-letters?subscription={id}")).token("one").send().await;
            letters.problem(404, "not-found");
        }
        let all = trial.ask("GET /v1/subscriptions").token("boss").send().await.json();
        assert_eq!(all["items"].as_array().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_tenants_token_makes_subscriptions_of_its_tenant_only() {
        let trial = Trial::guarded().await;
        assert_eq!(trial.create("one", json!({})).await.json()["tenant"], "t-1");
        assert_eq!(trial.create("one", json!({ "tenant": null })).await.json()["tenant"], "t-1");
        assert_eq!(trial.create("one", json!({ "tenant": "t-1" })).await.json()["tenant"], "t-1");
        trial.create("one", json!({ "tenant": "t-2" })).await.problem(403, "forbidden");
        trial.create("one", json!({ "tenant": "*" })).await.problem(403, "forbidden");
        assert_eq!(trial.create("one", json!({ "tenant": 5 })).await.pointers(), ["/tenant"]);
        assert_eq!(trial.create("boss", json!({})).await.json()["tenant"], Value::Null);
        assert_eq!(trial.create("boss", json!({ "tenant": "*" })).await.json()["tenant"], "*");
    }

    #[tokio::test]
    async fn what_is_for_operators_is_outside_of_a_tenants_scope() {
        let trial = Trial::guarded().await;
        for path in ["/v1/status", "/v1/quarantine", "/v1/quarantine/quar_AAAA"] {
            trial.ask(&format!("GET {path}")).token("one").send().await.problem(403, "forbidden");
        }
    }

    #[tokio::test]
    async fn without_tokens_only_a_loopback_name_is_answered_to() {
        let trial = Trial::open().await;
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::1]"] {
            assert_eq!(trial.ask("GET /v1/status").host(host).send().await.status, 200, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.evil.example:80", "[::2]"] {
            trial.ask("GET /v1/status").host(host).send().await.problem(403, "forbidden");
        }
        trial.ask("GET /v1/status").header("host", "localhost").send().await.problem(403, "forbidden");
    }

    #[tokio::test]
    async fn with_tokens_any_name_is_answered_to() {
        let trial = Trial::guarded().await;
        let answer = trial.ask("GET /v1/status").host("hooks.example").token("boss").send().await;
        assert_eq!(answer.status, 200);
    }

    #[test]
    fn a_token_is_not_in_what_is_kept_of_it() {
        let known = Tokens::new(&tokens());
        assert!(known.find("boss-token").is_some_and(|caller| &*caller.name == "boss"));
        assert!(!format!("{:?}", known.find("boss-token")).contains("boss-token"));
    }
}
