//! # What it reports
//! A transaction of a node's load generator that no block has for the whole window, although the shard makes blocks all
//! the time. `major`.
//!
//! # Why it matters
//! A chain that goes on and takes nobody's transactions is up for its operators and down for its users.
//!
//! # Evidence
//! The figures that showed it.
//!
//! # When it stays quiet
//! While the shard makes no blocks, and for as long after it; for nodes whose metrics do not tell. It closes when the
//! oldest transaction is young again.

use std::time::Duration;

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
    time::{Elapsed, human},
};

/// Watches every node's figures, and the pace of every shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// Since when each shard has made blocks without a longer break.
    steady: Vec<Elapsed>,
    open: Slots,
}

impl Detector for Watch {
    fn needs(&self) -> &'static [Source] {
        &[Source::Chain, Source::Metrics]
    }

    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            Event::Block { .. } => {
                let Some(place) = world.touched_shard else {
                    return;
                };
                let Some(new) = world.shards[place].new_block else {
                    return;
                };
                // A break that nobody saw through is one.
                let steady = new
                    .interval
                    .is_some_and(|interval| interval < world.thresholds.stall_suspected);
                if !steady {
                    self.steady.resize(world.shards.len(), Elapsed::default());
                    self.steady[place] = world.now;
                }
            }
            Event::Figures(figures) => {
                if let (Some(place), Some(oldest)) = (world.touched_node, figures.oldest) {
                    self.look(place, Duration::from_micros(oldest), world, findings);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::BLOCKS | Wants::FIGURES
    }
}

impl Watch {
    fn look(&mut self, place: usize, oldest: Duration, world: &World, findings: &mut Findings) {
        let node = &world.nodes[place];
        let shard = &world.shards[node.shard];
        let steady = self.steady.get(node.shard).copied().unwrap_or_default();
        let waited = oldest.min(world.now.since(steady.max(shard.from)));
        let window = world.told.tx_not_included;
        match self.open.get(place) {
            Some(handle) if oldest < window => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            None if waited >= window && world.makes_blocks(shard) && world.judging_progress() => {
                let summary = format!(
                    "a transaction of {} is in no block of shard {} after {}",
                    node.name,
                    shard.id,
                    human(oldest)
                );
                let start = world.now - oldest;
                let mut opening = Opening::new("tx-not-included", Severity::Major, start, summary)
                    .shard(shard.id)
                    .node(&node.name)
                    .after(node.trouble(world.now, world.thresholds.hung));
                opening.heights = shard.best.as_ref().map(|best| (best.height, best.height));
                self.open.put(place, findings.open(opening));
            }
            _ => {}
        }
    }
}
