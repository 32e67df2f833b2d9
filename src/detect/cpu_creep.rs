//! # What it reports
//! A node that needs more and more CPU time for a block: at that pace the plan's factor of what it needed at first
//! (double) within the horizon of mainnet time. `major`.
//!
//! # Why it matters
//! Work that grows with the chain's length ends in blocks that take longer than their interval, on mainnet first of all.
//!
//! # Evidence
//! Samples from along the growth, its slope per block and mainnet day with its interval, and when the level last changed.
//!
//! # When it stays quiet
//! In the warm-up and after each start of the node; for what the machine makes dearer, which watching shows too; below
//! a rise that the noise of a shared machine makes by itself; for a level that changed once; while a fault is in force
//! on the shard and until it has recovered. It closes when the growth ends or the node starts anew.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    findings::Findings,
    growth::{Growth, Kind, Limit},
    outlook::Unit,
    world::{Series, World},
};
use crate::journal::Entry;

const KIND: Kind = Kind {
    id: "cpu-creep",
    series: Series::Cpu,
    name: "CPU time for a block",
    // The kernel's own accounting is no finer where it samples.
    quantum: 1.0,
    // Neighbours on the machine change what a block costs by a third, in caches and clock rates; what watching costs
    // tells most of it, not all.
    noise: 8.0,
    expected: |_| 0.0,
    limit: |world, _, start| {
        let factor = world.thresholds.trends.creep_factor;
        Some(Limit {
            value: start * factor,
            what: format!("{factor} times what it was"),
        })
    },
    unit: Unit::Micros,
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
