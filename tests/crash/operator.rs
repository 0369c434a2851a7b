//! Somebody who makes, pauses, resumes and deletes subscriptions and asks for replays while the daemon dies. What was
//! answered holds after every kill; what was not answered came about or not, and nothing in between.

use crate::dice::Dice;
use crate::receiver::Receiver;
use crate::support::{api_call::Call, daemon::Daemon, shop::SECRET};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How many of its own there are at a time.
const MOST: usize = 2;

pub(crate) struct Operator {
    api: SocketAddr,
    url: String,
    /// Its own subscriptions, by path.
    own: BTreeMap<String, Own>,
    made: u64,
}

/// What is known of a subscription.
struct Own {
    id: Option<String>,
    there: Known,
    /// The status it may have.
    status: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    There,
    Gone,
    /// It was asked for, or to go, and there was no answer.
    Unclear,
}

// === impl Operator ===

impl Operator {
    pub(crate) fn new(api: SocketAddr, receiver: &Receiver) -> Self {
        Self { api, url: receiver.url(""), own: BTreeMap::new(), made: 0 }
    }

    /// Does one thing in a while. The daemon may die of it.
    pub(crate) fn act(&mut self, dice: &mut Dice) {
        if dice.below(12) > 0 {
            return;
        }
        let there = self.own.iter().filter(|(_, own)| own.there == Known::There);
        let there = there.map(|(path, own)| (path.clone(), own.id.clone().unwrap())).collect::<Vec<_>>();
        if there.len() < MOST {
            self.create();
            return;
        }
        let (path, id) = dice.one_of(&there).clone();
        match dice.below(5) {
            0 => self.delete(&path, &id),
            1 => {
                let since = json!({ "from": "2020-01-01T00:00:00Z" });
                let replays = format!("/v1/subscriptions/{id}/replays");
                if let Some((202, replay)) = self.call("POST", &replays, Some(&since)) {
                    self.call("DELETE", &format!("{replays}/{}", replay["id"].as_str().unwrap()), None);
                }
            }
            2 => self.turn(&path, &id, ("pause", "paused")),
            _ => self.turn(&path, &id, ("resume", "active")),
        }
    }

    /// What was answered holds.
    pub(crate) fn look(&mut self, daemon: &Daemon) {
        let all = daemon.list("/v1/subscriptions");
        for (path, own) in &mut self.own {
            let url = format!("{}{path}", self.url);
            let found = all.iter().filter(|one| one["url"] == url.as_str()).collect::<Vec<_>>();
            match (own.there, found.first()) {
                (Known::There | Known::Unclear, Some(found)) => {
                    assert!(
                        own.status.iter().any(|status| found["status"] == *status),
                        "{path}: {:?}, {found}",
                        own.status
                    );
                    own.there = Known::There;
                    own.id = Some(found["id"].as_str().unwrap().to_owned());
                    own.status = own.status.iter().copied().filter(|status| found["status"] == *status).collect();
                }
                (Known::Gone | Known::Unclear, None) => own.there = Known::Gone,
                (known, _) => panic!("{path} was {known:?}, found {found:?}"),
            }
            assert!(found.len() < 2, "{path} is there twice: {found:?}");
        }
    }

    /// Ends: what is paused goes on. Gives the paths that must get everything.
    pub(crate) fn end(&mut self, daemon: &Daemon) -> Vec<String> {
        self.look(daemon);
        let there = self.own.iter().filter(|(_, own)| own.there == Known::There);
        let there = there.map(|(path, own)| (path.clone(), own.id.clone().unwrap())).collect::<Vec<_>>();
        for (_, id) in &there {
            assert_eq!(daemon.call("POST", &format!("/v1/subscriptions/{id}/resume")).status, 200);
        }
        there.into_iter().map(|(path, _)| path).collect()
    }

    fn create(&mut self) {
        self.made += 1;
        let path = format!("/made-{}", self.made);
        let body = json!({
            "url": format!("{}{path}", self.url), "types": ["**"], "secrets": [SECRET], "timeout": "1s",
            "start": "earliest",
        });
        let own = match self.call("POST", "/v1/subscriptions", Some(&body)) {
            Some((201, made)) => {
                let id = Some(made["id"].as_str().unwrap().to_owned());
                Own { id, there: Known::There, status: vec!["active"] }
            }
            // The cluster did not answer when the log's beginning was looked up.
            Some((503, _)) => return,
            Some(other) => panic!("{other:?}"),
            None => Own { id: None, there: Known::Unclear, status: vec!["active"] },
        };
        self.own.insert(path, own);
    }

    fn delete(&mut self, path: &str, id: &str) {
        let there = match self.call("DELETE", &format!("/v1/subscriptions/{id}"), None) {
            Some((204, _)) => Known::Gone,
            Some((503, _)) => Known::There,
            Some(other) => panic!("{other:?}"),
            None => Known::Unclear,
        };
        self.own.get_mut(path).unwrap().there = there;
    }

    fn turn(&mut self, path: &str, id: &str, (verb, status): (&str, &'static str)) {
        let answer = self.call("POST", &format!("/v1/subscriptions/{id}/{verb}"), None);
        let own = self.own.get_mut(path).unwrap();
        match answer {
            Some((200, _)) => own.status = vec![status],
            Some((503, _)) => {}
            Some(other) => panic!("{other:?}"),
            None => own.status.push(status),
        }
    }

    /// Status and body; `None` when there was no answer.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let call = Call::new(method, self.api, path);
        let call = if let Some(body) = body { call.json(body) } else { call };
        let reply = call.send().ok()?;
        let body = serde_json::from_str(&reply.body).unwrap_or_default();
        Some((reply.status, body))
    }
}
