//! Room that is kept for a run's end: verdict, findings and reports are written where nothing else can be any more.

use std::fs;

use super::directory::RunDirectory;
use crate::journal::room;

/// Its file in the run directory.
const FILE: &str = ".end-reserve";

/// What the journal holds back in memory at most, and the reports of a long run.
const BYTES: u64 = 6 << 20;

/// Keeps the room. Without it a run goes on: only a disk that is full already has none, and that is told elsewhere.
pub(super) fn keep(directory: &RunDirectory) {
    let path = directory.path().join(FILE);
    if path.exists() {
        return;
    }
    // Where it cannot be taken the disk is nearly full already, which is told by what is left out.
    let _ = room::take(&path, BYTES);
}

/// Gives the room back; the second time there is nothing to give.
pub(super) fn release(directory: &RunDirectory) {
    let _ = fs::remove_file(directory.path().join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_taken_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::at(folder.path().to_owned());
        keep(&directory);
        let taken = fs::metadata(folder.path().join(FILE)).unwrap();
        assert_eq!(taken.len(), BYTES);
        release(&directory);
        release(&directory);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
