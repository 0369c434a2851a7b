//! Points at which the process can be told to die at once, as by `kill -9`, named after the transitions they stand at.
//!
//! Only there with the cargo feature `failpoints`: `FAILPOINTS="store.flushed=20*off->return"` lets the point pass
//! twenty times and dies at the next. Without the feature a point is nothing.

/// The points, in the order in which a delivery that fails comes by.
#[cfg(feature = "failpoints")]
pub const POINTS: &[&str] = &[
    "open.begin",
    "open.done",
    "admit.before",
    "admit.after",
    "quarantine",
    "cursor.behind",
    "cursor.lost",
    "park",
    "park.again",
    "dead",
    "settle.row",
    "store.before",
    "topic.number",
    "store.applied",
    "store.flushed",
    "store.told",
    "flushed.settles",
    "commit.before",
    "commit.after",
    "scan.offer",
    "join.before",
    "join.after",
    "cursor.live",
    "cursor.drops",
    "subscription.write",
    "subscription.written",
    "subscription.delete",
    "subscription.deleted",
    "replay.begin",
    "replay.off",
    "close.begin",
    "close.stopped",
    "close.detached",
    "close.durable",
    "close.commit",
    "close.committed",
];

/// The points of what is done to a store while its daemon is stopped.
#[cfg(feature = "failpoints")]
pub const UPKEEP: &[&str] = &["build.begun", "swap.built", "swap.begun", "swap.step"];

/// Reads `FAILPOINTS`; without the feature it does nothing.
pub fn arm() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// Dies here if it was told to.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(not(feature = "failpoints"))]
    let _: &str = name;
    #[cfg(feature = "failpoints")]
    {
        debug_assert!(POINTS.contains(&name) || UPKEEP.contains(&name), "{name} is not in a list");
        fail::fail_point!(name, |_| die(name));
    }
}

/// No destructor runs, nothing is flushed, nothing is said to anybody.
#[cfg(feature = "failpoints")]
fn die(name: &str) {
    eprintln!("failpoint {name}");
    std::process::abort();
}
