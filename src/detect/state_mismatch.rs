//! # What it reports
//! A node that holds another state than its own block says, or than another node showed after the same block.
//! `critical`.
//!
//! # Why it matters
//! The same chain with two states is a fork that nobody sees: what one node pays out the next one refuses.
//!
//! # Evidence
//! The ledgers that disagree.
//!
//! # When it stays quiet
//! For chains that do not tell their state. Nothing excuses it: a fault may take a node away, never make it lie.
//! It closes when the node's next ledger agrees.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::{
    ids::{Height, NodeName, Seq},
    journal::{Entry, Event},
};

/// Heights of a shard whose state is remembered: ledgers come every two seconds, and nodes that take part are not
/// further apart than some seconds.
const REMEMBERED: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
struct Known {
    height: Height,
    state: Arc<str>,
    node: NodeName,
    seq: Seq,
}

/// Watches every ledger.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    known: Vec<VecDeque<Known>>,
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::Ledger(ledger) = &entry.event else {
            return;
        };
        let (Some(place), Some(state), Some(height)) =
            (world.touched_node, &ledger.state, ledger.height)
        else {
            return;
        };
        let shard = world.nodes[place].shard;
        if self.known.len() <= shard {
            self.known.resize_with(world.shards.len(), VecDeque::new);
        }
        let node = &world.nodes[place];
        let ring = &mut self.known[shard];
        let other = ring
            .iter()
            .find(|known| known.height == height && known.state != *state);
        let contradicts_itself = ledger
            .block_state
            .as_ref()
            .is_some_and(|claimed| claimed != state);
        let what = match (&other, contradicts_itself) {
            (_, true) => Some(format!(
                "{} holds another state than its own block {height} says",
                node.name
            )),
            (Some(other), false) => Some(format!(
                "{} and {} hold different states after block {height}",
                node.name, other.node
            )),
            (None, false) => None,
        };
        match (self.open.get(place), what) {
            (None, Some(summary)) => {
                let mut opening =
                    Opening::new("state-mismatch", Severity::Critical, world.now, summary)
                        .shard(world.shards[shard].id)
                        .node(&node.name)
                        .resting_on(other.map(|other| other.seq));
                opening.nodes.extend(
                    other
                        .map(|other| other.node.clone())
                        .filter(|other| *other != node.name),
                );
                opening.heights = Some((height, height));
                self.open.put(place, findings.open(opening));
            }
            (Some(handle), Some(_)) => findings.cite(handle, entry.seq),
            (Some(handle), None) => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            (None, None) => {}
        }
        if other.is_none() && !contradicts_itself {
            if ring.len() == REMEMBERED {
                ring.pop_front();
            }
            ring.push_back(Known {
                height,
                state: Arc::clone(state),
                node: node.name.clone(),
                seq: world.seq,
            });
        }
    }

    fn wants(&self) -> Wants {
        Wants::LEDGERS
    }
}
