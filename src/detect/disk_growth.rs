//! # What it reports
//! A node's data disk that fills faster than the profile says it should, and would be full within the plan's horizon of
//! mainnet time. `major`. Expected is no growth at all, or `disk.bytes_per_block` where the chain prunes nothing.
//!
//! # Why it matters
//! It is the slow half of the incident: what nobody removes fills every disk in the end.
//!
//! # Evidence
//! Samples from along the growth, its slope per block and mainnet day with its interval, the earliest time at which
//! the disk is full, and when the pace last changed.
//!
//! # When it stays quiet
//! In the warm-up; while the chain fills what it keeps, unless the disk would be full before; for compactions and
//! rotations, which take back what they took; while a fault is in force on the node or its shard and until it has
//! recovered. It closes when the growth ends.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    findings::Findings,
    growth::{Growth, Kind, Limit},
    outlook::Unit,
    world::{Series, World},
};
use crate::{journal::Entry, plan::values::human_size};

const KIND: Kind = Kind {
    id: "disk-growth",
    series: Series::Disk,
    name: "the data disk",
    // A block of the file system.
    quantum: 4096.0,
    noise: 1.0,
    expected: |world| match world.trends.capacity {
        capacity if capacity.kept_from.is_some() => 0.0,
        capacity => capacity.bytes_per_block.unwrap_or(0) as f64,
    },
    limit: |world, node, _| {
        let size = world.nodes[node].disk.size();
        (size > 0).then(|| Limit {
            value: size as f64,
            what: format!("its size of {}", human_size(size)),
        })
    },
    unit: Unit::Bytes,
};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch(Growth);

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        self.0.step(&KIND, world, findings);
    }

    fn wants(&self) -> Wants {
        Wants::TREND
    }
}
