//! The `hookline` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookline::cli::run()
}
