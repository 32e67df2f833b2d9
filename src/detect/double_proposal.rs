//! # What it reports
//! A node that was sent two blocks by one leader at one height and view. `critical`.
//!
//! # Why it matters
//! Whoever votes for both, or is told only of one, can be made to believe in a chain that others do not have.
//!
//! # Evidence
//! The log lines, from the first on.
//!
//! # When it stays quiet
//! While the host's own disk is dry. It closes when the node said nothing of the kind for a while.

use super::{
    detector::{Detector, Wants},
    disk_error::StorageWatch,
    finding::Severity,
    findings::Findings,
    world::World,
};
use crate::journal::{Entry, event::LogClass};

/// Watches every node.
pub struct Watch(StorageWatch);

impl Default for Watch {
    fn default() -> Self {
        Self(StorageWatch::new(
            "double-proposal",
            LogClass::DoubleProposal,
            Severity::Critical,
        ))
    }
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(entry, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::LOGS | Wants::PULSE
    }
}
