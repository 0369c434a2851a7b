//! Runs the real binary: `hookline run --config FILE`.
//!
//! A [`Home`] is what a daemon has: configuration, mappings, a store, two ports, and the logs of its lives. It can be
//! started, killed and started again. What a daemon said is printed when its test fails.

use super::{
    api_call::{Call, Reply},
    minder, ports,
    shop::SECRET,
    wait,
};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// How long a start may take: a group's first join, and a debug build on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(60);
/// How long a stop may take: the grace of the tests' configuration, and then some.
pub(crate) const STOP: Duration = Duration::from_secs(60);

/// All that a daemon has.
pub(crate) struct Home {
    /// The configuration, written to the file at each start. JSON is YAML.
    pub(crate) config: Value,
    pub(crate) api: SocketAddr,
    pub(crate) ops: SocketAddr,
    folder: TempDir,
    lives: AtomicU32,
}

/// A daemon that runs. Dropping it kills it.
pub(crate) struct Daemon {
    api: SocketAddr,
    ops: SocketAddr,
    child: Option<Child>,
    log: PathBuf,
}

// === impl Home ===

impl Home {
    /// A home without mappings: consumes from `broker` as `group`, from the earliest record on, and may call loopback.
    pub(crate) fn new(broker: &str, group: &str) -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (api, ops) = (local(ports::free()), local(ports::free()));
        let mut folder = tempfile::Builder::new().prefix("hookline-home-").tempdir().unwrap();
        if std::env::var_os("HOOKLINE_KEEP").is_some() {
            folder.disable_cleanup(true);
            println!("kept: {}", folder.path().display());
        } else {
            minder::folder(folder.path());
        }
        fs::create_dir(folder.path().join("mappings")).unwrap();
        let config = json!({
            "kafka": { "brokers": broker, "group": group, "start": "earliest" },
            "mappings": ["mappings"],
            "store": { "path": folder.path().join("store"), "min_free": "16MiB" },
            "delivery": { "retry": { "schedule": ["200ms", "500ms", "1s"], "max_age": "1h", "jitter": 0.1 } },
            "egress": { "allow_http": true, "allow": ["127.0.0.1/32"] },
            "api": { "listen": api.to_string() },
            "metrics": { "listen": ops.to_string() },
            "shutdown": { "grace": "20s" },
        });
        Self { config, api, ops, folder, lives: AtomicU32::new(0) }
    }

    /// Adds a mapping file.
    pub(crate) fn mapping(&self, text: &str) -> &Self {
        let folder = self.folder.path().join("mappings");
        let name = format!("{}.yaml", fs::read_dir(&folder).unwrap().count());
        fs::write(folder.join(name), text).unwrap();
        self
    }

    /// Writes a file of this home, folders on the way included.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Where a file of this home is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a daemon, and waits until it is ready.
    pub(crate) fn start(&self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.until_ready();
        daemon
    }

    /// Starts a daemon, and does not wait.
    pub(crate) fn spawn(&self) -> Daemon {
        self.write_config();
        self.spawn_as_written()
    }

    /// As [`Home::spawn`], with a configuration file that stands there already.
    pub(crate) fn spawn_as_written(&self) -> Daemon {
        self.spawn_with(&[])
    }

    /// As [`Home::spawn_as_written`], with more in its environment.
    pub(crate) fn spawn_with(&self, environment: &[(&str, &str)]) -> Daemon {
        let log = self.path(&format!("life-{}.log", self.lives.fetch_add(1, Ordering::Relaxed) + 1));
        let file = File::create(&log).unwrap();
        let mut hookline = self.hookline("run");
        let child =
            hookline.envs(environment.iter().copied()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        minder::mind(child.id());
        Daemon { api: self.api, ops: self.ops, child: Some(child), log }
    }

    /// Runs `hookline <command> --config FILE` to its end. For commands that do end.
    pub(crate) fn run(&self, command: &str) -> Output {
        self.write_config();
        self.hookline(command).output().unwrap()
    }

    /// As [`Home::run`], with more in its environment; does not wait. Dropping it leaves it running until we end.
    pub(crate) fn begin(&self, command: &str, environment: &[(&str, &str)]) -> Child {
        self.write_config();
        let mut hookline = self.hookline(command);
        let child = hookline.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap();
        minder::mind(child.id());
        child
    }

    /// Writes the configuration to its file, as the others do by themselves.
    pub(crate) fn write_config(&self) {
        fs::write(self.path("hookline.yaml"), serde_json::to_string_pretty(&self.config).unwrap()).unwrap();
    }

    fn hookline(&self, command: &str) -> Command {
        let mut hookline = Command::new(env!("CARGO_BIN_EXE_hookline"));
        hookline.args(command.split(' ')).arg("--config").arg(self.path("hookline.yaml"));
        hookline.stdin(Stdio::null()).current_dir(self.folder.path());
        // What the tests were started with must not leak into the daemon.
        hookline.env_remove("HOOKLINE_CONFIG").env_remove("HOOKLINE_API").env_remove("HOOKLINE_TOKEN");
        hookline
    }
}

