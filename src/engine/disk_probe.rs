//! What a disk does to who writes to it, looked at from inside a node, as the node's own user: the proof of a fault.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::Instant,
};

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};

use crate::disk::mounted;

/// Bytes of one write.
const BLOCK: usize = 64 * 1024;

/// What writing to a disk came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskProbe {
    /// Microseconds of all writes and their fsyncs.
    pub micros: u64,
    /// The error that ended it, as a number.
    pub error: Option<i32>,
    /// Bytes that the file system counted free before.
    pub free: u64,
    /// Options of the file system, as the kernel tells them.
    pub options: String,
}

/// How names of a probe's files begin.
const NAME: &str = ".canarynet-probe-";

/// Appends `count` times so many bytes to a file of its own and syncs each time; the file is removed.
///
/// # Errors
/// When nothing is mounted at this path. What is wrong with the disk is in the answer.
pub(super) fn probe(disk: &Path, count: u32, bytes: usize) -> Result<DiskProbe, io::Error> {
    let facts = statvfs(disk)?;
    sweep(disk);
    let path = disk.join(format!("{NAME}{}", std::process::id()));
    let begun = Instant::now();
    let written = write(&path, count, bytes);
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    // On a disk that takes nothing it cannot be removed, and may never have been made.
    let _ = fs::remove_file(&path);
    let error = written
        .err()
        .map(|error| error.raw_os_error().unwrap_or(i32::MAX));
    Ok(DiskProbe {
        micros,
        error,
        free: facts.f_bavail.saturating_mul(facts.f_frsize),
        options: mounted::options_of(disk)?,
    })
}

/// Removes what a probe before could not, because the disk took nothing then.
fn sweep(disk: &Path) {
    for entry in fs::read_dir(disk).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(NAME) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn write(path: &Path, count: u32, bytes: usize) -> Result<(), io::Error> {
    let block = vec![0xa5; BLOCK.min(bytes)];
    let mut file = File::create(path)?;
    for _ in 0..count {
        let mut left = bytes;
        while left > 0 {
            left -= file.write(&block[..block.len().min(left)])?;
        }
        file.sync_all()?;
    }
    Ok(())
}

/// Writes a file, and its name too, durably or not.
pub(super) fn put(path: &Path, bytes: usize, synced: bool) -> Result<(), io::Error> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0x5a; bytes])?;
    if synced {
        file.sync_all()?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_writes_syncs_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{NAME}7"));
        fs::write(folder.path().join("data"), "kept").unwrap();
        write(&path, 3, 100_000).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 300_000);
        // No mount point of its own: the disk of a node is one.
        assert!(probe(folder.path(), 1, 10).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let none = folder.path().join("none").join("file");
        assert_eq!(put(&none, 10, true).unwrap_err().raw_os_error(), Some(2));
        put(&path, 10, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 10);
    }
}
