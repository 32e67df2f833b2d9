//! # What it reports
//! A shard in which too large a share of the blocks of the window of rates needed a view change. `major`.
//!
//! # Why it matters
//! Each view change is a leader that failed. Many of them are a network that lives on its reserve.
//!
//! # Evidence
//! The block at which the share passed the limit; share and number are in the summary.
//!
//! # When it stays quiet
//! Before the soak and until the window has filled; below the least number of view changes, so that the turn of one
//! dead leader is no storm. It closes when the share is back under the limit.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::journal::Entry;

/// Watches every shard at its blocks.
#[derive(Debug, Default, Serialize, Deserialize)]
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
        let share = sums.view_changes as f64 / sums.blocks.max(1) as f64;
        let storm = share > world.thresholds.view_change_storm_share
            && sums.view_changes >= world.thresholds.view_change_storm_least;
        match self.open.get(place) {
            None if storm => {
                let start = (world.now - world.thresholds.rate_window).max(shard.rates.from());
                let summary = format!(
                    "{} of {} blocks of shard {} needed a view change",
                    sums.view_changes, sums.blocks, shard.id
                );
                let (nodes, causes) = world.troubles(shard);
                let mut opening =
                    Opening::new("view-change-storm", Severity::Major, start, summary)
                        .shard(shard.id)
                        .after(causes);
                opening.nodes = nodes;
                opening.heights = shard.best.as_ref().map(|best| (best.height, best.height));
                self.open.put(place, findings.open(opening));
            }
            Some(handle) if !storm => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::CHAIN
    }
}
