//! What must not be: a stranger at the API, a port or a store that another has, requests that make no sense.

use crate::support::{
    api_call::Call,
    broker::Broker,
    daemon::{Daemon, Home},
    endpoint::Endpoint,
    shop, wait,
};
use serde_json::{Value, json};
use std::{fs, net::TcpListener, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const ADMIN: &str = "t0ken-of-the-operator";
const READER: &str = "t0ken-of-a-reader";
const TENANT: &str = "t0ken-of-a-tenant";

/// A home with orders, on the shared broker.
fn home(stem: &str) -> (Home, String) {
    let topic = Broker::shared().topic(stem, 1);
    let home = Home::new(&Broker::shared().address(), &format!("g.{topic}"));
    home.mapping(&shop::mapping(&topic));
    (home, topic)
}

/// Waits for a daemon to give up, and gives what it said.
#[track_caller]
fn gives_up(mut daemon: Daemon) -> String {
    let status = daemon.until_ended(PATIENCE);
    let said = daemon.log();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_wrong_token_is_401_and_a_narrow_one_is_kept_to_its_scope() {
    let (mut home, _) = home("tokens");
    home.config["api"]["tokens"] = json!([
        { "name": "operator", "token": ADMIN, "scope": "admin" },
        { "name": "reader", "token": READER, "scope": "read" },
        { "name": "m-1", "token": TENANT, "scope": "tenant:m-1" },
    ]);
    let daemon = home.start();
    let call = |method: &str, token: Option<&str>, body: Option<&Value>| {
        let mut call = Call::new(method, home.api, "/v1/subscriptions");
        if let Some(token) = token {
            call = call.header("authorization", &format!("Bearer {token}"));
        }
        if let Some(body) = body {
            call = call.json(body);
        }
        call.send().unwrap()
    };
    let body = json!({ "url": "https://example.com/hooks", "types": ["**"] });
    for token in [None, Some("wrong"), Some(""), Some(&ADMIN[1..]), Some("t0ken-of-the-operator2")] {
        for (method, body) in [("GET", None), ("POST", Some(&body))] {
            let reply = call(method, token, body);
            assert_eq!(reply.status, 401, "{method} {token:?}: {reply:?}");
            assert!(reply.head.contains("application/problem+json"), "{reply:?}");
        }
    }
    assert_eq!(call("GET", Some(READER), None).status, 200);
    assert_eq!(call("POST", Some(READER), Some(&body)).status, 403);
    // The endpoint's name is looked up at the latest when it is called, so this does not need the network.
    let made = call("POST", Some(ADMIN), Some(&body));
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/v1/subscriptions/{}", made.json()["id"].as_str().unwrap());
    let of_another = Call::new("GET", home.api, &path).header("authorization", &format!("Bearer {TENANT}"));
    assert_eq!(of_another.send().unwrap().status, 404, "what belongs to others is not there for a tenant");
    assert_eq!(call("GET", Some(TENANT), None).json()["items"].as_array().unwrap().len(), 0);
    // Health and metrics need no token; no token stands in the log.
    assert_eq!(daemon.health("/livez").unwrap().status, 200);
    assert_eq!(daemon.health("/metrics").unwrap().status, 200);
    assert!(!daemon.log().contains("t0ken"), "{}", daemon.log());
}

#[test]
fn a_secret_is_shown_once_and_never_again() {
    let (home, topic) = home("secrets");
    let endpoint = Endpoint::accepting();
    let daemon = home.start();
    let auth = json!({ "auth": { "bearer": "v3ry-secret" } });
    let made = daemon.ask_subscription(&endpoint.url("/a"), &auth);
    assert!(made.status == 201 && made.body.contains(shop::SECRET), "{made:?}");
    let path = format!("/v1/subscriptions/{}", made.json()["id"].as_str().unwrap());
    Broker::shared().produce(&topic, shop::orders(0..3, 1));
    wait::until_so("orders", PATIENCE, || endpoint.account().arrived("/a") == 3);
    assert_eq!(endpoint.webhooks("/a")[0].header("authorization"), "Bearer v3ry-secret");
    let metrics = daemon.health("/metrics").unwrap().body;
    for text in [made.body.replace(shop::SECRET, ""), daemon.get(&path).to_string(), metrics, daemon.log()] {
        assert!(!text.contains("v3ry-secret") && !text.contains(shop::SECRET), "{text}");
    }
}

#[test]
fn a_port_that_another_has_is_told_and_nothing_is_left_behind() {
    for which in ["api", "metrics"] {
        let (home, _) = home("ports");
        let address = if which == "api" { home.api } else { home.ops };
        let taken = TcpListener::bind(address).unwrap();
        let said = gives_up(home.spawn());
        assert!(said.contains(&address.to_string()), "names the address: {said}");
        drop(taken);
        drop(home.start());
    }
}

#[test]
fn a_second_process_on_a_store_is_refused_and_the_first_goes_on() {
    let (first, topic) = home("second");
    let (mut second, _) = home("second");
    second.config["store"]["path"] = first.config["store"]["path"].clone();
    let endpoint = Endpoint::accepting();
    let daemon = first.start();
    daemon.subscribe(&endpoint.url("/a"), &json!({}));
    let said = gives_up(second.spawn());
    assert!(said.contains("in use") && said.contains(first.path("store").to_str().unwrap()), "{said}");
    Broker::shared().produce(&topic, shop::orders(0..3, 1));
    wait::until_so("orders", PATIENCE, || endpoint.account().arrived("/a") == 3);
    assert!(daemon.stop().success());
}

#[test]
fn a_store_that_is_damaged_is_told_and_not_begun_anew() {
    let (home, _) = home("damaged");
    let daemon = home.start();
    daemon.subscribe("https://example.com/hooks", &json!({}));
    assert!(daemon.stop().success());
    let data = home.path("store").join("db");
    let bytes = fs::read(&data).unwrap();
    fs::write(&data, vec![0x5a; bytes.len()]).unwrap();
    let said = gives_up(home.spawn());
    assert!(said.contains("damaged") && said.contains(home.path("store").to_str().unwrap()), "{said}");
    fs::write(&data, bytes).unwrap();
    let daemon = home.start();
    assert_eq!(daemon.get("/v1/subscriptions")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_all_its_mistakes() {
    let (home, _) = home("nonsense");
    let daemon = home.start();
    let bad = json!({
        "url": "ftp://example.com", "types": [], "formt": "raw", "timeout": "soon", "concurrency": 0,
        "filter": "event.data.total >", "headers": { "webhook-id": "mine" },
    });
    let post = |body: &Value| Call::new("POST", home.api, "/v1/subscriptions").json(body).send().unwrap();
    let reply = post(&bad);
    assert_eq!(reply.status, 422, "{reply:?}");
    assert!(reply.head.contains("application/problem+json"), "{reply:?}");
    let pointers: Vec<String> =
        reply.json()["errors"].as_array().unwrap().iter().map(|e| e["pointer"].to_string()).collect();
    for field in ["url", "types", "formt", "timeout", "concurrency", "filter", "headers"] {
        assert!(pointers.iter().any(|pointer| pointer.contains(field)), "{field} in {reply:?}");
    }
    let (path, json) = ("/v1/subscriptions", "application/json");
    let raw = || Call::new("POST", home.api, path).header("content-type", json);
    assert_eq!(raw().body("{").send().unwrap().status, 400);
    assert_eq!(raw().header("content-length", "2000000").send().unwrap().status, 413, "before it is sent");
    assert_eq!(daemon.call("GET", "/v1/subscriptions/sub_unknown").status, 404);
    assert_eq!(daemon.call("GET", "/v1/nothing").status, 404);
    assert_eq!(daemon.call("PUT", "/v1/subscriptions").status, 405);
    assert_eq!(daemon.call("GET", "/v1/subscriptions?limit=many").status, 422);
    assert_eq!(daemon.get("/v1/subscriptions")["items"], json!([]));
}
