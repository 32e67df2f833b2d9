//! Faults asked for by hand: a file goes into the run's directory, what became of it comes out line by line.

use std::{fs, io, io::Write as _, path::Path};

use super::arm::FOLDER;
use crate::plan::faults::PlannedFault;

/// Ending of a request.
const ASKED: &str = "asked.json";
/// Requests that are read at one time.
const MOST: usize = 64;

/// Asks the owner of a run for a fault; answers the name under which its steps can be read.
///
/// # Errors
/// When the file cannot be written.
pub fn ask(directory: &Path, fault: &PlannedFault) -> Result<String, io::Error> {
    let folder = directory.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let name = format!("hand-{}", std::process::id());
    let temporary = folder.join(format!("{name}.tmp"));
    fs::write(&temporary, serde_json::to_vec(fault)?)?;
    fs::rename(temporary, folder.join(format!("{name}.{ASKED}")))?;
    Ok(name)
}

/// What became of it so far, a step a line.
#[must_use]
pub fn told(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(FOLDER).join(format!("{name}.told"))).unwrap_or_default()
}

/// Requests that came since the last look, each once.
pub(super) fn take(directory: &Path) -> Vec<(String, PlannedFault)> {
    let Ok(entries) = fs::read_dir(directory.join(FOLDER)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = file.strip_suffix(ASKED)?.trim_end_matches('.').to_owned();
            let bytes = fs::read(entry.path()).ok()?;
            fs::remove_file(entry.path()).ok()?;
            Some((name, serde_json::from_slice(&bytes).ok()?))
        })
        .take(MOST)
        .collect()
}

/// Adds a line for whoever asked.
pub(super) fn tell(directory: &Path, name: &str, line: &str) {
    let path = directory.join(FOLDER).join(format!("{name}.told"));
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    // Whoever asked may not care any more.
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}
