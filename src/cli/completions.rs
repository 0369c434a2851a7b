//! `hookline completions`: what a shell needs to complete commands and options.

use crate::cli::common::Exit;
use clap_complete::Shell;

/// Prints completions for a shell
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline completions bash > /etc/bash_completion.d/hookline")]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Prints them.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: Args, mut command: clap::Command) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "hookline", &mut text);
    std::io::Write::write_all(&mut std::io::stdout(), &text)?;
    Ok(Exit::Good)
}
