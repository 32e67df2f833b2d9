//! # What it reports
//! Two blocks with different hashes at one height of a shard. `critical`, and never over: a fork does not heal.
//!
//! # Why it matters
//! Two truths. Whoever was paid on one branch was not on the other.
//!
//! # Evidence
//! The entry of the contradicting head or block; both hashes are in the summary.
//!
//! # When it stays quiet
//! Never: safety is owed under every fault. One finding per shard and height names all nodes seen on another branch.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Wants},
    finding::Severity,
    findings::{Findings, Handle, Opening},
    world::{Contradiction, World},
};
use crate::{
    ids::{Height, ShardId},
    journal::{Entry, text::clean},
};

/// Watches every shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// The last findings, so that further nodes at the same height are added and not reported anew.
    last: Vec<(ShardId, Height, Handle)>,
}

impl Detector for Watch {
    fn step(&mut self, _: &Entry, world: &World, findings: &mut Findings) {
        let Some(Contradiction::Fork {
            shard,
            height,
            known,
            other,
            node,
        }) = &world.contradiction
        else {
            return;
        };
        let shard = &world.shards[*shard];
        let same = |entry: &&(ShardId, Height, Handle)| entry.0 == shard.id && entry.1 == *height;
        if let Some(&(_, _, handle)) = self.last.iter().find(same) {
            findings.name_node(handle, node);
            findings.cite(handle, world.seq);
            return;
        }
        let known = known
            .as_deref()
            .map_or_else(|| "another".to_owned(), |hash| clean(hash, 16));
        let summary = format!(
            "shard {} has two blocks at height {height}: {known} and {} on {node}",
            shard.id,
            clean(other, 16)
        );
        let mut opening = Opening::new("fork", Severity::Critical, world.now, summary)
            .shard(shard.id)
            .node(node);
        opening.heights = Some((*height, *height));
        let handle = findings.open(opening);
        if self.last.len() == 64 {
            self.last.remove(0);
        }
        self.last.push((shard.id, *height, handle));
    }

    fn wants(&self) -> Wants {
        Wants::LOUD_BLOCKS
    }
}
