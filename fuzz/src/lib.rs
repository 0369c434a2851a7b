//! What the fuzz targets share. `make fuzz` runs them; `tests/corpus.rs` runs the same entries over `seeds`.

pub mod entries;

use std::panic;

/// Makes every panic a crash, also one that is caught later: but for those of the parser of `cel` and the one below it,
/// which `expr::parse` exists to catch.
pub fn watch() {
    let crash = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let foreign = |place: &panic::Location<'_>| place.file().contains("/cel-") || place.file().contains("/antlr4rust-");
        if !panic.location().is_some_and(foreign) {
            crash(panic);
        }
    }));
}
