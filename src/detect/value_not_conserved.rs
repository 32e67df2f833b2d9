//! # What it reports
//! Value that appeared or vanished: a shard whose balances do not follow from its rewards and from what it sent and
//! received, or two shards that disagree on what the same receipts between them are worth. `critical`.
//!
//! # Why it matters
//! Money is the one thing that a chain may not lose or make, whatever else it does.
//!
//! # Evidence
//! The ledgers that do not add up.
//!
//! # When it stays quiet
//! For chains that do not tell. Nothing excuses it. Receipts in flight are no loss: what left one shard is counted there
//! as sent until the other has it. It closes when the sums are right again.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    detector::{Detector, Slots, Wants},
    finding::Severity,
    findings::{Findings, Opening},
    world::World,
};
use crate::{
    ids::{Seq, ShardId},
    journal::{Entry, Event, event::Ledger},
};

/// Counts of batches of which the value is remembered, per pair of shards. A destination is some blocks behind.
const REMEMBERED: usize = 64;
/// Pairs of shards that are watched; no network has more.
const MOST_PAIRS: usize = 64 * 64;

/// What a source said its first so many batches were worth.
type Worth = VecDeque<(u64, u64, Seq)>;

/// Watches every ledger.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// What is left of each shard when all that moves is taken out: the same for ever.
    constants: Vec<Option<(u64, Seq)>>,
    worth: BTreeMap<(ShardId, ShardId), Worth>,
    open: Slots,
}

impl Detector for Watch {
    fn step(&mut self, entry: &Entry, world: &World, findings: &mut Findings) {
        let Event::Ledger(ledger) = &entry.event else {
            return;
        };
        let Some(place) = world.touched_node else {
            return;
        };
        let node = &world.nodes[place];
        let own = world.shards[node.shard].id;
        self.constants.resize(world.shards.len(), None);
        let wrong = self
            .sums(node.shard, ledger, world.seq)
            .or_else(|| self.receipts(own, ledger));
        match (self.open.get(place), wrong) {
            (None, Some((what, seq))) => {
                let summary = format!("{what}, by the ledger of {}", node.name);
                let mut opening = Opening::new(
                    "value-not-conserved",
                    Severity::Critical,
                    world.now,
                    summary,
                )
                .shard(own)
                .node(&node.name)
                .resting_on([seq]);
                opening.heights = ledger.height.map(|height| (height, height));
                self.open.put(place, findings.open(opening));
            }
            (Some(handle), Some(_)) => findings.cite(handle, entry.seq),
            (Some(handle), None) => {
                self.open.take(place);
                findings.close(handle, world.now);
            }
            (None, None) => {}
        }
        for (to, batches, value) in &ledger.sent {
            self.remember((own, *to), *batches, *value, world.seq);
        }
    }

    fn wants(&self) -> Wants {
        Wants::LEDGERS
    }
}

impl Watch {
    /// Balances, less rewards, plus what was sent, less what was received: what the shard began with.
    fn sums(&mut self, shard: usize, ledger: &Ledger, seq: Seq) -> Option<(String, Seq)> {
        let (balance, rewards) = (ledger.balance?, ledger.rewards?);
        let sum = |list: &[(ShardId, u64, u64)]| {
            list.iter()
                .fold(0_u64, |sum, (_, _, value)| sum.wrapping_add(*value))
        };
        let constant = balance
            .wrapping_sub(rewards)
            .wrapping_add(sum(&ledger.sent))
            .wrapping_sub(sum(&ledger.received));
        let (known, first) = *self.constants[shard].get_or_insert((constant, seq));
        if known == constant {
            return None;
        }
        let more = constant.wrapping_sub(known) as i64;
        let what = if more > 0 {
            format!("{more} too much in the shard")
        } else {
            format!("{} missing in the shard", more.unsigned_abs())
        };
        Some((what, first))
    }

    /// What was received is worth what was sent.
    fn receipts(&self, own: ShardId, ledger: &Ledger) -> Option<(String, Seq)> {
        ledger.received.iter().find_map(|(from, batches, value)| {
            let worth = self.worth.get(&(*from, own))?;
            let (_, sent, seq) = worth.iter().find(|(count, ..)| count == batches)?;
            (sent != value).then(|| {
                let what = format!(
                    "{batches} batches of receipts of shard {from} were worth {sent} when sent and {value} when received"
                );
                (what, *seq)
            })
        })
    }

    fn remember(&mut self, pair: (ShardId, ShardId), batches: u64, value: u64, seq: Seq) {
        if self.worth.len() >= MOST_PAIRS && !self.worth.contains_key(&pair) {
            return;
        }
        let worth = self.worth.entry(pair).or_default();
        if worth.iter().any(|(count, ..)| *count == batches) {
            return;
        }
        if worth.len() == REMEMBERED {
            worth.pop_front();
        }
        worth.push_back((batches, value, seq));
    }
}
