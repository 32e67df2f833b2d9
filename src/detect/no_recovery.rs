//! # What it reports
//! A shard that makes no block within the recovery budget after a fault on it was healed. `critical`, never excused.
//!
//! # Why it matters
//! It is the incident: what was wrong was gone, and the shards stood still all the same.
//!
//! # Evidence
//! The last block, the last answer, and what is wrong with the nodes.
//!
//! # When it stays quiet
//! While another fault takes the quorum away, and while the canary does not see the shard. It closes with a block.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants, shards_at},
    finding::Severity,
    findings::{Findings, Opening},
    stall::trouble_evidence,
    world::World,
};
use crate::{ids::Height, journal::Entry, time::human};

/// Watches every shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        for place in shards_at(world) {
            let shard = &world.shards[place];
            if shard.new_block.is_some() {
                if let Some(handle) = self.open.take(place) {
                    findings.close(handle, world.now);
                }
                continue;
            }
            if self.open.get(place).is_some() || !world.judging_progress() {
                continue;
            }
            let Some((healed, fault)) = world.expectation.healed(shard.id, world.now) else {
                continue;
            };
            let budget = world.thresholds.recovery + world.unwritten();
            let Some(best) = &shard.best else { continue };
            // Counted from the heal, without the time that nothing was seen.
            let gap = shard.seen_gap(world.now).unwrap_or_default();
            let late = best.at < healed && world.now.since(healed) > budget && gap > budget;
            if !late || !world.sees_no_block(shard) {
                continue;
            }
            let waiting = Height(best.height.0.saturating_add(1));
            let summary = format!(
                "shard {} makes no block {} after {} was healed, waiting for height {waiting}",
                shard.id,
                human(world.now.since(healed)),
                fault.id
            );
            let (nodes, causes) = world.troubles(shard);
            let mut opening = Opening::new("no-recovery", Severity::Critical, healed, summary)
                .shard(shard.id)
                .resting_on([best.seq])
                .resting_on(shard.answered_seq)
                .resting_on(shard.view_evidence.iter().copied())
                .resting_on(trouble_evidence(shard, world))
                .after([format!("{} ({}) was healed", fault.id, fault.kind)])
                .after(causes);
            opening.nodes = nodes;
            opening.heights = Some((waiting, waiting));
            self.open.put(place, findings.open(opening));
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_BLOCKS | Wants::HEADS | Wants::PULSE
    }
}
