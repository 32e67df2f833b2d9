//! The state of one shard after a block.

use super::accounts::{Account, Accounts};
use super::outbox::Outbox;
use super::{CROSSLINK_INTERVAL, MAX_OUTBOX_BATCHES, MAX_OUTBOX_RECEIPTS};
use crate::reference_node::types::{
    Address, Amount, Certificate, CrossLink, Hash, Header, ReceiptBatch, ReceivedRecord, ShardId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a shard has sent to one destination since genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTotal {
    /// The destination.
    pub destination: ShardId,
    /// Batches made: the number of the next one.
    pub next_sequence: u64,
    /// Batches that the destination is known to have executed.
    pub acknowledged: u64,
    /// Value of all batches made, modulo 2^64: only differences count, and those are far below.
    pub value: Amount,
}

/// What is known about value between two shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairInFlight {
    /// The source.
    pub source: ShardId,
    /// The destination.
    pub destination: ShardId,
    /// Batches made.
    pub sent_batches: u64,
    /// Batches executed.
    pub received_batches: u64,
    /// Value on its way. Zero if the destination's header is newer than the source's and shows more.
    pub value: Amount,
}

/// A crosslink with its commitment.
#[derive(Debug, Clone)]
pub(super) struct Linked {
    pub(super) link: Arc<CrossLink>,
    pub(super) hash: Hash,
}

impl Linked {
    pub(super) fn new(link: CrossLink) -> Self {
        let hash = Hash::of_value("crosslink", &link);
        Linked {
            link: Arc::new(link),
            hash,
        }
    }
}

/// Accounts, receipts on their way, crosslinks and rewards of one shard. A clone is cheap: it shares nearly all.
///
/// Invariant: `root` is the commitment to everything else, whenever a caller outside this module sees the state.
#[derive(Debug, Clone)]
pub struct ChainState {
    pub(super) shard: ShardId,
    pub(super) accounts: Accounts,
    pub(super) counters: Counters,
    pub(super) outbox: Outbox,
    pub(super) links: BTreeMap<ShardId, Linked>,
    pub(super) root: Hash,
}

/// The small parts of the state that change in most blocks; one row in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Ascending by destination.
    pub(super) sent: Vec<SentTotal>,
    /// Ascending by source.
    pub(super) received: Vec<ReceivedRecord>,
    /// What each validator of the shard has earned, by index.
    pub(super) rewards: Vec<Amount>,
}

impl PartialEq for ChainState {
    /// By commitment: equal roots are equal states.
    fn eq(&self, other: &Self) -> bool {
        self.shard == other.shard && self.root == other.root
    }
}

impl Eq for ChainState {}

impl ChainState {
    /// The state before the first block. The caller bounds the sum of balances.
    pub(in crate::reference_node) fn genesis(
        shard: ShardId,
        owners: impl IntoIterator<Item = (Address, Amount)>,
        validators: usize,
    ) -> ChainState {
        let counters = Counters {
            rewards: vec![0; validators],
            ..Counters::default()
        };
        let mut state = ChainState::empty(shard, counters);
        for (address, balance) in owners {
            state
                .accounts
                .credit(address, balance)
                .expect("invariant: genesis bounds the supply");
        }
        state.seal();
        state
    }

    pub(super) fn empty(shard: ShardId, counters: Counters) -> ChainState {
        let (accounts, outbox) = (Accounts::new(), Outbox::default());
        ChainState {
            shard,
            accounts,
            counters,
            outbox,
            links: BTreeMap::new(),
            root: Hash::ZERO,
        }
    }

    /// Computes the root after changes.
    pub(super) fn seal(&mut self) {
        let links: Vec<(ShardId, Hash)> = self
            .links
            .iter()
            .map(|(shard, linked)| (*shard, linked.hash))
            .collect();
        let parts = (
            self.shard,
            self.accounts.root(),
            self.outbox.root(),
            &self.counters,
            links,
        );
        self.root = Hash::of_value("state", &parts);
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The commitment that the block's header carries.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// An account; empty if nobody ever used it.
    pub fn account(&self, address: &Address) -> Account {
        self.accounts.find(address).unwrap_or_default()
    }

    /// The sum of all balances of the shard.
    pub fn total_balance(&self) -> Amount {
        self.accounts.total()
    }

    /// Transactions executed since genesis.
    pub fn transfers(&self) -> u64 {
        self.accounts.transfers()
    }

    /// What each validator of the shard has earned since genesis, by index. It is part of its account's balance.
    pub fn rewards(&self) -> &[Amount] {
        &self.counters.rewards
    }

    /// What was sent, per destination ever sent to.
    pub fn sent(&self) -> &[SentTotal] {
        &self.counters.sent
    }

    /// What was received, per source ever received from.
    pub fn received(&self) -> &[ReceivedRecord] {
        &self.counters.received
    }

    /// The newest crosslink of each other shard that this shard's blocks carried.
    pub fn links(&self) -> impl Iterator<Item = &CrossLink> {
        self.links.values().map(|linked| &*linked.link)
    }

    /// The number of the batch that `source` must send next.
    pub fn expected_from(&self, source: ShardId) -> u64 {
        self.counters
            .received
            .iter()
            .find(|record| record.source == source)
            .map_or(0, |record| record.next_sequence)
    }

    /// What was sent to `destination`.
    pub(super) fn sent_to(&self, destination: ShardId) -> SentTotal {
        let found = self
            .counters
            .sent
            .iter()
            .find(|total| total.destination == destination);
        found.copied().unwrap_or(SentTotal {
            destination,
            next_sequence: 0,
            acknowledged: 0,
            value: 0,
        })
    }

    /// How many receipts another batch to `destination` may have.
    pub(super) fn outbox_room(&self, destination: ShardId) -> usize {
        let (batches, receipts) = self.outbox.load(destination);
        if batches < MAX_OUTBOX_BATCHES {
            MAX_OUTBOX_RECEIPTS.saturating_sub(receipts)
        } else {
            0
        }
    }

    /// The destinations that have not acknowledged everything.
    pub fn unacknowledged(&self) -> impl Iterator<Item = ShardId> + '_ {
        let open = self
            .counters
            .sent
            .iter()
            .filter(|total| total.acknowledged < total.next_sequence);
        open.map(|total| total.destination)
    }

