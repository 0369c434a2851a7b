//! Dashboard, alerts and runbook speak of what there is: of the metrics that a daemon has, and of each other.
//!
//! The last test asks a real Prometheus, which `make monitoring` builds and runs it with.

use crate::support::{
    api_call::Call,
    broker::{Broker, Sample},
    daemon::{Daemon, Home},
    endpoint::{Answer, Endpoint},
    minder, ports, shipped, shop, wait,
};
use clap::CommandFactory;
use hookline::metrics::table::ALL;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use url::form_urlencoded::byte_serialize;

const PATIENCE: Duration = Duration::from_secs(180);

/// Whom `process_*` and Prometheus' own series come from.
const LABELS_OF_TARGETS: [&str; 4] = ["job", "instance", "namespace", "pod"];

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_there_are_and_leave_none_out() {
    let known: BTreeSet<String> = ALL.iter().map(|one| one.name.into()).collect();
    let ours = |queries: Vec<shipped::Query>| {
        let asked: BTreeSet<String> = queries.iter().flat_map(|query| shipped::metrics(&query.expr)).collect();
        asked.into_iter().filter(|name| name.starts_with("hookline_")).collect::<BTreeSet<_>>()
    };
    let panels = ours(shipped::panel_queries());
    assert_eq!(panels, known, "what the dashboard shows, and what there is");
    for queries in [shipped::other_queries(), shipped::alert_queries()] {
        let unknown = ours(queries).difference(&known).cloned().collect::<Vec<_>>();
        assert!(unknown.is_empty(), "asked for, and not there: {unknown:?}");
    }
}

#[test]
fn matchers_name_labels_that_the_metric_has() {
    let queries = [shipped::panel_queries(), shipped::other_queries(), shipped::alert_queries()].into_iter().flatten();
    for query in queries {
        for selector in shipped::selectors(&query.expr) {
            let Some((name, matchers)) = selector.split_once('{') else { continue };
            let metric = ALL.iter().find(|one| one.name == name.trim_end_matches("_bucket"));
            let labels = metric.map_or(&[][..], |one| one.labels);
            for matcher in matchers.trim_end_matches('}').split(", ") {
                let label = matcher.split(['=', '!']).next().unwrap();
                let known = labels.contains(&label) || LABELS_OF_TARGETS.contains(&label);
                assert!(known, "{}: {name} has no label `{label}`", query.place);
            }
        }
    }
}

#[test]
fn every_panel_says_its_unit_and_what_good_looks_like_and_none_covers_another() {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in shipped::dashboard()["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another");
        let side = |name| panel["gridPos"][name].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{title} is too wide");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{title} covers another");
            }
        }
    }
    for panel in shipped::panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert!(panel["description"].as_str().unwrap().starts_with("Good: "), "{title} does not say what good is");
        assert_eq!(panel["datasource"], json!({ "type": "prometheus", "uid": "${datasource}" }), "{title}");
    }
}

#[test]
fn every_alert_says_how_urgent_it_is_and_where_the_runbook_speaks_of_it_and_has_its_test() {
    let tests: Value = serde_yaml::from_str(&shipped::text("deploy/prometheus/rules.test.yaml")).unwrap();
    let cases: Vec<&Value> = tests["tests"].as_array().unwrap().iter().collect();
    let fires = |name: &str| {
        let mut cases = cases.iter().flat_map(|case| case["alert_rule_test"].as_array().unwrap());
        cases.any(|case| case["alertname"] == name && case["exp_alerts"].as_array().is_some())
    };
    for alert in shipped::alerts() {
        let name = &alert.name;
        assert!(["critical", "warning"].contains(&alert.labels["severity"].as_str().unwrap()), "{name}");
        assert!(alert.annotations["summary"].is_string(), "{name} has no summary");
        let told = alert.annotations["description"].as_str().unwrap();
        assert!(told.contains("$labels."), "{name} names no label: whom is it about?");
        let place = alert.annotations["runbook_url"].as_str().unwrap().split_once("/docs/runbook.md#").unwrap();
        assert_eq!(place.1, name.to_ascii_lowercase(), "{name}");
        assert!(fires(name), "no test in rules.test.yaml lets {name} fire");
    }
}

