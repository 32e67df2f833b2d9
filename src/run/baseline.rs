//! Baselines: the summaries of good runs, kept under a name beside the runs, so that they outlive them.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::{RunDirectory, StateFolder};
use crate::{
    plan::against,
    report::summary::Summary,
    time::{RunClock, WallTime},
};

/// Folder of the baselines in the folder of runs; no plan's folder begins with a dot.
const FOLDER: &str = ".baselines";
/// Version of the file.
const FORMAT: u32 = 1;
/// Longest name.
const LONGEST: usize = 100;

/// Runs that others are held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the file.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// When it was saved.
    pub saved: WallTime,
    /// Its runs.
    pub runs: Vec<Summary>,
}

/// What goes wrong with baselines.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Not a name.
    #[error(
        "{0:?} is no name for a baseline: letters, digits, dots, dashes and slashes, at most {LONGEST}"
    )]
    Name(String),
    /// Not there.
    #[error("no baseline {0:?}; `canarynet baseline` lists them")]
    NotFound(String),
    /// A run without a summary.
    #[error("{} has no summary; `canarynet judge RUN --write` makes it", .0.display())]
    NoSummary(PathBuf),
    /// Made by a later version.
    #[error("{} has format {found}, this version reads up to {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Input or output.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn failed(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> BaselineError {
    let path = path.to_owned();
    move |source| BaselineError::Io {
        action,
        path,
        source,
    }
}

/// Where baselines are.
#[must_use]
pub fn folder(state: &StateFolder) -> PathBuf {
    state.root().join(FOLDER)
}

/// The file of a name that people can type and read.
fn file_name(name: &str) -> Result<String, BaselineError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-/+@".contains(letter);
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(allowed) {
        return Err(BaselineError::Name(name.to_owned()));
    }
    Ok(against::file_name(name))
}

/// The summary of a run.
///
/// # Errors
/// When it has none or it cannot be read.
pub fn summary_of(directory: &RunDirectory) -> Result<Summary, BaselineError> {
    let path = directory.path().join("summary.json");
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BaselineError::NoSummary(directory.path().to_owned()));
        }
        bytes => bytes.map_err(failed("read", &path))?,
    };
    serde_json::from_slice(&bytes)
        .map_err(io::Error::from)
        .map_err(failed("understand", &path))
}

/// Saves runs under a name, in place of what was there.
///
/// # Errors
/// When the name is none or the file cannot be written.
pub fn save(
    state: &StateFolder,
    name: &str,
    runs: Vec<Summary>,
) -> Result<Baseline, BaselineError> {
    let folder = folder(state);
    let path = folder.join(file_name(name)?);
    let baseline = Baseline {
        format: FORMAT,
        name: name.to_owned(),
        saved: RunClock::wall(),
        runs,
    };
    let text = serde_json::to_vec_pretty(&baseline)
        .map_err(io::Error::from)
        .map_err(failed("write", &path))?;
    fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("rename to", &path))?;
    Ok(baseline)
}

fn read(path: &std::path::Path) -> Result<Baseline, BaselineError> {
    let bytes = fs::read(path).map_err(failed("read", path))?;
    let baseline: Baseline = serde_json::from_slice(&bytes)
        .map_err(io::Error::from)
        .map_err(failed("understand", path))?;
    if baseline.format > FORMAT {
        return Err(BaselineError::Newer {
            path: path.to_owned(),
            found: baseline.format,
        });
    }
    Ok(baseline)
}

/// The baseline of a name, or in the file of that path.
///
/// # Errors
/// When there is none or it cannot be read.
pub fn load(state: &StateFolder, name: &str) -> Result<Baseline, BaselineError> {
    let saved = file_name(name).map(|file| folder(state).join(file));
    match saved {
        Ok(path) if path.is_file() => read(&path),
        _ if std::path::Path::new(name).is_file() => read(std::path::Path::new(name)),
        Ok(_) => Err(BaselineError::NotFound(name.to_owned())),
        Err(error) => Err(error),
    }
}

/// All baselines that can be read, by name.
#[must_use]
pub fn all(state: &StateFolder) -> Vec<Baseline> {
    let mut baselines: Vec<Baseline> = fs::read_dir(folder(state))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| read(&entry.path()).ok())
        .collect();
    baselines.sort_by(|one, other| one.name.cmp(&other.name));
    baselines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("release/v3.1.0").unwrap(), "release,v3.1.0.json");
        assert_eq!(file_name("../../x").unwrap(), "..,..,x.json");
        for bad in ["", "a b", "a\0", "ä", &"x".repeat(200)] {
            assert!(matches!(file_name(bad), Err(BaselineError::Name(_))));
        }
    }

    #[test]
    fn what_is_saved_is_read_again_and_absence_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(folder.path())).unwrap();
        assert!(matches!(
            load(&state, "v1"),
            Err(BaselineError::NotFound(_))
        ));
        let saved = save(&state, "release/v1", Vec::new()).unwrap();
        assert_eq!(load(&state, "release/v1").unwrap(), saved);
        assert_eq!(all(&state), [saved]);
        // It is no run.
        assert!(state.all().is_empty());
        let directory = RunDirectory::at(folder.path().to_owned());
        assert!(matches!(
            summary_of(&directory),
            Err(BaselineError::NoSummary(_))
        ));
    }
}
