//! Room on the file system of a run directory, and what is done without as it becomes less.
//!
//! ```text
//!  free:   wanted ............ half of it ............ nothing ............. reserve used up
//!          raw logs and copies  samples, then heads,    only what must be     the run ends as infra,
//!          of evidence stop     then blocks thinner     written, on a reserve with a verdict on the end's reserve
//! ```

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// What is wanted free at most: some minutes of what a busy run writes.
const COMFORT: u64 = 64 << 20;

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
}

impl Room {
    /// Of the file system of a path, if that can be told.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            free: stat.f_bavail.checked_mul(stat.f_frsize)?,
            size: stat.f_blocks.checked_mul(stat.f_frsize)?,
        })
    }

    /// A small file system is not nearly full for being small.
    fn wanted(self) -> u64 {
        COMFORT.min(self.size / 4).max(1)
    }

    /// Whether what the journal can do without is to be left out: raw logs, copies of evidence.
    #[must_use]
    pub fn is_low(self) -> bool {
        self.free < self.wanted()
    }

    /// How much of the wanted room is used, for the policy that thins the journal.
    #[must_use]
    pub fn used(self) -> f64 {
        (1.0 - self.free as f64 / self.wanted() as f64).max(0.0)
    }
}

/// Takes room with a file, to be given back by removing it; a file that does not become whole is removed.
///
/// # Errors
/// When there is too little room, or the file cannot be written.
pub fn take(path: &Path, bytes: u64) -> io::Result<()> {
    let written = (|| {
        let mut file = File::create(path)?;
        // Real bytes, because file systems differ in what they promise for allocated but unwritten ones.
        let zeros = [0_u8; 4096];
        let mut left = bytes;
        while left > 0 {
            let part = left.min(zeros.len() as u64);
            file.write_all(&zeros[..part as usize])?;
            left -= part;
        }
        file.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Thinness;

    #[test]
    fn logs_stop_before_samples_and_samples_before_blocks() {
        const MIB: u64 = 1 << 20;
        let at = |free, size| Room {
            free: free * MIB,
            size: size * MIB,
        };
        let thin = |room: Room| Thinness::for_share(room.used());
        let large = 500_000;
        assert!(!at(64, large).is_low());
        assert!(at(63, large).is_low());
        assert_eq!(thin(at(33, large)), Thinness::NONE);
        let samples = thin(at(31, large));
        assert!(samples.samples > 1 && samples.blocks == 1);
        assert!(thin(at(7, large)).heads > 2);
        assert!(thin(at(7, large)).blocks > 1);
        // One of 20 MiB that is half full has room.
        assert!(!at(10, 20).is_low() && at(4, 20).is_low());
        assert_eq!(thin(at(0, 0)).blocks, 256);
        assert!(Room::of(Path::new("/")).is_some_and(|room| room.size > 0));
    }
}