#[test]
fn the_runbook_has_an_entry_for_each_alert_and_for_nothing_else() {
    let page = shipped::text("docs/runbook.md");
    let (mut entries, mut parts) = (Vec::new(), BTreeSet::new());
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            entries.push(name.to_string());
        }
        for part in ["**Means.**", "**Look.**", "**Do.**"] {
            if line.starts_with(part) {
                assert!(parts.insert((entries.last().cloned(), part)), "{part} twice in {:?}", entries.last());
            }
        }
    }
    assert_eq!(entries, shipped::alerts().into_iter().map(|alert| alert.name).collect::<Vec<_>>());
    assert_eq!(parts.len(), 3 * entries.len(), "an entry lacks what it means, where to look or what to do");
    let known: BTreeSet<&str> = ALL.iter().map(|one| one.name).collect();
    let named = shipped::metrics(&page);
    let mut named = named.iter().filter(|name| name.starts_with("hookline_"));
    assert_eq!(named.find(|name| !known.contains(name.as_str())), None, "the runbook names a metric that there is not");
}

#[test]
fn the_commands_and_calls_of_the_runbook_can_be_made() {
    let page = shipped::text("docs/runbook.md");
    let api = shipped::text("docs/api.md");
    let mut commands = 0;
    let prose: String = page.split("```").step_by(2).collect();
    for span in prose.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>()) {
        match span[..] {
            ["hookline", ..] => {
                let parsed = hookline::cli::Args::command().try_get_matches_from(&span);
                assert!(parsed.is_ok(), "{}: {}", span.join(" "), parsed.unwrap_err());
                commands += 1;
            }
            ["GET" | "POST", path] => {
                let path = path.replace("/ID/", "/{id}/");
                assert!(api.contains(&path), "docs/api.md does not know {path}");
            }
            _ => {}
        }
    }
    assert!(commands > 20, "{commands} commands: they are not found any more");
}

#[test]
fn what_dashboard_and_alerts_ask_for_is_in_the_scrape_of_a_daemon_that_has_seen_trouble() {
    let world = World::in_trouble("scraped");
    let scrape = world.daemon.health("/metrics").unwrap().body;
    let queries = [shipped::panel_queries(), shipped::other_queries(), shipped::alert_queries()].into_iter().flatten();
    for query in queries {
        for name in shipped::metrics(&query.expr) {
            let mut lines = scrape.lines().filter_map(|line| line.strip_prefix(&*name));
            let series = lines.any(|rest| rest.starts_with([' ', '{']) || rest.starts_with("_bucket{"));
            assert!(series, "{} asks for {name}, which has no series in {scrape}", query.place);
        }
    }
}

#[test]
#[ignore = "takes a Prometheus: make monitoring"]
fn prometheus_answers_what_dashboard_and_alerts_ask_and_the_right_alerts_are_up() {
    let world = World::in_trouble("asked");
    let prometheus = Prometheus::start(&world);
    wait::until_so("Prometheus to have scraped for a while", PATIENCE, || {
        let scrapes = prometheus.ask("count_over_time(hookline_build_info[1h])");
        scrapes.first().is_some_and(|series| number(series) > 15.0)
    });
    world.bring(); // what happened before the first scrape, no increase shows
    for query in shipped::panel_queries() {
        wait::until_so(&format!("an answer to {query:?}"), PATIENCE, || !prometheus.ask(&query.expr).is_empty());
    }
    for query in shipped::other_queries().into_iter().chain(shipped::alert_queries()) {
        prometheus.ask(&query.expr);
        for selector in shipped::selectors(&query.expr) {
            assert!(!prometheus.ask(&selector).is_empty(), "{}: nothing there is {selector}", query.place);
        }
    }
    let up: BTreeSet<String> = wait::until("alerts", PATIENCE, || {
        let up =
            prometheus.ask("ALERTS").iter().map(|one| one["metric"]["alertname"].as_str().unwrap().into()).collect();
        let expected =
            ["HooklineQuarantine", "HooklineInvalidEvents", "HooklineReloadRefused", "HooklineSubscribersBehind"];
        expected.iter().all(|name| BTreeSet::contains(&up, *name)).then_some(up)
    });
    for quiet in ["HooklineDown", "HooklineNotReady", "HooklineNoPartitions", "HooklineRecordsLost", "HooklineRestarts"]
    {
        assert!(!up.contains(quiet), "{quiet} is up, for nothing: {up:?}");
    }
    prometheus.judge(&world.daemon.health("/metrics").unwrap().body);
}

