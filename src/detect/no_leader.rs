//! # What it reports
//! A shard in which no validator takes itself for the leader for the whole window while no block comes. `critical`.
//!
//! # Why it matters
//! Nobody proposes, so nothing can ever be agreed on, although everybody answers.
//!
//! # Evidence
//! The last block and the last positions of the nodes.
//!
//! # When it stays quiet
//! While the validators that run are no quorum (nobody can be elected; `stall` says so), while the canary does not see
//! the shard, and where the chain does not tell who leads. It closes with a leader or a block.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants, shards_at},
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
        for place in shards_at(world) {
            let shard = &world.shards[place];
            let Some(since) = shard.leaderless_since else {
                if let Some(handle) = self.open.take(place) {
                    findings.close(handle, world.now);
                }
                continue;
            };
            if self.open.get(place).is_some()
                || !world.judging_progress()
                || !shard.has_quorum()
                || !world.sees_no_block(shard)
            {
                continue;
            }
            let Some(best) = &shard.best else { continue };
            let start = since
                .max(shard.gap_start().unwrap_or(since))
                .max(shard.quorum_since.unwrap_or(since));
            let waited = world.now.since(start).saturating_sub(shard.unseen);
            if waited < world.thresholds.no_leader + world.unwritten() {
                continue;
            }
            let height = Height(best.height.0.saturating_add(1));
            let (nodes, causes) = world.troubles(shard);
            let summary = format!("no node of shard {} leads at height {height}", shard.id);
            let mut opening = Opening::new("no-leader", Severity::Critical, start, summary)
                .shard(shard.id)
                .resting_on([best.seq])
                .resting_on(shard.answered_seq)
                .after(causes);
            opening.nodes = nodes;
            opening.heights = Some((height, height));
            self.open.put(place, findings.open(opening));
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_BLOCKS | Wants::HEADS | Wants::PULSE
    }
}
