//! # What it reports
//! A node whose ledger has executed fewer transactions than its shard had shown at the same height or a lower one: some
//! that were in a block are no longer. `critical`.
//!
//! # Why it matters
//! A transaction in a final block is a promise. A restart, a power cut or a heal that breaks it has undone a payment.
//!
//! # Evidence
//! Both ledgers, and the node's last start if it came in between.
//!
//! # When it stays quiet
//! For chains that do not tell. Nothing excuses it. It closes when the node has as many again.

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::{
    ids::{Height, Seq},
    journal::{Entry, Event},
};

/// The most that a shard has shown.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Shown {
    height: Height,
    transfers: u64,
    seq: Seq,
}

/// Watches every ledger.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    shown: Vec<Option<Shown>>,
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::Ledger(ledger) = &entry.event else {
            return;
        };
        let (Some(place), Some(transfers), Some(height)) =
            (world.touched_node, ledger.transfers, ledger.height)
        else {
            return;
        };
        let node = &world.nodes[place];
        self.shown.resize(world.shards.len(), None);
        let shown = self.shown[node.shard];
        let lost = shown.filter(|shown| height >= shown.height && transfers < shown.transfers);
        match (self.open.get(place), lost) {
            (None, Some(shown)) => {
                let restarted = node.starts > 1;
                let summary = format!(
                    "{} has executed {transfers} transactions at height {height}, its shard had {} at {}",
                    node.name, shown.transfers, shown.height
                );
                let mut opening = Opening::new("tx-lost", Severity::Critical, world.now, summary)
                    .shard(world.shards[node.shard].id)
                    .node(&node.name)
                    .resting_on([shown.seq])
                    .resting_on(node.container_seq.filter(|_| restarted))
                    .after(restarted.then(|| format!("{} was started again before", node.name)));
                opening.heights = Some((shown.height, height));
                self.open.put(place, findings.open(opening));
            }
            (Some(handle), Some(_)) => findings.cite(handle, entry.seq),
            (open, None) => {
                if let Some(handle) = open {
                    self.open.take(place);
                    findings.close(handle, world.now);
                }
                if shown.is_none_or(|shown| height >= shown.height) {
                    self.shown[node.shard] = Some(Shown {
                        height,
                        transfers,
                        seq: world.seq,
                    });
                }
            }
        }
    }

    fn wants(&self) -> Wants {
        Wants::LEDGERS
    }
}
