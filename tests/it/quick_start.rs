//! docs/quick-start.md, followed to the letter: an empty folder, the real binary, a real Apache Kafka. Its files are
//! written, its commands run in the terminals that it names, and what they print is held against what the page shows.
//!
//! Only addresses are others: the page's ports may be taken here. What is new each time (ids, secrets, times) may differ; a
//! secret that the page shows stands for the one that we were shown in its place.

use crate::support::{broker::Broker, minder, ports, wait};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

#[expect(dead_code, reason = "other pages have blocks in JSON")]
#[path = "../docs/blocks.rs"]
mod blocks;

const PAGE: &str = "quick-start.md";
const TOPIC: &str = "shop.orders";
const PATIENCE: Duration = Duration::from_secs(60);

/// Who follows the page: a folder, terminals in which something runs, and what stands here for what the page says.
struct Newcomer {
    folder: TempDir,
    terminals: BTreeMap<String, Child>,
    /// What the page says, and what it is here.
    instead: Vec<(String, String)>,
}

// === impl Newcomer ===

impl Newcomer {
    fn new(broker: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("config/mappings")).unwrap();
        let mut instead = vec![("localhost:9092".to_owned(), broker.to_owned())];
        for port in ["8080", "9464", "4000"] {
            instead.push((format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", ports::free())));
        }
        Self { folder, terminals: BTreeMap::new(), instead }
    }

    /// A text of the page, with what it is here.
    fn here(&self, text: &str) -> String {
        self.instead.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    /// A text of ours, as the page would have it.
    fn there(&self, text: &str) -> String {
        self.instead.iter().fold(text.to_owned(), |text, (page, here)| text.replace(here, page))
    }

    fn address(&self, page: &str) -> &str {
        &self.instead.iter().find(|(there, _)| there == page).unwrap().1
    }

    fn command(&self, line: &str) -> Command {
        let line = self.here(line);
        let mut words = line.split_whitespace().map(|word| word.trim_matches('\''));
        assert_eq!(words.next(), Some("hookline"), "{line}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("HOOKLINE_CONFIG").env_remove("HOOKLINE_TOKEN");
        command.env("HOOKLINE_API", format!("http://{}", self.address("127.0.0.1:8080")));
        if line == "hookline run" {
            for (key, page) in [("api.listen", "127.0.0.1:8080"), ("metrics.listen", "127.0.0.1:9464")] {
                command.arg("--set").arg(format!("{key}={}", self.address(page)));
            }
        }
        if line.starts_with("hookline listen") {
            command.arg("--port").arg(self.address("127.0.0.1:4000").rsplit_once(':').unwrap().1);
        }
        command
    }

    fn log(&self, terminal: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{terminal}.log"))
    }

    /// Runs a command that ends; it must show what the page shows.
    fn run(&mut self, line: &str, shown: &str, at: &str) {
        let output = self.command(line).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = self.there(&(text(output.stdout) + &text(output.stderr)));
        assert!(fits(&said, shown), "{at}: {line}\n--- shown\n{shown}\n--- said\n{said}");
        if let (Some(page), Some(ours)) = (secret(shown), secret(&said)) {
            self.instead.push((page.to_owned(), ours.to_owned()));
        }
    }

    /// Begins a command in a terminal of its own; it must come to show what the page shows.
    fn begin(&mut self, terminal: &str, line: &str, shown: &str, at: &str) {
        let log = File::create(self.log(terminal)).unwrap();
        let child = self.command(line).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        minder::mind(child.id());
        self.terminals.insert(terminal.to_owned(), child);
        self.until_shown(terminal, shown, at);
    }

    fn until_shown(&self, terminal: &str, shown: &str, at: &str) {
        wait::until_so(&format!("{at}: {terminal} to show\n{shown}"), PATIENCE, || {
            fits(&self.there(&fs::read_to_string(self.log(terminal)).unwrap()), &format!("...\n{shown}...\n"))
        });
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        for (terminal, mut child) in std::mem::take(&mut self.terminals) {
            let (_, _) = (child.kill(), child.wait());
            minder::ended(child.id());
            if std::thread::panicking() {
                println!("--- {terminal}\n{}", fs::read_to_string(self.log(&terminal)).unwrap_or_default());
            }
        }
    }
}

/// The signing secret in a text.
fn secret(text: &str) -> Option<&str> {
    let from = text.find("whsec_")?;
    text[from..].split_whitespace().next()
}

/// Whether `said` is what is shown, line by line; any lines may stand where `...` stands alone.
fn fits(said: &str, shown: &str) -> bool {
    let mut said = said.lines().map(plain);
    let mut any = false;
    for line in shown.lines() {
        any = match line {
            "..." => true,
            _ if any && !said.any(|said| said == plain(line)) => return false,
            _ if !any && said.next() != Some(plain(line)) => return false,
            _ => false,
        };
    }
    any || said.next().is_none()
}

/// A line without what is new each time: ids, secrets, times.
fn plain(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(['"', ',']);
        let digits = |text: &str| text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        let time = |text: &str| text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
        match ["sub_", "evt_", "whsec_"].iter().find(|prefix| bare.starts_with(**prefix)) {
            Some(prefix) => word.replace(bare, prefix),
            None if digits(bare) || time(bare) => word.replace(bare, "WHEN"),
            None => word.to_owned(),
        }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn who_follows_the_quick_start_ends_with_a_webhook_that_is_verified() {
    let broker = Broker::shared();
    broker.make_topic(TOPIC, 1);
    let (mut newcomer, mut webhooks) = (Newcomer::new(&broker.address()), 0);
    for block in blocks::of(PAGE) {
        let at = format!("{PAGE}:{}", block.line);
        if let Some(name) = block.file() {
            write(newcomer.folder.path(), name, &newcomer.here(&block.text));
            continue;
        }
        if let Some(terminal) = block.kind.strip_prefix("console shows=") {
            newcomer.until_shown(terminal, &block.text, &at);
            webhooks += 1;
            continue;
        }
        let Some(kind) = block.kind.strip_prefix("console") else { continue };
        for part in block.text.split("$ ").skip(1) {
            let (line, shown) = part.split_once('\n').unwrap();
            match kind.strip_prefix(" terminal=") {
                Some(terminal) => newcomer.begin(terminal, line, shown, &at),
                None => newcomer.run(line, shown, &at),
            }
        }
    }
    assert_eq!(webhooks, 1);
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}
