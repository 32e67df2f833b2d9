//! # What it reports
//! A shard whose mean block interval over the window of rates is longer than asked for by the plan's factor. `major`.
//!
//! # Why it matters
//! A network that makes blocks, but slower and slower, passes every check for stalls until users notice.
//!
//! # Evidence
//! The block at which the mean passed the limit; the mean is in the summary.
//!
//! # When it stays quiet
//! Before the soak, until the window has filled, and for gaps that are stalls of their own: their time is left out of
//! the mean. It closes when the mean is back under the limit.

use super::{
    detector::{Detector, Slots},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::{journal::Entry, time::human};

/// Watches every shard at its blocks.
#[derive(Debug, Default)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        let Some(place) = world.touched_shard else {
            return;
        };
        let shard = &world.shards[place];
        if shard.new_block.is_none() || !world.judging_rates() {
            return;
        }
        let Some(sums) = shard.rates.full(world.now) else {
            return;
        };
        if sums.timed_blocks == 0 {
            return;
        }
        let mean = sums.block_time.div_f64(sums.timed_blocks as f64);
        let asked = world.clocks.block_interval;
        let limit = asked.mul_f64(world.thresholds.slow_blocks_factor);
        match self.open.get(place) {
            None if mean > limit => {
                let start = (world.now - world.thresholds.rate_window).max(shard.rates.from());
                let summary = format!(
                    "shard {} makes a block every {} on average, asked for {}",
                    shard.id,
                    human(mean),
                    human(asked)
                );
                let (nodes, causes) = world.troubles(shard);
                let mut opening = Opening::new("slow-blocks", Severity::Major, start, summary)
                    .shard(shard.id)
                    .after(causes);
                opening.nodes = nodes;
                opening.heights = shard.best.as_ref().map(|best| (best.height, best.height));
                self.open.put(place, findings.open(opening));
            }
            Some(handle) if mean <= limit => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            _ => {}
        }
    }
}