    /// The batches that wait for `destination` to acknowledge them, lowest number first: push these again.
    /// A batch of the newest block is not among them yet, see `fresh_batches`.
    pub fn outbox(&self, destination: ShardId) -> impl Iterator<Item = ReceiptBatch> + '_ {
        self.outbox.batches(destination)
    }

    /// The batches of the block that led to this state, with the proof that the caller has.
    pub fn fresh_batches(&self, header: &Header, certificate: &Certificate) -> Vec<ReceiptBatch> {
        let made = header.sent.iter().filter(|record| record.batch.is_some());
        made.filter_map(|record| {
            let pending = self
                .outbox
                .get(record.destination, record.next_sequence.checked_sub(1)?)?;
            Some(ReceiptBatch {
                destination: record.destination,
                receipts: pending.receipts.clone(),
                header: header.clone(),
                certificate: certificate.clone(),
            })
        })
        .collect()
    }

    /// Whether the batch is for this shard and was not executed yet. A pool that keeps only these stays small.
    pub fn wants_batch(&self, batch: &ReceiptBatch) -> bool {
        let next = self.expected_from(batch.source());
        let window = next..next.saturating_add(MAX_OUTBOX_BATCHES as u64);
        batch.destination == self.shard
            && batch.source() != self.shard
            && batch
                .sequence()
                .is_some_and(|sequence| window.contains(&sequence))
    }

    /// Whether a block should carry this header: on the beacon after some blocks or when receipts moved, elsewhere
    /// only when it acknowledges something. A rule of thrift for leaders, not of validity.
    pub fn wants_crosslink(&self, header: &Header) -> bool {
        if header.shard == self.shard {
            return false;
        }
        let known = self
            .links
            .get(&header.shard)
            .map(|linked| &linked.link.header);
        if known.is_some_and(|known| header.height <= known.height) {
            return false;
        }
        if header.next_expected_from(self.shard) > self.sent_to(header.shard).acknowledged {
            return true;
        }
        self.shard == ShardId::BEACON
            && known.is_none_or(|known| {
                let counts = |header: &Header| -> Vec<(ShardId, u64)> {
                    header
                        .sent
                        .iter()
                        .map(|record| (record.destination, record.next_sequence))
                        .collect()
                };
                header.height >= known.height.saturating_add(CROSSLINK_INTERVAL)
                    || header.received != known.received
                    || counts(header) != counts(known)
            })
    }

    /// What is on its way between shards, as far as this shard's blocks show: on the beacon every pair, elsewhere
    /// the pairs with this shard as the source.
    pub fn in_flight(&self) -> Vec<PairInFlight> {
        let own = self.counters.sent.iter().map(|total| {
            (
                self.shard,
                total.destination,
                total.next_sequence,
                total.value,
            )
        });
        let others = self.links().flat_map(|link| {
            let shard = link.header.shard;
            link.header
                .sent
                .iter()
                .map(move |sent| (shard, sent.destination, sent.next_sequence, sent.value))
        });
        let others = others.filter(|_| self.shard == ShardId::BEACON);
        own.chain(others)
            .map(|(source, destination, sent_batches, sent_value)| {
                let received = self.received_by(destination, source);
                let (received_batches, received_value) =
                    received.map_or((0, 0), |r| (r.next_sequence, r.value));
                let behind = sent_batches > received_batches;
                let value = if behind {
                    sent_value.wrapping_sub(received_value)
                } else {
                    0
                };
                PairInFlight {
                    source,
                    destination,
                    sent_batches,
                    received_batches,
                    value,
                }
            })
            .collect()
    }

    fn received_by(&self, destination: ShardId, source: ShardId) -> Option<ReceivedRecord> {
        let records = if destination == self.shard {
            &self.counters.received
        } else {
            &self.links.get(&destination)?.link.header.received
        };
        records
            .iter()
            .find(|record| record.source == source)
            .copied()
    }
}
