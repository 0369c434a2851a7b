//! The API from a terminal: `hookline subscription`, `dead-letter`, `quarantine`, `replay`, `status` against a daemon that
//! runs.

use crate::support::{
    broker::{Broker, Sample},
    daemon::Home,
    endpoint::{Answer, Endpoint},
    shop, wait,
};
use serde_json::{Value, json};
use std::{process::Output, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "t0ken-of-the-operator";

/// A home whose daemon is asked with a token.
struct Terminal {
    home: Home,
}

// === impl Terminal ===

impl Terminal {
    fn new(stem: &str) -> (String, Self) {
        let topic = Broker::shared().topic(stem, 1);
        let mut home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
        home.mapping(&shop::mapping(&topic));
        home.config["api"]["tokens"] = json!([{ "name": "operator", "token": TOKEN, "scope": "admin" }]);
        (topic, Self { home })
    }

    fn runs(&self, command: &str) -> Output {
        self.home.run(&format!("{command} --api http://{} --token {TOKEN}", self.home.api))
    }

    /// What a command prints that ends well.
    #[track_caller]
    fn says(&self, command: &str) -> String {
        let output = self.runs(command);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, command: &str) -> Value {
        serde_json::from_str(&self.says(&format!("{command} --json"))).unwrap()
    }

    /// What a command complains of that ends with 1.
    #[track_caller]
    fn refuses(&self, command: &str) -> String {
        let output = self.runs(command);
        assert_eq!(output.status.code(), Some(1), "{command}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_subscription_is_made_looked_at_changed_tested_and_deleted() {
    let (_, terminal) = Terminal::new("terminal");
    let endpoint = Endpoint::accepting();
    let daemon = terminal.home.start();
    let create = format!("subscription create --url {} --type ** --name Billing", endpoint.url("/a"));
    let made = terminal.json(&create);
    let id = made["id"].as_str().unwrap();
    assert!(made["secrets"][0].as_str().unwrap().starts_with("whsec_"), "{made}");
    let list = terminal.says("subscription list");
    let lines: Vec<_> = list.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("ID ") && lines[1].starts_with(id), "{list}");
    assert!(lines[1].contains("active") && lines[1].contains("Billing"), "{list}");
    assert!(!list.contains("whsec_"));
    let shown = terminal.says(&format!("subscription show {id}"));
    assert!(shown.contains("health\n") && shown.contains("breaker"), "{shown}");
    assert_eq!(terminal.json(&format!("subscription update {id} --name Invoices"))["name"], "Invoices");
    assert_eq!(terminal.json(&format!("subscription pause {id}"))["status"], "paused");
    assert!(terminal.says(&format!("subscription resume {id}")).contains("active"));
    assert_eq!(terminal.json(&format!("subscription test {id}"))["accepted"], true);
    assert!(terminal.json(&format!("subscription rotate-secret {id} --overlap 1h"))["secret"].is_string());
    let dry = terminal.json(&format!("replay create {id} --from earliest --dry-run"));
    assert_eq!((&dry["state"], &dry["matched"]), (&json!("dry_run"), &json!(0)));
    assert_eq!(terminal.says(&format!("replay list {id}")).trim(), "there is none");
    let status = terminal.says("status");
    assert!(status.contains("TOPIC") && status.contains("uptime_s"), "{status}");
    let wrong = terminal.refuses("subscription create --url ftp://x --type a*");
    assert!(wrong.contains("/url") && wrong.contains("/types/0"), "all that is wrong: {wrong}");
    assert!(terminal.says(&format!("subscription delete {id}")).starts_with("deleted "));
    assert!(terminal.refuses(&format!("subscription show {id}")).contains("there is no such subscription"));
    let stranger = terminal.home.run(&format!("status --api http://{} --token wrong-wrong-wrong", terminal.home.api));
    assert_eq!(stranger.status.code(), Some(1));
    let said = String::from_utf8(stranger.stderr).unwrap();
    assert!(said.contains("A valid token is needed") && !said.contains("wrong-wrong"), "{said}");
    assert!(daemon.stop().success());
    let gone = terminal.refuses("status");
    assert!(gone.contains("is a daemon running there?") && !gone.contains(TOKEN), "{gone}");
}

#[test]
fn what_was_given_up_or_not_understood_is_listed_sent_again_and_dropped() {
    let (topic, terminal) = Terminal::new("terminal-again");
    let endpoint = Endpoint::scripted(|webhook| Answer::Status(if webhook.attempt == 1 { 413 } else { 200 }));
    let daemon = terminal.home.start();
    let create = format!("subscription create --url {} --type **", endpoint.url("/a"));
    let id = terminal.json(&create)["id"].as_str().unwrap().to_owned();
    let broken = |n: u64| Sample { partition: 0, key: n.to_string(), value: b"{".to_vec() };
    Broker::shared().produce(&topic, shop::orders(0..5, 1).chain((0..3).map(broken)));
    let items = |command: &str| terminal.json(command)["items"].as_array().unwrap().len();
    wait::until_so("five dead letters", PATIENCE, || items(&format!("dead-letter list --subscription {id}")) == 5);
    wait::until_so("three in quarantine", PATIENCE, || items(&format!("quarantine list --topic {topic}")) == 3);
    let list = terminal.says("dead-letter list --reason refused");
    assert!(list.contains(shop::PLACED) && list.contains("413"), "{list}");
    assert!(terminal.refuses("dead-letter list --reason bored").contains("must be one of"));
    assert_eq!(
        terminal.says("dead-letter retry --all --dry-run").trim(),
        "matched 5, retried 0, waiting 0, more false"
    );
    let one = terminal.json("dead-letter list")["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(terminal.says(&format!("dead-letter purge {one}")).trim(), "removed 1");
    assert_eq!(terminal.json(&format!("dead-letter retry --subscription {id}"))["retried"], 4);
    wait::until_so("the four", PATIENCE, || endpoint.account().arrived("/a") == 4);
    assert_eq!(terminal.says("dead-letter purge --all").trim(), "removed 0");

    let row = terminal.json("quarantine list")["items"][0]["id"].as_str().unwrap().to_owned();
    let shown = terminal.says(&format!("quarantine show {row}"));
    assert!(shown.contains("decode") && shown.contains(&topic), "{shown}");
    let again = terminal.runs("quarantine retry --reason decode --json");
    assert_eq!(again.status.code(), Some(1), "they still fail");
    let told: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(told, json!({ "matched": 3, "retried": 0, "failed": 3, "waiting": 0 }));
    assert_eq!(terminal.says(&format!("quarantine drop {row}")).trim(), "removed 1");
    assert_eq!(terminal.says("quarantine drop --all").trim(), "removed 2");
    assert_eq!(items("quarantine list"), 0);
    assert!(daemon.stop().success());
}
