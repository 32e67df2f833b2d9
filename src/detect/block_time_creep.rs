//! # What it reports
//! A shard whose blocks take longer and longer: at that pace the factor of `slow-blocks` within the horizon of mainnet
//! time. `major`.
//!
//! # Why it matters
//! `slow-blocks` says that users wait; this says so while there is time to find out why.
//!
//! # Evidence
//! Blocks from along the growth, its slope per block and mainnet day with its interval, and when the level last changed.
//!
//! # When it stays quiet
//! In the warm-up; for blocks that needed a view change and for gaps that are findings of their own; for a level that
//! changed once; while a fault is in force on the shard and until it has recovered. It closes when the growth ends.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    findings::Findings,
    growth::{Growth, Kind, Limit},
    outlook::Unit,
    world::{Series, World},
};
use crate::{journal::Entry, time::human};

const KIND: Kind = Kind {
    id: "block-time-creep",
    series: Series::BlockTime,
    name: "the block interval",
    // Blocks tell their time in milliseconds.
    quantum: 1000.0,
    noise: 1.0,
    expected: |_| 0.0,
    limit: |world, _, _| {
        let asked = world.clocks.block_interval;
        let slow = asked.mul_f64(world.thresholds.slow_blocks_factor);
        Some(Limit {
            value: slow.as_secs_f64() * 1e6,
            what: format!("a mean of {}, which is slow,", human(slow)),
        })
    },
    unit: Unit::Micros,
};

/// Watches every shard.
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
