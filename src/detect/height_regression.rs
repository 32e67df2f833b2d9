//! # What it reports
//! A node whose head went back to a lower height than it had shown. `critical`.
//!
//! # Why it matters
//! A block that was final is gone: what was not on disk was acknowledged, or a branch was thrown away.
//!
//! # Evidence
//! The entry of the lower head, and the node's last start if it came before.
//!
//! # When it stays quiet
//! Never: a restart or a power cut does not excuse the loss of a final block. It closes when the node is past its old
//! height again.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    world::{Contradiction, World},
};
use crate::{ids::Height, journal::Entry};

/// Watches every node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// Node, the height it had, the finding.
    open: Vec<(usize, Height, Handle)>,
}

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        if let Some(Contradiction::Regression { node, from, to }) = &world.contradiction {
            self.report(*node, *from, *to, world, findings);
        } else if !self.open.is_empty() && world.touched_shard.is_some() {
            self.open.retain(|&(node, height, handle)| {
                let back = world.nodes[node].height.is_some_and(|now| now >= height);
                if back {
                    findings.close(handle, world.now);
                }
                !back
            });
        }
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_BLOCKS | Wants::HEADS
    }
}

impl Watch {
    fn report(
        &mut self,
        place: usize,
        from: Height,
        to: Height,
        world: &World,
        findings: &mut Findings,
    ) {
        if let Some(&(_, _, handle)) = self.open.iter().find(|&&(node, _, _)| node == place) {
            findings.cite(handle, world.seq);
            return;
        }
        let node = &world.nodes[place];
        let summary = format!("{} went back from height {from} to {to}", node.name);
        let restarted = node.starts > 1;
        let mut opening = Opening::new("height-regression", Severity::Critical, world.now, summary)
            .shard(world.shards[node.shard].id)
            .node(&node.name)
            .resting_on(node.container_seq.filter(|_| restarted))
            .after(restarted.then(|| format!("{} was started again before", node.name)));
        opening.heights = Some((to, from));
        let handle = findings.open(opening);
        self.open.push((place, from, handle));
    }
}
