//! What is known of a node's data disk.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    journal::event::{LogClass, Sample},
    time::Elapsed,
};

/// Long enough for a node that retries at its own pace to have failed again.
const QUIET: Duration = Duration::from_secs(10);

/// A node's disk and its trouble.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Disk {
    /// Since when writes fail for want of room.
    pub full_since: Option<Elapsed>,
    /// The last sign that it is full.
    pub full_at: Elapsed,
    /// The node itself said so, of a write that failed.
    pub failed_write: bool,
    /// Bytes used.
    pub used: u64,
    /// Bytes free.
    pub free: u64,
    /// Inodes in all, 0 where nobody counts them.
    pub inodes: u64,
    /// Samples in a row without a free byte.
    pub dry_samples: u32,
}

impl Disk {
    /// Its size at the last look, in bytes; 0 if it was never seen.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.used.saturating_add(self.free)
    }

    pub(super) fn fold_log(&mut self, class: &LogClass, now: Elapsed) {
        match class {
            LogClass::DiskFull => {
                self.full_since.get_or_insert(now);
                self.full_at = now;
                self.failed_write = true;
            }
            LogClass::DiskRecovered => {
                self.full_since = None;
                self.failed_write = false;
                self.dry_samples = 0;
            }
            _ => {}
        }
    }

    /// The node was started again: what the process before it said of its writes is said no more.
    pub(super) fn fold_start(&mut self) {
        self.failed_write = false;
    }

    pub(super) fn fold_sample(&mut self, sample: &Sample, now: Elapsed) {
        self.used = sample.disk_used;
        self.free = sample.disk_free;
        self.inodes = sample.inodes;
        if self.size() == 0 {
            return;
        }
        if self.free == 0 {
            self.dry_samples += 1;
            // One look may fall into a moment; two in a row are a state.
            if self.dry_samples >= 2 {
                self.full_since.get_or_insert(now);
                self.full_at = now;
            }
        } else {
            self.dry_samples = 0;
            let room = self.free > self.size() / 100;
            // A disk that was only seen full is so no more; a node that said so may have more to say.
            if room && (!self.failed_write || now.since(self.full_at) >= QUIET) {
                self.full_since = None;
                self.failed_write = false;
            } else if !room && self.full_since.is_some() {
                self.full_at = now;
            }
        }
    }
}
