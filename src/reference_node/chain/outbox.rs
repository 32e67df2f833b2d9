//! Batches that a shard made and that their destinations have not acknowledged yet.

use crate::reference_node::types::{Certificate, Hash, Header, Receipt, ReceiptBatch, ShardId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A batch on its way. Its proof is the header of the block that made it and that block's commit certificate; the
/// state after the block cannot hold them yet, the state after the next block does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) receipts: Vec<Receipt>,
    pub(super) proof: Option<(Header, Certificate)>,
}

#[derive(Debug, Clone)]
struct Entry {
    pending: Arc<Pending>,
    hash: Hash,
}

/// All pending batches, by destination and number. Clones share until one of them changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    entries: Arc<BTreeMap<(ShardId, u64), Entry>>,
}

impl Outbox {
    pub(super) fn insert(&mut self, destination: ShardId, sequence: u64, pending: Pending) {
        let hash = Hash::of_value("pending", &(destination, sequence, &pending));
        let entry = Entry {
            pending: Arc::new(pending),
            hash,
        };
        Arc::make_mut(&mut self.entries).insert((destination, sequence), entry);
    }

    /// Gives the batches of `header`'s block their proof.
    pub(super) fn prove(&mut self, header: &Header, certificate: &Certificate) {
        for record in header.sent.iter().filter(|record| record.batch.is_some()) {
            let Some(sequence) = record.next_sequence.checked_sub(1) else {
                continue;
            };
            let Some(entry) = self.entries.get(&(record.destination, sequence)) else {
                continue;
            };
            let proof = Some((header.clone(), certificate.clone()));
            let pending = Pending {
                receipts: entry.pending.receipts.clone(),
                proof,
            };
            self.insert(record.destination, sequence, pending);
        }
    }

    /// Drops the batches to `destination` with numbers below `next_sequence`.
    pub(super) fn acknowledge(&mut self, destination: ShardId, next_sequence: u64) {
        let keys: Vec<_> = self
            .entries
            .range((destination, 0)..(destination, next_sequence))
            .map(|row| *row.0)
            .collect();
        if !keys.is_empty() {
            let entries = Arc::make_mut(&mut self.entries);
            keys.iter().for_each(|key| drop(entries.remove(key)));
        }
    }

    /// The proven batches to `destination`, in order.
    pub(super) fn batches(&self, destination: ShardId) -> impl Iterator<Item = ReceiptBatch> + '_ {
        self.entries
            .range((destination, 0)..=(destination, u64::MAX))
            .filter_map(move |(_, entry)| {
                let (header, certificate) = entry.pending.proof.clone()?;
                Some(ReceiptBatch {
                    destination,
                    receipts: entry.pending.receipts.clone(),
                    header,
                    certificate,
                })
            })
    }

    pub(super) fn get(&self, destination: ShardId, sequence: u64) -> Option<&Pending> {
        self.entries
            .get(&(destination, sequence))
            .map(|entry| &*entry.pending)
    }

    /// How many batches, and how many receipts in them, wait for `destination`.
    pub(super) fn load(&self, destination: ShardId) -> (usize, usize) {
        let waiting = self
            .entries
            .range((destination, 0)..=(destination, u64::MAX));
        waiting.fold((0, 0), |(batches, receipts), (_, entry)| {
            (batches + 1, receipts + entry.pending.receipts.len())
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ((ShardId, u64), &Pending)> {
        self.entries
            .iter()
            .map(|(key, entry)| (*key, &*entry.pending))
    }

    /// The commitment to all of it.
    pub(super) fn root(&self) -> Hash {
        let hashes: Vec<u8> = self
            .entries
            .values()
            .flat_map(|entry| entry.hash.0)
            .collect();
        Hash::of(&[b"outbox\0", &hashes])
    }

    /// Batches that are new or have got their proof since `before`, and keys that are gone.
    #[expect(
        clippy::type_complexity,
        reason = "the two halves of a difference, used once"
    )]
    pub(super) fn changed_since<'a>(
        &'a self,
        before: &'a Outbox,
    ) -> (Vec<((ShardId, u64), &'a Pending)>, Vec<(ShardId, u64)>) {
        if Arc::ptr_eq(&self.entries, &before.entries) {
            return (Vec::new(), Vec::new());
        }
        let differs = |key: &(ShardId, u64), hash: Hash| {
            before.entries.get(key).is_none_or(|old| old.hash != hash)
        };
        let put = self
            .entries
            .iter()
            .filter(|(key, entry)| differs(key, entry.hash));
        let put = put.map(|(key, entry)| (*key, &*entry.pending)).collect();
        let gone = before
            .entries
            .keys()
            .filter(|key| !self.entries.contains_key(*key))
            .copied()
            .collect();
        (put, gone)
    }
}
