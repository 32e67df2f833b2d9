//! # What it reports
//! A node that says that its file system turned read-only. `major`.
//!
//! # Why it matters
//! The kernel does so to save what is left. A node that does not notice goes on in memory only.
//!
//! # Evidence
//! The log lines, from the first on, or the samples that show the mount.
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
use crate::journal::{Entry, Event, event::LogClass};

const KIND: Kind = Kind {
    id: "disk-read-only",
    class: LogClass::DiskReadOnly,
    severity: Severity::Major,
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch(StorageWatch);

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log, Source::Resources]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        if let Event::Sample(sample) = &entry.event {
            if let Some(place) = world.touched_node.filter(|_| sample.read_only) {
                self.0
                    .sign(&KIND, place, "its mount is read-only", world, findings);
            }
        } else {
            self.0.step(&KIND, entry, world, findings);
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOGS | Wants::LOUD_SAMPLES | Wants::LOUD_PULSE
    }
}
