//! # What it reports
//! Views that advance at one height while no block comes: the committee replaces its leader again and again, and none
//! of them gets a block through. `critical`.
//!
//! # Why it matters
//! It is how a consensus bug looks from outside: everybody is alive and busy, and nothing is decided.
//!
//! # Evidence
//! The last block and the positions that showed each further view. A view counts when two validators want it (one
//! node alone may claim anything).
//!
//! # When it stays quiet
//! While the validators that run are no quorum: then nobody can take over, and `stall` says so. It closes with a
//! block.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::{ids::Height, journal::Entry};

/// Watches every shard.
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
        if shard.new_block.is_some() {
            if let Some(handle) = self.open.take(place) {
                findings.close(handle, world.now);
            }
            return;
        }
        if self.open.get(place).is_some()
            || shard
                .views_at_height
                .saturating_sub(shard.views_without_quorum)
                < world.thresholds.view_change_loop.max(1)
            || !shard.has_quorum()
            || !world.judging_progress()
        {
            return;
        }
        let Some(best) = &shard.best else { return };
        let height = Height(best.height.0.saturating_add(1));
        let (nodes, causes) = world.troubles(shard);
        let summary = format!(
            "{} view changes at height {height} of shard {} and no block",
            shard.views_at_height, shard.id
        );
        let mut opening = Opening::new("view-change-loop", Severity::Critical, best.at, summary)
            .shard(shard.id)
            .resting_on([best.seq])
            .resting_on(shard.view_evidence.iter().copied())
            .after(causes);
        opening.nodes = nodes;
        opening.heights = Some((height, height));
        self.open.put(place, findings.open(opening));
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_BLOCKS | Wants::HEADS
    }
}
