//! `hookline init`: a configuration to begin with, in files that say what each key is for.

use crate::cli::common::{Exit, shown};
use crate::cli::output::Output;
use anyhow::{Context, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes a configuration to begin with: a config, a mapping with its schema and its tests
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline init                  # config/hookline.yaml and config/mappings/orders.yaml
  hookline init deploy/hookline

  Files that are there are not replaced: then nothing is written at all.")]
pub struct Args {
    /// The folder
    #[arg(value_name = "FOLDER", default_value = "config")]
    pub folder: PathBuf,
}

/// What is written, by its path in the folder.
const FILES: [(&str, &str); 2] = [
    ("hookline.yaml", include_str!("../../config/start/hookline.yaml")),
    ("mappings/orders.yaml", include_str!("../../config/start/mappings/orders.yaml")),
];

/// Writes it.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    let files = FILES.map(|(name, text)| (args.folder.join(name), text));
    let there: Vec<String> = files.iter().filter(|(file, _)| file.exists()).map(|(file, _)| shown(file)).collect();
    ensure!(there.is_empty(), "nothing is written, for these are there already: {}", there.join(", "));
    for (file, text) in &files {
        write_new(file, text).with_context(|| format!("cannot write {}", shown(file)))?;
        output.line(format!("written: {}", shown(file)))?;
    }
    let config = shown(&files[0].0);
    let named = if config == "config/hookline.yaml" { String::new() } else { format!(" --config {config}") };
    output.line(format!("next:    hookline check{named} && hookline test{named}"))?;
    Ok(Exit::Good)
}

fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
    File::create_new(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::common::{Color, Common};
    use crate::cli::test;

    fn tested(config: &Path) -> Exit {
        let common = Common { config: Some(config.to_owned()), sets: Vec::new(), color: Color::Never };
        let args = test::Args { paths: Vec::new(), filter: None, junit: None, update: false, json: true };
        test::run(args, common, Output::plain()).unwrap()
    }

    #[test]
    fn what_is_written_is_valid_and_passes_its_own_tests() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("a/b");
        assert_eq!(run(Args { folder: into.clone() }, Output::plain()).unwrap(), Exit::Good);
        assert_eq!(tested(&into.join("hookline.yaml")), Exit::Good);
        fs::remove_file(into.join("hookline.yaml")).unwrap();
        fs::write(into.join("mappings/orders.yaml"), "mine").unwrap();
        let error = run(Args { folder: into.clone() }, Output::plain()).unwrap_err().to_string();
        assert!(error.contains("orders.yaml") && !into.join("hookline.yaml").exists(), "{error}");
        assert_eq!(fs::read_to_string(into.join("mappings/orders.yaml")).unwrap(), "mine");
    }

    #[test]
    fn the_sample_shop_passes_its_own_tests() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hookline.yaml");
        assert_eq!(tested(&config), Exit::Good);
    }
}
