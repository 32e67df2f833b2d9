//! # What it reports
//! A node that refuses a leader's announcement. `major`.
//!
//! # Why it matters
//! A leader whose memory and disk disagree announces a number that nobody can follow.
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
    id: "invalid-announce",
    class: LogClass::InvalidAnnounce,
    severity: Severity::Major,
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
