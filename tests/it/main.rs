//! Promises kept over real sockets and files, one module a promise, in one binary.
#![allow(clippy::unwrap_used, reason = "tests and their support fail loudly")]

mod habits;
mod retry_after;
mod support;
