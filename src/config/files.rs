//! Finding and reading files: where a configuration is looked for, which mapping files there are.
//!
//! Relative paths of `mappings` are relative to the configuration file, so that a configuration can be moved as a
//! whole. What is read is bounded.

use crate::model::problem::{Place, Problems};
use crate::yaml::reader::MAX_BYTES;
use std::fs::{self, File};
use std::io::{self, Read};
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

/// The text of a file, of at most as many bytes as a YAML file may have.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    String::from_utf8(bytes(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The bytes of a file, as many as [`text`] takes.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The files that `named` stands for: itself, or those of a folder that end in `.yaml` or `.yml`, sorted by name.
/// Hidden ones are left out: that is where a ConfigMap keeps its former contents.
pub(crate) fn found(named: &Named, problems: &mut Problems) -> Vec<PathBuf> {
    let path = &named.path;
    let told = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => match folder(path) {
            Ok(files) => return files,
            Err(error) => format!("the folder {} cannot be read: {error}", path.display()),
        },
        Ok(_) => return vec![path.clone()],
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no file or folder {}", path.display())
        }
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    };
    problems.add(&named.place, named.key.clone(), told, "Paths are relative to the configuration file");
    Vec::new()
}

/// The YAML files of a folder, sorted by name.
pub(crate) fn folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if yaml && !hidden && fs::metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
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
        let names: Vec<_> =
            found(&named, &mut problems).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.yaml"]);
        assert!(problems.is_empty());
    }

    #[test]
    fn a_file_is_bounded_and_utf_8() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        for (bytes, expected) in [(vec![b'a'; MAX_BYTES + 1], "it has more than"), (vec![0xff], "it is not UTF-8")] {
            fs::write(&file, bytes).unwrap();
            assert!(text(&file).unwrap_err().to_string().contains(expected));
        }
        fs::write(&file, vec![b'a'; MAX_BYTES]).unwrap();
        assert_eq!(text(&file).unwrap().len(), MAX_BYTES);
    }

    #[test]
    fn what_is_not_there_is_told_where_it_is_written() {
        let named = Named { path: "/no/such/place".into(), place: Place::whole("f"), key: "mappings[0]".into() };
        let mut problems = Problems::default();
        assert!(found(&named, &mut problems).is_empty());
        assert!(problems.0[0].to_string().starts_with("f: mappings[0]: there is no file or folder /no/such/place."));
    }
}
