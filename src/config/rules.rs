//! Mapping files to mappings: found, read in sorted order, compiled together.

use crate::config::error::{ConfigError, Sources};
use crate::config::files::{self, Named};
use crate::map::Mappings;
use crate::map::written::Rules;
use crate::model::problem::{Place, Problems};
use crate::yaml::reader;
use std::path::PathBuf;
use std::sync::Arc;

/// Mappings, and the files they were read from.
#[derive(Debug)]
pub struct RuleFiles {
    /// All mappings, compiled.
    pub mappings: Mappings,
    /// The files, in the order in which they were read.
    pub files: Vec<PathBuf>,
}

/// Reads the mapping files `paths` and those of the folders among them, without a configuration.
///
/// # Errors
/// All mistakes in all files.
pub fn load(paths: &[PathBuf]) -> Result<RuleFiles, ConfigError> {
    let named = paths.iter().map(|path| {
        let place = Place::whole(path.display().to_string());
        Named { path: path.clone(), place, key: String::new() }
    });
    let (mut problems, mut sources) = (Problems::default(), Sources::default());
    let rules = read(&named.collect::<Vec<_>>(), &mut problems, &mut sources);
    problems.or(rules).map_err(|problems| ConfigError::new(problems, sources))
}

/// Reads the files that `named` stands for, each once.
pub(crate) fn read(named: &[Named], problems: &mut Problems, sources: &mut Sources) -> RuleFiles {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut rules = Rules::default();
    for named in named {
        for file in files::found(named, problems) {
            if files.contains(&file) {
                continue;
            }
            match files::text(&file) {
                Ok(text) => {
                    match reader::read(&Arc::from(file.display().to_string()), &text) {
                        Ok(node) => rules.add_file(&node, problems),
                        Err(found) => problems.extend(found),
                    }
                    sources.add(&file, text);
                }
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", file.display());
                    problems.add(&named.place, named.key.clone(), what, "");
                }
            }
            files.push(file);
        }
    }
    let mappings = rules.finish(problems);
    RuleFiles { mappings, files }
}
