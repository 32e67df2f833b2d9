//! # What it reports
//! A node that stays in sync mode for longer than its window. `major`.
//!
//! # Why it matters
//! A node that fell behind and never comes back is one failure away from a shard that stops.
//!
//! # Evidence
//! The positions at which the mode was first and last seen; heights are in the summary.
//!
//! # When it stays quiet
//! While the node is down, frozen or silent, and while its disk is full: then it cannot store what it fetches, and
//! `disk-full` says so. It closes when the node leaves the mode.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::journal::{
    Entry, Event,
    event::{Mode, ProbeKind},
};

/// Watches every node at its positions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        match &entry.event {
            Event::Heads { nodes, .. } => {
                for head in nodes {
                    if let Some(place) = world.node(&head.node) {
                        self.look(place, world, findings);
                    }
                }
            }
            // A sign of life without a height: its mode is the one that it told last.
            Event::ProbeAnswered {
                node,
                probe: ProbeKind::Rpc,
                silent_for,
            } if silent_for.is_zero() => {
                if let Some(place) = world.node(node) {
                    self.look(place, world, findings);
                }
            }
            Event::Container { node, .. } => {
                if let Some(place) = world.node(node)
                    && !world.nodes[place].runs()
                    && let Some(handle) = self.open.take(place)
                {
                    findings.close(handle, world.now);
                }
            }
            _ => {}
        }
    }

    fn wants(&self) -> Wants {
        Wants::HEADS | Wants::CONTAINERS | Wants::PROBES
    }
}

impl Watch {
    fn look(&mut self, place: usize, world: &World, findings: &mut Findings) {
        let node = &world.nodes[place];
        let since = match node.mode {
            Some((Mode::Syncing, since)) => since,
            _ => {
                if let Some(handle) = self.open.take(place) {
                    findings.close(handle, world.now);
                }
                return;
            }
        };
        // Room that came back gives it the whole window to catch up.
        let since = since.max(node.disk.full_at);
        if self.open.get(place).is_some()
            || node.disk.full_since.is_some()
            || !world.judging_progress()
            || world.now.since(since) < world.thresholds.syncing
        {
            return;
        }
        let shard = &world.shards[node.shard];
        let own = node.height.unwrap_or_default();
        let best = shard.best.as_ref().map_or(own, |best| best.height);
        let summary = format!(
            "{} does not leave sync mode at height {own}, its shard is at {best}",
            node.name
        );
        let mut opening = Opening::new("stuck-syncing", Severity::Major, since, summary)
            .shard(shard.id)
            .node(&node.name)
            .resting_on(node.container_seq.filter(|_| node.starts > 1));
        opening.heights = Some((own, best));
        self.open.put(place, findings.open(opening));
    }
}
