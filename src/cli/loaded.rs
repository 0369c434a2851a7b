//! The config as commands load it: its mistakes go to standard error, all of them, each with its line.

use crate::cli::common::{Common, Exit};
use crate::cli::output::{self, Output};
use crate::config::Config;
use crate::config::error::ConfigError;

/// Loads the config that the command line names.
///
/// # Errors
/// [`Exit::Invalid`]; what is wrong is printed already.
pub fn load(common: &Common, output: &Output) -> Result<Config, Exit> {
    let file = common.config_file().map_err(|error| {
        output.fail(&error);
        Exit::Invalid
    })?;
    take(Config::load(&file, &common.sets), output)
}

/// What was loaded, unless it is not valid.
///
/// # Errors
/// As [`load`].
pub fn take<T>(loaded: Result<T, ConfigError>, output: &Output) -> Result<T, Exit> {
    loaded.map_err(|error| {
        output.complain(output::harmless(error.report().trim_end()));
        output.fail(&anyhow::anyhow!("not valid: {}", output::count(error.problems.0.len(), "mistake")));
        Exit::Invalid
    })
}
