//! Receipts and final headers between shards: what this node holds for the next block, and what it passes on.
//!
//! ```text
//!   source shard                                       destination shard
//!   block with a batch --push (leader and one more)--> pool --> block that executes it
//!   pool <-- final header of that block (acknowledges) <-- push (leader and one more)
//!     '--> next block drops the batch from its outbox          beacon gets headers of all
//! ```
//!
//! A batch that is not acknowledged after some blocks is pushed again, by one validator after the other, until it
//! is; who gets a batch that was executed long ago answers with its newest final header. So every step may be lost
//! any number of times. Everything from outside is checked (one pairing, remembered) before it is kept or passed on.

use std::collections::BTreeMap;

use super::gossip::Gossip;
use crate::reference_node::chain::{CROSSLINK_INTERVAL, ChainState, Rules};
use crate::reference_node::consensus::CommittedBlock;
use crate::reference_node::crypto::Bls;
use crate::reference_node::genesis::Genesis;
use crate::reference_node::types::{
    Block, CrossLink, Header, NodeId, ReceiptBatch, ShardId, encode,
};

/// Batches kept of one source: a stalled destination needs no more at once, its sources push the rest later.
const BATCHES_PER_SOURCE: usize = 64;
/// Bytes of batches kept of all sources.
const BATCH_BYTES: usize = 1_024 * 1_024;
/// Blocks after which a batch that is not acknowledged is pushed again: in health it takes three.
const OVERDUE: u64 = 8;
/// Batches pushed again to one destination at a time.
const REPEATED: usize = 4;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receivers {
    /// All nodes of this shard that this node has a link with.
    Shard(ShardId),
    /// One node.
    Node(NodeId),
}

/// Messages to send.
pub(super) type Posts = Vec<(Receivers, Gossip)>;

/// The relay of one validator. Explorers have none.
pub(super) struct Relay {
    node: NodeId,
    validators: u16,
    batches: BTreeMap<(ShardId, u64), ReceiptBatch>,
    bytes: usize,
    links: BTreeMap<ShardId, CrossLink>,
    /// The newest own final header.
    own: Option<CrossLink>,
    tick: u64,
    /// Receipts of this shard are pushed to nobody (`cross-shard-leak`).
    pub(super) leaks: bool,
    /// Batches and headers from outside that were wrong.
    pub(super) refused: u64,
    /// Batches pushed again.
    pub(super) repeated: u64,
}

impl Relay {
    pub(super) fn new(node: NodeId, validators: u16, head: &CommittedBlock) -> Self {
        Self {
            node,
            validators,
            batches: BTreeMap::new(),
            bytes: 0,
            links: BTreeMap::new(),
            own: crosslink(head),
            tick: 0,
            leaks: false,
            refused: 0,
            repeated: 0,
        }
    }

    /// What the next block may carry from other shards: batches without a gap, one source after the other, and
    /// the newest header of each shard that the state wants.
    pub(super) fn payload(
        &self,
        state: &ChainState,
        shards: u16,
    ) -> (Vec<ReceiptBatch>, Vec<CrossLink>) {
        let mut incoming = Vec::new();
        // The source that goes first changes from block to block, so that none is served last for ever.
        let first = self
            .own
            .as_ref()
            .map_or(0, |own| own.header.height % u64::from(shards.max(1)));
        for turn in 0..shards {
            let source = ShardId(((first + u64::from(turn)) % u64::from(shards)) as u16);
            let expected = state.expected_from(source);
            let held = self.batches.range((source, expected)..=(source, u64::MAX));
            let run = held
                .zip(expected..)
                .take_while(|(((_, sequence), _), wanted)| sequence == wanted);
            incoming.extend(run.map(|((_, batch), _)| batch.clone()));
        }
        incoming.truncate(Block::MAX_INCOMING);
        let links = self
            .links
            .values()
            .filter(|link| state.wants_crosslink(&link.header));
        (
            incoming,
            links.take(Block::MAX_CROSSLINKS).cloned().collect(),
        )
    }

    /// After a block: drops what it executed, and pushes its receipts and its header where they are awaited.
    pub(super) fn committed(
        &mut self,
        committed: &CommittedBlock,
        state: &ChainState,
        push: bool,
    ) -> Posts {
        self.forget_executed(state);
        let Some(link) = crosslink(committed) else {
            return Vec::new();
        };
        let before = self.own.replace(link.clone()).map(|before| before.header);
        if !push || !self.speaks_for(&link.header) {
            return Vec::new();
        }
        let mut posts: Posts = state
            .fresh_batches(&link.header, &link.certificate)
            .into_iter()
            .filter(|_| !self.leaks)
            .map(|batch| {
                (
                    Receivers::Shard(batch.destination),
                    Gossip::Batch(Box::new(batch)),
                )
            })
            .collect();
        for shard in awaiting(&link.header, before.as_ref()) {
            posts.push((
                Receivers::Shard(shard),
                Gossip::CrossLink(Box::new(link.clone())),
            ));
        }
        posts
    }

    /// The head was replaced: nothing is pushed, the regular repetition does it.
    pub(super) fn state_replaced(&mut self, head: &CommittedBlock, state: &ChainState) {
        self.own = crosslink(head);
        self.forget_executed(state);
    }

    /// From time to time: pushes again what is not acknowledged for long. The validators take turns.
    pub(super) fn repeat(&mut self, state: &ChainState) -> Posts {
        self.tick += 1;
        let Some(head) = self.own.as_ref().map(|own| own.header.height) else {
            return Vec::new();
        };
        if self.leaks || self.tick % u64::from(self.validators) != u64::from(self.node.index) {
            return Vec::new();
        }
        let mut posts = Vec::new();
        for destination in state.unacknowledged() {
            let overdue = state
                .outbox(destination)
                .take_while(|batch| batch.header.height + OVERDUE <= head);
            for batch in overdue.take(REPEATED) {
                posts.push((
                    Receivers::Shard(destination),
                    Gossip::Batch(Box::new(batch)),
                ));
            }
        }
        self.repeated += posts.len() as u64;
        posts
    }