// === impl Daemon ===

impl Daemon {
    /// Waits for `/readyz`; fails when the daemon ends instead.
    #[track_caller]
    pub(crate) fn until_ready(&mut self) {
        wait::until_so("the daemon to be ready", START, || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the daemon ended with {status}");
            }
            self.health("/readyz").is_some_and(|reply| reply.status == 200)
        });
    }

    /// What `/readyz` or `/livez` says; `None` while nobody listens.
    pub(crate) fn health(&self, path: &str) -> Option<Reply> {
        Call::new("GET", self.ops, path).send().ok()
    }

    /// All items of a list of the API, page by page.
    #[track_caller]
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit=200{cursor}"));
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Reads a resource of the API, which must be there.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let reply = Call::new("GET", self.api, path).send().unwrap();
        assert_eq!(reply.status, 200, "GET {path}: {reply:?}");
        reply.json()
    }

    /// Waits until `/readyz` refuses and says `why`.
    #[track_caller]
    pub(crate) fn until_unready(&self, why: &str) {
        wait::until_so(&format!("/readyz to say: {why}"), START, || {
            self.health("/readyz").is_some_and(|reply| reply.status == 503 && reply.body.contains(why))
        });
    }

    /// Posts `body`; what it makes is answered with 201 or 202.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let reply = Call::new("POST", self.api, path).json(body).send().unwrap();
        assert!([201, 202].contains(&reply.status), "POST {path}: {reply:?}");
        reply.json()
    }

    /// Posts `body`; what it does is answered with 200.
    #[track_caller]
    pub(crate) fn post_200(&self, path: &str, body: &Value) -> Value {
        let reply = Call::new("POST", self.api, path).json(body).send().unwrap();
        assert_eq!(reply.status, 200, "POST {path}: {reply:?}");
        reply.json()
    }

    /// Makes a call without body of a daemon that may die of it.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Option<Reply> {
        Call::new(method, self.api, path).send().ok()
    }

    /// Makes a call without body.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str) -> Reply {
        Call::new(method, self.api, path).send().unwrap()
    }

    /// Changes what is at `path`; the answer must be 200.
    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: &Value) {
        let reply = Call::new("PATCH", self.api, path).json(body).send().unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Asks for a subscription to all events, signed with the tests' secret; `more` is put over that.
    #[track_caller]
    pub(crate) fn ask_subscription(&self, url: &str, more: &Value) -> Reply {
        let mut body = json!({ "url": url, "types": ["**"], "secrets": [SECRET] });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        Call::new("POST", self.api, "/v1/subscriptions").json(&body).send().unwrap()
    }

    /// Makes a subscription; returns its id.
    #[track_caller]
    pub(crate) fn subscribe(&self, url: &str, more: &Value) -> String {
        let reply = self.ask_subscription(url, more);
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_string()
    }

    /// The sum of a metric over its labels; `labels` must all occur in a line (`reason="decode"`). 0 when it is not there.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let Some(reply) = self.health("/metrics") else { return 0.0 };
        let ours = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or("no");
            rest.starts_with([' ', '{']) && labels.iter().all(|label| rest.contains(label))
        };
        reply.body.lines().filter(ours).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends SIGTERM, waits for the end, and returns how it ended.
    #[track_caller]
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.until_ended(STOP)
    }

    /// Sends SIGTERM.
    #[track_caller]
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for the daemon to end by itself.
    #[track_caller]
    pub(crate) fn until_ended(&mut self, within: Duration) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let status = wait::until("the daemon to end", within, || child.try_wait().unwrap());
        minder::ended(child.id());
        self.child = None;
        status
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Kills it (-9), at once.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let (_, _) = (child.kill(), child.wait());
            minder::ended(child.id());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let said = self.log();
            let lines: Vec<_> = said.lines().collect();
            eprintln!("--- {} said last:", self.log.display());
            eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// What Linux says of a process in `/proc/<pid>/status`, in KiB: `VmRSS` now, `VmHWM` at most so far.
pub(crate) fn memory(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
