//! # What it reports
//! A shard whose containers all run and that has made no first block within its window. `critical`.
//!
//! # Why it matters
//! A network that does not start makes every other detector silent: nothing to compare with is not health.
//!
//! # Evidence
//! The start of the last container, the last answer of a node that shows no block, what is wrong with the nodes.
//!
//! # When it stays quiet
//! Until a quorum of the shard's validators has been started, and while no node of it answers (`blind`, `hung`).
//! It closes with the first block.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants, shards_at},
    finding::Severity,
    findings::{Findings, Opening},
    stall::trouble_evidence,
    world::World,
};
use crate::journal::Entry;

/// Watches every shard until its first block.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        for place in shards_at(world) {
            let shard = &world.shards[place];
            if shard.best.is_some() {
                if let Some(handle) = self.open.take(place) {
                    findings.close(handle, world.now);
                }
                continue;
            }
            if self.open.get(place).is_some() || !world.judging() || shard.unseen_since.is_some() {
                continue;
            }
            let started: Vec<_> = shard
                .nodes
                .iter()
                .filter_map(|&node| Some((node, world.nodes[node].first_start?)))
                .collect();
            let power: u64 = started
                .iter()
                .map(|&(node, _)| world.nodes[node].power)
                .sum();
            let quorum = shard.quorum.is_met(shard.total_power, power);
            let Some(since) = started.iter().map(|&(_, at)| at).max().filter(|_| quorum) else {
                continue;
            };
            // A gap of the canary moves the window's start, as it does for every window.
            let waited: Duration = world
                .now
                .since(since.max(shard.from))
                .saturating_sub(shard.unseen);
            if waited < world.thresholds.never_started {
                continue;
            }
            let (nodes, causes) = world.troubles(shard);
            let summary = format!(
                "shard {} has made no block since its last container started",
                shard.id
            );
            let mut opening = Opening::new("never-started", Severity::Critical, since, summary)
                .shard(shard.id)
                .resting_on(shard.answered_seq)
                .resting_on(trouble_evidence(shard, world))
                .after(causes);
            opening.nodes = nodes;
            self.open.put(place, findings.open(opening));
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_BLOCKS | Wants::HEADS | Wants::PULSE
    }
}
