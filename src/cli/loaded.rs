//! The config as commands load it: its mistakes go to standard error, all of them, each with its line.

use crate::cli::common::{Common, Exit};
use crate::cli::output::{self, Output};
use crate::config::Config;

/// Loads the config that the command line names.
///
/// # Errors
/// [`Exit::Invalid`]; what is wrong is printed already.
pub fn load(common: &Common, output: &Output) -> Result<Config, Exit> {
    let file = common.config_file().map_err(|error| {
        output.fail(&error);
        Exit::Invalid
    })?;
    Config::load(&file, &common.sets).map_err(|error| {
        output.complain(error.report().trim_end());
        let mistakes = output::count(error.problems().0.len(), "mistake");
        output.fail(&anyhow::anyhow!("{} is not valid: {mistakes}", file.display()));
        Exit::Invalid
    })
}