    /// A batch came. Kept if it is wanted and right; passed on in the shard if it came from outside.
    pub(super) fn batch(
        &mut self,
        from: NodeId,
        batch: ReceiptBatch,
        state: &ChainState,
        (genesis, crypto): (&Genesis, &Bls),
    ) -> Posts {
        let Some(sequence) = batch.sequence() else {
            self.refused += 1;
            return Vec::new();
        };
        if !state.wants_batch(&batch) {
            return self.answer_executed(from, &batch, sequence, state);
        }
        let key = (batch.source(), sequence);
        if self.batches.contains_key(&key) {
            return Vec::new();
        }
        if (Rules { genesis, crypto }).check_batch(&batch).is_err() {
            self.refused += 1;
            return Vec::new();
        }
        let gossip = Gossip::Batch(Box::new(batch.clone()));
        if !self.keep(key, batch) {
            return Vec::new();
        }
        self.pass_on(from, gossip)
    }

    /// A final header of another shard came.
    pub(super) fn crosslink(
        &mut self,
        from: NodeId,
        link: CrossLink,
        state: &ChainState,
        (genesis, crypto): (&Genesis, &Bls),
    ) -> Posts {
        let shard = link.header.shard;
        let newer = self
            .links
            .get(&shard)
            .is_none_or(|known| known.header.height < link.header.height);
        if !newer || !state.wants_crosslink(&link.header) {
            return Vec::new();
        }
        if (Rules { genesis, crypto }).check_crosslink(&link).is_err() {
            self.refused += 1;
            return Vec::new();
        }
        let gossip = Gossip::CrossLink(Box::new(link.clone()));
        self.links.insert(shard, link);
        self.pass_on(from, gossip)
    }

    /// Batches that wait for a block.
    pub(super) fn pending(&self) -> usize {
        self.batches
            .values()
            .map(|batch| batch.receipts.len())
            .sum()
    }

    fn answer_executed(
        &self,
        from: NodeId,
        batch: &ReceiptBatch,
        sequence: u64,
        state: &ChainState,
    ) -> Posts {
        let executed = batch.destination == self.node.shard
            && batch.source() == from.shard
            && sequence < state.expected_from(batch.source());
        match &self.own {
            // The sender does not know that it was executed.
            Some(own) if executed && from.shard != self.node.shard => {
                vec![(
                    Receivers::Node(from),
                    Gossip::CrossLink(Box::new(own.clone())),
                )]
            }
            _ => Vec::new(),
        }
    }

    fn pass_on(&self, from: NodeId, gossip: Gossip) -> Posts {
        if from.shard == self.node.shard {
            Vec::new()
        } else {
            vec![(Receivers::Shard(self.node.shard), gossip)]
        }
    }

    /// Keeps a batch if there is room. The lowest numbers of a source are executed first, so they are what is kept.
    fn keep(&mut self, key: (ShardId, u64), batch: ReceiptBatch) -> bool {
        let source = (key.0, 0)..=(key.0, u64::MAX);
        if self.batches.range(source.clone()).count() >= BATCHES_PER_SOURCE {
            let Some(highest) = self.batches.range(source).next_back().map(|(key, _)| *key) else {
                return false;
            };
            if highest < key {
                return false;
            }
            self.forget(highest);
        }
        let size = encode(&batch).len();
        if self.bytes + size > BATCH_BYTES {
            return false;
        }
        self.bytes += size;
        self.batches.insert(key, batch);
        true
    }

    fn forget(&mut self, key: (ShardId, u64)) {
        if let Some(batch) = self.batches.remove(&key) {
            self.bytes = self.bytes.saturating_sub(encode(&batch).len());
        }
    }

    fn forget_executed(&mut self, state: &ChainState) {
        let executed: Vec<_> = self
            .batches
            .keys()
            .filter(|(source, sequence)| *sequence < state.expected_from(*source))
            .copied()
            .collect();
        for key in executed {
            self.forget(key);
        }
        self.links
            .retain(|_, link| state.wants_crosslink(&link.header));
    }

    /// The leader of a block and the validator after it push: one may die, and all would be a flood.
    fn speaks_for(&self, header: &Header) -> bool {
        let second = (u32::from(header.leader.index) + 1) % u32::from(self.validators);
        header.leader == self.node || u32::from(self.node.index) == second
    }
}

fn crosslink(committed: &CommittedBlock) -> Option<CrossLink> {
    let certificate = committed.certificate.clone()?;
    Some(CrossLink {
        header: committed.block.header.clone(),
        certificate,
    })
}

/// The shards that wait for this header: sources whose batches it executed, and the beacon when receipts moved or
/// some blocks have passed.
fn awaiting(header: &Header, before: Option<&Header>) -> Vec<ShardId> {
    let mut shards: Vec<ShardId> = header
        .received
        .iter()
        .filter(|record| {
            before.is_none_or(|before| {
                before.next_expected_from(record.source) < record.next_sequence
            })
        })
        .map(|record| record.source)
        .collect();
    let moved = !shards.is_empty() || header.sent.iter().any(|record| record.batch.is_some());
    let beacon = ShardId::BEACON;
    if header.shard != beacon
        && !shards.contains(&beacon)
        && (moved || header.height.is_multiple_of(CROSSLINK_INTERVAL))
    {
        shards.push(beacon);
    }
    shards
}

#[cfg(test)]
mod tests;
