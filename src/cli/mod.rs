//! The command line: the table of commands, their common options, exit codes.
//!
//! A command is a file: its `Args`, and `run`. It ends with an exit code of `common::Exit`, or with an error, which
//! is printed in one line.

pub mod ask;
pub mod check;
pub mod common;
pub mod completions;
pub mod dead_letter;
pub mod demo;
pub mod health;
pub mod listen;
pub mod loaded;
pub mod logs;
pub mod map;
pub mod output;
pub mod quarantine;
pub mod receiver;
pub mod remote;
pub mod replay;
pub mod roundtrip;
pub mod run;
pub mod shown;
pub mod status;
pub mod store;
pub mod subscription;
pub mod table;
pub mod told;
pub mod trigger;

use crate::cli::common::{Common, Exit};
use crate::cli::output::Output;
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// Reads domain events from Kafka, maps them by rules in YAML, delivers them as signed webhooks.
#[derive(Debug, Parser)]
#[command(
    name = "hookline",
    version,
    propagate_version = true,
    subcommand_required = true,
    after_help = "\
Example:
  hookline demo                              shows all of it in one process
  hookline check                             says what is wrong with the config, with line and hint
  hookline run --set log.level=debug"
)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Runs the daemon until Ctrl-C or SIGTERM
    Run(run::Args),
    /// Shows the whole thing in one process: a broker, a shop, mappings, webhooks that are verified
    Demo(demo::Args),
    /// Says what is wrong with the config and its mappings: all mistakes at once
    Check(check::Args),
    /// Shows what a record would become and who would get it, without sending anything
    Map(map::Args),
    /// Prints the webhooks that come to a local port, and whether they are authentic
    Listen(listen::Args),
    /// Asks a running daemon whether it is alive, or ready
    Health(health::Args),
    /// Writes one record to a topic of the configured Kafka
    Trigger(trigger::Args),
    /// Works on the subscriptions of a running daemon
    Subscription(subscription::Args),
    /// Works on deliveries that a running daemon has given up
    DeadLetter(dead_letter::Args),
    /// Works on records that a running daemon did not understand
    Quarantine(quarantine::Args),
    /// Sends again what Kafka still holds, by a running daemon
    Replay(replay::Args),
    /// Shows how a running daemon is: partitions, lanes, what it holds
    Status(status::Args),
    /// Sends one record through a running daemon and waits until it comes back as a webhook
    Roundtrip(roundtrip::Args),
    /// Works on the store of a daemon that is stopped
    Store(store::Args),
    /// Prints completions for a shell
    Completions(completions::Args),
}

/// Does what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.common.color);
    let exit = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let ended = runtime.block_on(act(args, output));
            runtime.shutdown_background(); // nothing that is left may hold up the end
            ended
        }
        Err(error) => Err(anyhow::Error::new(error).context("cannot start threads")),
    };
    let exit = exit.unwrap_or_else(|error| {
        let closed = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
        if error.downcast_ref().is_some_and(closed) {
            return Exit::Good; // `hookline listen | head`: who reads has read enough
        }
        output.fail(&error);
        Exit::Bad
    });
    ExitCode::from(exit as u8)
}

async fn act(args: Args, output: Output) -> anyhow::Result<Exit> {
    let common = args.common;
    match args.command {
        Command::Run(args) => run::run(args, common, output).await,
        Command::Demo(args) => demo::run(args, common, output).await,
        Command::Check(args) => check::run(args, common, output),
        Command::Map(args) => map::run(args, common, output).await,
        Command::Trigger(args) => trigger::run(args, common, output).await,
        Command::Roundtrip(args) => roundtrip::run(args, common, output).await,
        Command::Listen(args) => listen::run(args, output).await,
        Command::Subscription(args) => subscription::run(args, output).await,
        Command::DeadLetter(args) => dead_letter::run(args, output).await,
        Command::Quarantine(args) => quarantine::run(args, output).await,
        Command::Replay(args) => replay::run(args, output).await,
        Command::Status(args) => status::run(args, output).await,
        Command::Health(args) => health::run(args, output).await,
        Command::Store(args) => store::run(args, common, output).await,
        Command::Completions(args) => completions::run(args, Args::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_help_ends_with_an_example_that_can_be_typed() {
        let mut command = Args::command();
        command.build();
        command.clone().debug_assert();
        assert!(has_example(&command));
        command.get_subcommands().for_each(every_example_can_be_typed);
    }

    fn has_example(command: &clap::Command) -> bool {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        help.starts_with("Example:\n  hookline ")
    }

    fn every_example_can_be_typed(command: &clap::Command) {
        if command.get_name() == "help" {
            return;
        }
        assert!(has_example(command), "{}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  hookline ")) {
            let line = line.trim_start().split("  ").next().unwrap_or_default(); // what it does may stand behind it
            let words = line.split_whitespace().take_while(|word| ![">", "|"].contains(word));
            let parsed = Args::try_parse_from(words.map(|word| word.trim_matches('\'')));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
        command.get_subcommands().for_each(every_example_can_be_typed);
    }

    #[test]
    fn what_is_removed_or_sent_again_must_be_said() {
        for line in ["dead-letter purge", "dead-letter retry --dry-run", "quarantine drop", "quarantine retry"] {
            assert!(Args::try_parse_from(format!("hookline {line}").split(' ')).is_err(), "{line}");
        }
        for line in ["dead-letter purge x --all", "quarantine drop x --topic t", "quarantine retry --all --reason map"]
        {
            assert!(Args::try_parse_from(format!("hookline {line}").split(' ')).is_err(), "{line}");
        }
        for line in ["dead-letter purge --all", "quarantine drop x", "quarantine retry --topic t --reason map"] {
            assert!(Args::try_parse_from(format!("hookline {line}").split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn common_options_stand_before_or_behind_the_command() {
        for line in ["hookline --color never listen --port 1", "hookline listen --port 1 --color never"] {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(args.common.color, common::Color::Never);
        }
        assert!(Args::try_parse_from(["hookline", "listen", "--port", "99999"]).is_err());
    }
}
