//! Ends what the tests started, however they end.
//!
//! A shell reads from us which processes, mounts and folders are ours. When its input closes, because this process ended
//! in whatever way (a panic, Ctrl-C, kill -9), it kills, unmounts and removes them. It stands in a process
//! group of its own, so that Ctrl-C does not reach it first.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock},
};

const SCRIPT: &str = r#"
pids= folders= mounts=
while read -r verb what; do
  case $verb in
    mind) pids="$pids $what" ;;
    ended) kept=; for p in $pids; do [ "$p" = "$what" ] || kept="$kept $p"; done; pids=$kept ;;
    mount) mounts="$mounts
$what" ;;
    folder) folders="$folders
$what" ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids 2>/dev/null
printf '%s\n' "$mounts" | while read -r m; do [ -z "$m" ] || umount -l "$m" 2>/dev/null; done
printf '%s\n' "$folders" | while read -r f; do [ -z "$f" ] || for again in 1 2 3; do rm -rf "$f" && break; done; done
"#;

/// Kill process `pid` when we end.
pub(crate) fn mind(pid: u32) {
    tell("mind", &pid.to_string());
}

/// Process `pid` has ended and was waited for.
pub(crate) fn ended(pid: u32) {
    tell("ended", &pid.to_string());
}

/// Remove `folder` when we end.
pub(crate) fn folder(folder: &Path) {
    tell("folder", folder.to_str().unwrap());
}

/// Unmount `folder` when we end.
pub(crate) fn mount(folder: &Path) {
    tell("mount", folder.to_str().unwrap());
}

fn tell(verb: &str, what: &str) {
    static MINDER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let minder = MINDER.get_or_init(|| {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Mutex::new(shell.expect("a POSIX shell is there").stdin.take().unwrap())
    });
    writeln!(minder.lock().unwrap(), "{verb} {what}").expect("the minder outlives us");
}
