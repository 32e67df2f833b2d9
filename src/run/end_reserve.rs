//! Room that is kept for a run's end: verdict, findings and reports are written where nothing else can be any more.

use std::{
    fs::{self, File},
    io::Write as _,
};

use super::directory::RunDirectory;

/// Its file in the run directory.
const FILE: &str = ".end-reserve";

/// What the journal holds back in memory at most, and the reports of a long run.
const BYTES: usize = 6 << 20;

/// Keeps the room. Without it a run goes on: only a disk that is full already has none, and that is told elsewhere.
pub(super) fn keep(directory: &RunDirectory) {
    let path = directory.path().join(FILE);
    if path.exists() {
        return;
    }
    // Real bytes, because file systems differ in what they promise for allocated but unwritten ones.
    let zeros = vec![0_u8; BYTES];
    let kept = File::create(&path).and_then(|mut file| file.write_all(&zeros));
    if kept.is_err() {
        let _ = fs::remove_file(&path);
    }
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
        assert_eq!(taken.len(), BYTES as u64);
        release(&directory);
        release(&directory);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
