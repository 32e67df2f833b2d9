//! # What it reports
//! A node that finds its own data damaged. `critical`.
//!
//! # Why it matters
//! What it serves from there on may be anything, and what it acknowledged may be gone.
//!
//! # Evidence
//! The log lines, from the first on.
//!
//! # When it stays quiet
//! While the host's own disk is dry. It closes when the node said nothing of the kind for a while.

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
    id: "db-corruption",
    class: LogClass::Corruption,
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
