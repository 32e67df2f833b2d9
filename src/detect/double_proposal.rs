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
//! Never while the network is judged. It closes when the node said nothing of the kind for a while.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    disk_error::{Kind, StorageWatch},
    finding::Severity,
    findings::Findings,
    world::World,
};
use crate::journal::{Entry, event::LogClass};

const KIND: Kind = Kind {
    id: "double-proposal",
    class: LogClass::DoubleProposal,
    severity: Severity::Critical,
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch(StorageWatch);

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(&KIND, entry, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::LOGS | Wants::LOUD_PULSE
    }
}
