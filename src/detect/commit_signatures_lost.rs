//! # What it reports
//! A node that has lost the last commit signatures, `critical`: as a leader it cannot propose.
//!
//! # Why it matters
//! In the incident the last commit signatures were only in memory; a restarted leader had nothing to propose on.
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
    judgement::Source,
    world::World,
};
use crate::journal::{Entry, event::LogClass};

const KIND: Kind = Kind {
    id: "commit-signatures-lost",
    class: LogClass::CommitSignaturesLost,
    severity: Severity::Critical,
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch(StorageWatch);

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(&KIND, entry, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::LOGS | Wants::LOUD_PULSE
    }
}