/// A daemon with something of each kind: records that became webhooks and such as were not understood, events that do not fit
/// their schema, an endpoint that fails and is behind, files that were refused.
struct World {
    topic: String,
    home: Home,
    daemon: Daemon,
    endpoint: Endpoint,
}

/// A Prometheus that scrapes it every second, with the alerts that are shipped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    tools: PathBuf,
    folder: TempDir,
}

// === impl World ===

impl World {
    fn in_trouble(stem: &str) -> Self {
        let broker = Broker::shared();
        let topic = broker.topic(stem, 2);
        let mut home = Home::new(&broker.address(), &format!("g.{topic}"));
        home.config["catalogue"] = json!({ "validate": "all" });
        home.config["metrics"]["per_subscription"] = json!(true);
        let placed = shop::PLACED;
        let schema = format!("events:\n  {placed}:\n    schema: {{ required: [nobody_has_this] }}\n");
        home.mapping(&shop::mapping(&topic)).mapping(&schema);
        let endpoint = Endpoint::scripted(|webhook| match webhook.path.as_str() {
            "/ill" => Answer::Status(500),
            _ => Answer::Status(200),
        });
        let daemon = home.start();
        daemon.subscribe(&endpoint.url("/well"), &json!({}));
        daemon.subscribe(&endpoint.url("/ill"), &json!({}));
        let world = Self { topic, home, daemon, endpoint };
        world.bring();
        let Self { home, daemon, .. } = &world;
        wait::until_so("webhooks", PATIENCE, || world.endpoint.account().arrived("/well") == 100);
        home.write("mappings/9.yaml", "mappings: [{ name: half }]");
        let refused = daemon.call("POST", "/v1/reload");
        assert_eq!(refused.status, 422, "{refused:?}");
        wait::until_so("the ill one to be behind, and known how far retention is", PATIENCE, || {
            daemon.metric("hookline_quarantine_rows", &[]) == 1.0
                && daemon.metric("hookline_cursors", &[]) > 0.0
                && daemon.health("/metrics").unwrap().body.contains("\nhookline_cursor_retention_headroom_seconds ")
        });
        world
    }

    /// A hundred orders, whose events do not fit their schema, and a record that is not JSON.
    fn bring(&self) {
        let broker = Broker::shared();
        broker.produce(&self.topic, shop::orders(0..100, 2));
        broker.produce(&self.topic, [Sample { partition: 0, key: "k".into(), value: b"{ not JSON".to_vec() }]);
    }
}

// === impl Prometheus ===

impl Prometheus {
    fn start(world: &World) -> Self {
        let tools = PathBuf::from(std::env::var_os("HOOKLINE_TOOLS").expect("make monitoring sets HOOKLINE_TOOLS"));
        let folder = tempfile::tempdir().unwrap();
        minder::folder(folder.path());
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [shipped::path("deploy/prometheus/rules.yaml")],
            "scrape_configs": [{ "job_name": "hookline", "static_configs": [{ "targets": [world.home.ops.to_string()] }] }],
        });
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap(); // JSON is YAML
        let child = Command::new(tools.join("prometheus"))
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        minder::mind(child.id());
        let prometheus = Self { child, address, tools, folder };
        wait::until_so("Prometheus to be ready", PATIENCE, || {
            Call::new("GET", address, "/-/ready").send().is_ok_and(|reply| reply.status == 200)
        });
        prometheus
    }

    /// The series that answer a query; fails when it is none.
    #[track_caller]
    fn ask(&self, expr: &str) -> Vec<Value> {
        let query: String = byte_serialize(expr.as_bytes()).collect();
        let reply = Call::new("GET", self.address, &format!("/api/v1/query?query={query}")).send().unwrap();
        assert_eq!(reply.status, 200, "{expr}: {}", reply.body);
        let answer = reply.json();
        let complaints = [&answer["warnings"], &answer["infos"]];
        assert!(complaints.iter().all(|what| what.is_null()), "{expr}: {complaints:?}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// PM-7: what Prometheus' own linter says of a scrape.
    fn judge(&self, scrape: &str) {
        let file = self.folder.path().join("scrape.txt");
        fs::write(&file, scrape).unwrap();
        let ran = Command::new(self.tools.join("promtool"))
            .args(["check", "metrics"])
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        minder::ended(self.child.id());
    }
}

fn number(series: &Value) -> f64 {
    series["value"][1].as_str().unwrap().parse().unwrap()
}
