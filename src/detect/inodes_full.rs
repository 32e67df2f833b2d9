//! # What it reports
//! A data disk on which no file can be made: two samples in a row without a free inode. `major`.
//!
//! # Why it matters
//! Writes fail as on a full disk while `df` shows room, and what nodes log about it misleads.
//!
//! # Evidence
//! The samples.
//!
//! # When it stays quiet
//! On file systems that count no inodes. It closes when there is one again.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    judgement::Source,
    world::World,
};
use crate::{
    journal::{Entry, Event},
    time::Elapsed,
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
    first: Vec<Option<Elapsed>>,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Resources]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let (Event::Sample(sample), Some(place)) = (&entry.event, world.touched_node) else {
            return;
        };
        self.first.resize(world.nodes.len(), None);
        if sample.inodes == 0 || sample.inodes_free > 0 {
            self.first[place] = None;
            if let Some(handle) = self.open.take(place) {
                findings.close(handle, world.now);
            }
            return;
        }
        let Some(since) = self.first[place] else {
            self.first[place] = Some(world.now);
            return;
        };
        if self.open.get(place).is_none() && world.judging() {
            let node = &world.nodes[place];
            let summary = format!("not one free inode on the data disk of {}", node.name);
            let opening = Opening::new("inodes-full", Severity::Major, since, summary)
                .shard(world.shards[node.shard].id)
                .node(&node.name);
            self.open.put(place, findings.open(opening));
        }
    }

    fn wants(&self) -> Wants {
        Wants::SAMPLES
    }
}
