//! How full a node's data disk is.

use serde::{Deserialize, Serialize};

use crate::journal::event::Sample;

/// From this share on a disk is nearly full, in percent: what a store needs for its next file or compaction may be more
/// than what is left. The incident's leader stood at 92 % shortly before it stopped.
pub(super) const HIGH: u64 = 92;
/// A disk at the limit is not told at each of its blocks: first it must have come back to here, in percent.
const LOW: u64 = 90;

/// One node's data disk, from sample to sample.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct DiskLevel {
    seen: bool,
    high: bool,
    /// It passed [`HIGH`] percent at the last sample.
    pub(super) rose: bool,
}

impl DiskLevel {
    /// A sample. A disk that was so full when it was first seen has not risen.
    pub(super) fn fold(&mut self, sample: &Sample) {
        self.rose = false;
        let size = sample.disk_used.saturating_add(sample.disk_free);
        if size == 0 {
            return;
        }
        // Products, since each sample comes by here and a wide division is slow.
        let used = u128::from(sample.disk_used) * 100;
        let percent = |percent: u64| u128::from(size) * u128::from(percent);
        let (high, low) = (used >= percent(HIGH), used < percent(LOW));
        self.rose = self.seen && high && !self.high;
        self.high = high || (self.high && !low);
        self.seen = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_told_once_until_it_came_down() {
        let mut level = DiskLevel::default();
        let mut rises = Vec::new();
        for used in [95, 89, 91, 92, 99, 91, 93, 50, 92] {
            level.fold(&Sample {
                disk_used: used,
                disk_free: 100 - used,
                ..Sample::default()
            });
            rises.push(level.rose);
        }
        let expected = [false, false, false, true, false, false, false, false, true];
        assert_eq!(rises, expected);
    }
}
