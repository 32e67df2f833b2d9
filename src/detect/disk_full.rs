//! # What it reports
//! A node whose write failed for want of room, by its own word or because two looks in a row found not one free byte
//! on its data disk. `major`.
//!
//! # Why it matters
//! It is how the incident began. What a node does with a full disk is what this program is for.
//!
//! # Evidence
//! The log line of the first failed write (or the sample), and the ones after it.
//!
//! # When it stays quiet
//! While the host's own disk is dry: that is infra, never the node's doing. A disk that is merely nearly full is no
//! finding. It closes when the node says that a write succeeded, or when there has been room and no failure for a
//! while.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::journal::{Entry, Event, event::LogClass, text::clean};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Log, Source::Resources]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Some(place) = world.touched_node else {
            return;
        };
        if !matches!(entry.event, Event::Log { .. } | Event::Sample(_)) {
            return;
        }
        let node = &world.nodes[place];
        let full = node.disk.full_since.is_some();
        match (self.open.get(place), full) {
            (None, true) if !world.host_dry && world.judging() => {
                let said = said(entry);
                let summary = match &said {
                    Some(said) => format!("a write of {} failed: {said}", node.name),
                    None => format!("not one free byte on the data disk of {}", node.name),
                };
                let since = node.disk.full_since.unwrap_or(world.now);
                let opening = Opening::new("disk-full", Severity::Major, since, summary)
                    .shard(world.shards[node.shard].id)
                    .node(&node.name)
                    .after((node.disk.used > 0).then(|| {
                        format!(
                            "{} bytes used, {} free at the last look",
                            node.disk.used, node.disk.free
                        )
                    }));
                self.open.put(place, findings.open(opening));
            }
            (Some(handle), true) if said(entry).is_some() => findings.cite(handle, entry.seq),
            (Some(handle), false) => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_SAMPLES | Wants::LOGS
    }
}

/// What the node said of its failed write.
fn said(entry: &Entry) -> Option<String> {
    match &entry.event {
        Event::Log {
            class: LogClass::DiskFull,
            message,
            error,
            ..
        } => Some(clean(error.as_ref().unwrap_or(message), 160)),
        _ => None,
    }
}
