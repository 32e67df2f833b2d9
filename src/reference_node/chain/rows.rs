//! A state as rows of bytes: what the store keeps and what a snapshot sends.
//!
//! Keys start with a kind. The store applies a block's changes to one table in the write that stores the block;
//! recovery and state sync read all rows back. Rows prove nothing by themselves: the root of what they make is
//! compared with a final header's.

use super::accounts::Account;
use super::outbox::Pending;
use super::state::{ChainState, Counters, Linked};
use super::{MAX_ACCOUNTS, MAX_OUTBOX_BATCHES, StateError};
use crate::reference_node::genesis::MAX_SHARDS;
use crate::reference_node::types::{Address, Block, CrossLink, Hash, ShardId, decode, encode};
use serde::de::Error as _;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Key and value.
pub type StateRow = (Vec<u8>, Vec<u8>);

const COUNTERS: u8 = 0;
const ACCOUNT: u8 = 1;
const PENDING: u8 = 2;
const LINK: u8 = 3;

/// The most rows that a state can have.
const MAX_ROWS: usize = 2 + MAX_ACCOUNTS + MAX_SHARDS as usize * (MAX_OUTBOX_BATCHES + 1);

/// What to do to the rows of one state to have those of another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChanges {
    /// Rows to write.
    pub put: Vec<StateRow>,
    /// Keys to remove.
    pub delete: Vec<Vec<u8>>,
}

fn account_row((address, account): &(Address, Account)) -> StateRow {
    ([&[ACCOUNT], address.as_bytes()].concat(), encode(account))
}

fn pending_key((destination, sequence): (ShardId, u64)) -> Vec<u8> {
    [
        &[PENDING][..],
        &destination.0.to_be_bytes(),
        &sequence.to_be_bytes(),
    ]
    .concat()
}

fn link_row(shard: ShardId, link: &CrossLink) -> StateRow {
    ([&[LINK][..], &shard.0.to_be_bytes()].concat(), encode(link))
}

impl ChainState {
    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = StateRow> + '_ {
        let counters = (vec![COUNTERS], encode(&self.counters));
        std::iter::once(counters)
            .chain(self.accounts.iter().map(account_row))
            .chain(
                self.outbox
                    .iter()
                    .map(|(key, pending)| (pending_key(key), encode(pending))),
            )
            .chain(
                self.links
                    .iter()
                    .map(|(shard, linked)| link_row(*shard, &linked.link)),
            )
    }

    /// What changed since `before`, a state of the same shard. Cheap when one comes from the other by a few blocks.
    pub fn changes_since(&self, before: &ChainState) -> StateChanges {
        let mut changes = StateChanges::default();
        if self.counters != before.counters {
            changes.put.push((vec![COUNTERS], encode(&self.counters)));
        }
        changes.put.extend(
            self.accounts
                .changed_since(&before.accounts)
                .map(account_row),
        );
        let (put, gone) = self.outbox.changed_since(&before.outbox);
        changes.put.extend(
            put.into_iter()
                .map(|(key, pending)| (pending_key(key), encode(pending))),
        );
        changes.delete.extend(gone.into_iter().map(pending_key));
        for (shard, linked) in &self.links {
            if before
                .links
                .get(shard)
                .is_none_or(|old| old.hash != linked.hash)
            {
                changes.put.push(link_row(*shard, &linked.link));
            }
        }
        changes
    }

    /// Builds a state from rows in any order. The caller compares its root, or uses `from_rows_checked`.
    ///
    /// # Errors
    /// Says which row is malformed. Never panics, whatever the rows.
    pub fn from_rows(
        shard: ShardId,
        rows: impl IntoIterator<Item = StateRow>,
    ) -> Result<ChainState, StateError> {
        let mut state = ChainState::empty(shard, Counters::default());
        let mut has_counters = false;
        for (count, (key, value)) in rows.into_iter().enumerate() {
            if count >= MAX_ROWS {
                return Err(StateError::TooManyRows(MAX_ROWS));
            }
            has_counters |= key == [COUNTERS];
            state.read_row(&key, &value)?;
        }
        if !has_counters {
            return Err(StateError::NoCounters);
        }
        state.seal();
        Ok(state)
    }

    /// Builds a state that must have this root.
    ///
    /// # Errors
    /// As `from_rows`, and when the root differs.
    pub fn from_rows_checked(
        shard: ShardId,
        rows: impl IntoIterator<Item = StateRow>,
        root: Hash,
    ) -> Result<ChainState, StateError> {
        let state = ChainState::from_rows(shard, rows)?;
        if state.root == root {
            Ok(state)
        } else {
            Err(StateError::WrongRoot {
                expected: root,
                found: state.root,
            })
        }
    }

    fn read_row(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        let (kind, rest) = key.split_first().ok_or(StateError::UnknownKey(0))?;
        let bad = || StateError::BadRow(*kind);
        match (*kind, rest.len()) {
            (COUNTERS, 0) => self.counters = read(value).ok_or_else(bad)?,
            (ACCOUNT, Address::SIZE) => {
                let address = Address(rest.try_into().map_err(|_| bad())?);
                let account: Account = read(value).ok_or_else(bad)?;
                self.accounts.set(address, account).map_err(|_| bad())?;
            }
            (PENDING, 10) => {
                let (destination, sequence) = rest.split_at(2);
                let destination = ShardId(u16::from_be_bytes(
                    destination.try_into().map_err(|_| bad())?,
                ));
                let sequence = u64::from_be_bytes(sequence.try_into().map_err(|_| bad())?);
                let pending: Pending = read(value).ok_or_else(bad)?;
                self.outbox.insert(destination, sequence, pending);
            }
            (LINK, 2) => {
                let shard = ShardId(u16::from_be_bytes(rest.try_into().map_err(|_| bad())?));
                let link: CrossLink = read(value).ok_or_else(bad)?;
                if link.header.shard != shard {
                    return Err(bad());
                }
                self.links.insert(shard, Linked::new(link));
            }
            _ => return Err(StateError::UnknownKey(key.len())),
        }
        Ok(())
    }
}

/// No single row is larger than a block.
fn read<T: serde::de::DeserializeOwned>(value: &[u8]) -> Option<T> {
    decode(value, Block::MAX_BYTES).ok()
}

impl Serialize for ChainState {
    /// The shard and all rows: for tests and small states; a network sends rows in pieces.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(1 + self.rows().count()))?;
        sequence.serialize_element(&(encode(&self.shard), Vec::<u8>::new()))?;
        self.rows()
            .try_for_each(|row| sequence.serialize_element(&row))?;
        sequence.end()
    }
}

impl<'de> Deserialize<'de> for ChainState {
    /// Checks form, not root.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rows = Vec::<StateRow>::deserialize(deserializer)?.into_iter();
        let (shard, _) = rows.next().ok_or_else(|| D::Error::custom("no shard"))?;
        let shard = decode(&shard, 8).map_err(D::Error::custom)?;
        ChainState::from_rows(shard, rows).map_err(D::Error::custom)
    }
}
