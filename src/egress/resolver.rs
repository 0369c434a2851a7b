//! The HTTP client's resolver: looks a name up once, judges every answer, and hands on only what was judged (SEC-1).
//!
//! The client connects to the addresses given here and looks nothing up again. It is never asked about address
//! literals: [`crate::egress::client`] judges those before each send.

use crate::egress::guard::{Guard, Reason, Refusal, plain};
use crate::egress::lookup::Lookup;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Resolves and judges.
#[derive(Clone)]
pub struct Resolver {
    guard: Arc<Guard>,
    lookup: Arc<dyn Lookup>,
}

/// Why a name gave no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The lookup itself failed, or had no answer.
    #[error("the name does not resolve")]
    Lookup(#[source] io::Error),
    /// The guard refuses the name or an address.
    #[error("{0}")]
    Refused(Refusal),
}

// === impl Resolver ===

impl Resolver {
    /// A resolver that asks `lookup` and obeys `guard`.
    #[must_use]
    pub fn new(guard: Arc<Guard>, lookup: Arc<dyn Lookup>) -> Self {
        Self { guard, lookup }
    }

    /// The addresses of `name`, all of them judged; at least one.
    ///
    /// # Errors
    /// [`ResolveError`]; one forbidden address refuses the name.
    pub async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let host = plain(name);
        self.guard.judge_name(host).map_err(ResolveError::Refused)?;
        let answers = self.lookup.lookup(name).await.map_err(ResolveError::Lookup)?;
        match self.guard.judge_answers(host, &answers) {
            Ok(()) => Ok(answers),
            Err(refusal) if refusal.reason == Reason::Resolve => {
                Err(ResolveError::Lookup(io::Error::new(io::ErrorKind::NotFound, refusal)))
            }
            Err(refusal) => Err(ResolveError::Refused(refusal)),
        }
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let answers = Resolver::resolve(&resolver, name.as_str()).await?;
            Ok(Box::new(answers.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::lookup::Answers;
    use crate::egress::settings::EgressSettings;
    use serde_json::Value;
    use std::collections::VecDeque;
    use std::sync::Mutex;

    struct Scripted(Mutex<VecDeque<Vec<SocketAddr>>>);

    impl Lookup for Scripted {
        fn lookup(&self, _: &str) -> Answers {
            let next = self.0.lock().unwrap().pop_front().ok_or_else(|| io::Error::other("asked too often"));
            Box::pin(async { next })
        }
    }

    fn answers(list: &Value) -> Vec<SocketAddr> {
        let ips = list.as_array().unwrap().iter().map(|ip| ip.as_str().unwrap().parse().unwrap());
        ips.map(|ip| SocketAddr::new(ip, 0)).collect()
    }

    #[tokio::test]
    async fn sec_1_a_name_that_changes_its_address_is_judged_again_at_connect() {
        let all: Vec<Value> = serde_json::from_str(include_str!("../../tests/vectors/egress.json")).unwrap();
        for case in all.iter().filter(|case| case["input"]["kind"] == "rebind") {
            let (input, expected) = (&case["input"], &case["expected"]);
            let script: VecDeque<_> = input["answers"].as_array().unwrap().iter().map(answers).collect();
            let asked_for = script.len();
            let lookup = Arc::new(Scripted(Mutex::new(script)));
            let guard = Arc::new(Guard::new(EgressSettings::default()));
            let url = guard.judge_url(input["url"].as_str().unwrap()).unwrap();
            let registered = guard.resolve_and_judge_with(&url, &*lookup).await;
            assert_eq!(registered.is_ok(), expected["registration"] == "allow", "{}", case["name"]);
            let Some(lookups) = expected["lookups"].as_u64() else { continue };
            let connected = Resolver::new(guard, lookup.clone()).resolve(url.host_str().unwrap()).await;
            assert_eq!(connected.is_ok(), expected["connect"] == "allow", "{}", case["name"]);
            assert_eq!(connected.unwrap_or_default(), answers(&expected["connects_to"]), "{}", case["name"]);
            assert_eq!(asked_for - lookup.0.lock().unwrap().len(), lookups as usize, "{}", case["name"]);
        }
    }

    #[tokio::test]
    async fn eg_6_a_local_name_is_refused_before_any_lookup() {
        let lookup = Arc::new(Scripted(Mutex::default()));
        let resolver = Resolver::new(Arc::new(Guard::new(EgressSettings::default())), lookup);
        assert!(matches!(resolver.resolve("kafka.svc.").await, Err(ResolveError::Refused(_))));
        assert!(matches!(resolver.resolve("kafka.example.com").await, Err(ResolveError::Lookup(_))));
    }
}
