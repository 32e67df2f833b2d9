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

use super::{
    detector::{Detector, Wants},
    disk_error::StorageWatch,
    finding::Severity,
    findings::Findings,
    judgement::Source,
    world::World,
};
use crate::journal::{Entry, Event, event::LogClass};

/// Watches every node.
pub struct Watch(StorageWatch);

impl Default for Watch {
    fn default() -> Self {
        Self(StorageWatch::new(
            "disk-read-only",
            LogClass::DiskReadOnly,
            Severity::Major,
        ))
    }
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log, Source::Resources]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        if let Event::Sample(sample) = &entry.event {
            if let Some(place) = world.touched_node.filter(|_| sample.read_only) {
                self.0
                    .sign(place, "its mount is read-only", world, findings);
            }
        } else {
            self.0.step(entry, world, findings);
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOGS | Wants::SAMPLES | Wants::PULSE
    }
}
