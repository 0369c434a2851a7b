//! Finding and reading files: where a configuration is looked for, which mapping files there are.
//!
//! Relative paths of `mappings` are relative to the configuration file, so that a configuration can be moved as a
//! whole.

use crate::config::reads::Files;
use crate::model::problem::{Place, Problems};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The environment variable that names the configuration file.
pub const VARIABLE: &str = "HOOKLINE_CONFIG";

/// Where the configuration is looked for when nobody names it, in this order.
#[must_use]
pub fn candidates() -> [&'static Path; 2] {
    [Path::new("config/hookline.yaml"), Path::new("/etc/hookline/hookline.yaml")]
}

/// A path as a mistake about it is told: where it is written.
pub(crate) struct Named {
    /// The path, relative to the configuration file or absolute.
    pub(crate) path: PathBuf,
    /// Where it is written.
    pub(crate) place: Place,
    /// Its path in the document.
    pub(crate) key: String,
}

/// The files that `named` stands for: itself, or those of a folder that end in `.yaml` or `.yml`, sorted by name.
/// Hidden ones are left out: that is where a ConfigMap keeps its former contents.
pub(crate) fn found(named: &Named, files: &Files, problems: &mut Problems) -> Vec<PathBuf> {
    let path = &named.path;
    let told = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => match files.folder(path) {
            Ok(files) => return files,
            Err(error) => format!("the folder {} cannot be read: {error}", path.display()),
        },
        Ok(_) => return vec![path.clone()],
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no file or folder {}", path.display())
        }
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    };
    files.missed(path);
    problems.add(&named.place, named.key.clone(), told, "Paths are relative to the configuration file");
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_come_sorted_without_hidden_ones_and_others() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "c.yaml", ".old.yaml", "readme.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("more.yaml")).unwrap();
        let named = Named { path: folder.path().into(), place: Place::whole("f"), key: "mappings[0]".into() };
        let mut problems = Problems::default();
        let names: Vec<_> = found(&named, &Files::default(), &mut problems)
            .iter()
            .map(|path| path.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.yaml"]);
        assert!(problems.is_empty());
    }

    #[test]
    fn what_is_not_there_is_told_where_it_is_written() {
        let named = Named { path: "/no/such/place".into(), place: Place::whole("f"), key: "mappings[0]".into() };
        let mut problems = Problems::default();
        assert!(found(&named, &Files::default(), &mut problems).is_empty());
        assert!(problems.0[0].to_string().starts_with("f: mappings[0]: there is no file or folder /no/such/place."));
    }
}
