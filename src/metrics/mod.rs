//! All metrics, listed; the only room that names the metrics crate.
