//! # What it reports
//! A node that has lost the last commit signatures `critical`.
//!
//! # Why it matters
//!  as a leader it cannot propose.:In the incident the last commit signatures were only in memory; a restarted leader had nothing to propose on.
//!
//! # Evidence
//! The log lines, from the first on.
//!
//! # When it stays quiet
//! While the host's own disk is dry. It closes when the node said nothing of the kind for a while.

use super::{
    detector::Detector, disk_error::StorageWatch, finding::Severity, findings::Findings,
    world::World,
};
use crate::journal::{Entry, event::LogClass};

/// Watches every node.
pub struct Watch(StorageWatch);

impl Default for Watch {
    fn default() -> Self {
        Self(StorageWatch::new(
            "commit-signatures-lost",
            LogClass::CommitSignaturesLost,
            Severity::Critical,
        ))
    }
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(entry, world, findings);
    }
}
