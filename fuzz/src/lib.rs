//! What the fuzz targets share. `make fuzz` runs them; `tests/corpus.rs` runs the same entries over `seeds`.

pub mod entries;

use std::panic;

/// Makes every panic of hookline a crash, also one that is caught later. Those of other crates are crashes when nobody
/// catches them: `expr::parse` and `decode::protobuf::compile` do.
pub fn watch() {
    let crash = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("/registry/src/")) {
            crash(panic);
        }
    }));
}
