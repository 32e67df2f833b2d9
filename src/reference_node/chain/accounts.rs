//! Accounts as a persistent tree with an incremental root.
//!
//! ```text
//!  root <- 32 branches <- 32 buckets each <- accounts, sorted by address
//! ```
//!
//! A clone shares everything; a change copies one bucket and one branch and hashes those two and the root, whatever
//! the number of accounts. The two levels are chosen by the first two bytes of the address, which is a hash.

use super::MAX_ACCOUNTS;
use crate::reference_node::types::{Address, Amount, Hash, encode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Children of the root, and of each branch. 1,024 buckets keep a bucket at some accounts for a testnet's thousands.
const FANOUT: usize = 32;

/// What an account holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Value owned.
    pub balance: Amount,
    /// Transactions sent from it.
    pub nonce: u64,
}

#[derive(Debug, Clone, Default)]
struct Bucket {
    /// Ascending by address.
    entries: Vec<(Address, Account)>,
    /// None after a change, until the root is next asked for.
    hash: Option<Hash>,
}

#[derive(Debug, Clone)]
struct Branch {
    buckets: Vec<Arc<Bucket>>,
    hash: Option<Hash>,
}

/// All accounts of a shard.
#[derive(Debug, Clone)]
pub(super) struct Accounts {
    branches: Vec<Arc<Branch>>,
    count: usize,
    total: Amount,
    /// Sum of all nonces.
    transfers: u64,
}

/// Adding would leave the range of an amount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Accounts {
    pub(super) fn new() -> Self {
        let bucket = Arc::new(Bucket::default());
        let branch = Arc::new(Branch {
            buckets: vec![bucket; FANOUT],
            hash: None,
        });
        Accounts {
            branches: vec![branch; FANOUT],
            count: 0,
            total: 0,
            transfers: 0,
        }
    }

    /// The sum of all balances.
    pub(super) fn total(&self) -> Amount {
        self.total
    }

    /// Transactions that were ever sent from the accounts.
    pub(super) fn transfers(&self) -> u64 {
        self.transfers
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= MAX_ACCOUNTS
    }

    pub(super) fn find(&self, address: &Address) -> Option<Account> {
        let (branch, bucket) = place(address);
        let entries = &self.branches[branch].buckets[bucket].entries;
        let position = entries
            .binary_search_by_key(address, |entry| entry.0)
            .ok()?;
        Some(entries[position].1)
    }

    /// Writes an account.
    pub(super) fn set(&mut self, address: Address, account: Account) -> Result<(), Overflow> {
        let before = self.find(&address).unwrap_or_default();
        let total = (self.total - before.balance)
            .checked_add(account.balance)
            .ok_or(Overflow)?;
        let transfers = self.transfers.wrapping_sub(before.nonce);
        let (branch, bucket) = place(&address);
        let branch = Arc::make_mut(&mut self.branches[branch]);
        let bucket = Arc::make_mut(&mut branch.buckets[bucket]);
        branch.hash = None;
        bucket.hash = None;
        match bucket
            .entries
            .binary_search_by_key(&address, |entry| entry.0)
        {
            Ok(position) => bucket.entries[position].1 = account,
            Err(position) => {
                bucket.entries.insert(position, (address, account));
                self.count += 1;
            }
        }
        self.total = total;
        self.transfers = transfers.wrapping_add(account.nonce);
        Ok(())
    }

    /// Adds to a balance; makes the account if there is room, else the account zero gets the value, because a receipt
    /// that is final on its source cannot be refused.
    pub(super) fn credit(&mut self, address: Address, amount: Amount) -> Result<(), Overflow> {
        let (address, account) = match self.find(&address) {
            Some(account) => (address, account),
            None if self.is_full() => {
                (Address::ZERO, self.find(&Address::ZERO).unwrap_or_default())
            }
            None => (address, Account::default()),
        };
        let balance = account.balance.checked_add(amount).ok_or(Overflow)?;
        self.set(address, Account { balance, ..account })
    }

    /// The commitment to all accounts. Hashes only what changed since it was last asked for.
    pub(super) fn root(&mut self) -> Hash {
        let hashes = self.branches.iter_mut().map(|branch| match branch.hash {
            Some(hash) => hash,
            None => Arc::make_mut(branch).refresh(),
        });
        combine(b"accounts\0", hashes)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Address, Account)> {
        self.branches
            .iter()
            .flat_map(|branch| &branch.buckets)
            .flat_map(|bucket| &bucket.entries)
    }

    /// The accounts that differ from those of `before`. Accounts are never removed.
    pub(super) fn changed_since<'a>(
        &'a self,
        before: &'a Accounts,
    ) -> impl Iterator<Item = &'a (Address, Account)> {
        let branches = self
            .branches
            .iter()
            .zip(&before.branches)
            .filter(|(now, then)| !Arc::ptr_eq(now, then));
        let buckets = branches.flat_map(|(now, then)| now.buckets.iter().zip(&then.buckets));
        let buckets = buckets.filter(|(now, then)| !Arc::ptr_eq(now, then));
        buckets.flat_map(|(now, then)| {
            let unchanged = |entry: &(Address, Account)| {
                let position = then.entries.binary_search_by_key(&entry.0, |old| old.0);
                position.is_ok_and(|position| then.entries[position] == *entry)
            };
            now.entries.iter().filter(move |entry| !unchanged(entry))
        })
    }
}

impl Branch {
    fn refresh(&mut self) -> Hash {
        let hashes = self.buckets.iter_mut().map(|bucket| match bucket.hash {
            Some(hash) => hash,
            None => Arc::make_mut(bucket).refresh(),
        });
        let hash = combine(b"branch\0", hashes);
        self.hash = Some(hash);
        hash
    }
}

impl Bucket {
    fn refresh(&mut self) -> Hash {
        let hash = Hash::of(&[b"bucket\0".as_slice(), &encode(&self.entries)]);
        self.hash = Some(hash);
        hash
    }
}

fn place(address: &Address) -> (usize, usize) {
    (
        usize::from(address.0[0]) % FANOUT,
        usize::from(address.0[1]) % FANOUT,
    )
}

fn combine(tag: &[u8], hashes: impl Iterator<Item = Hash>) -> Hash {
    let mut bytes = Vec::with_capacity(FANOUT * Hash::SIZE);
    hashes.for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
    Hash::of(&[tag, &bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Address {
        Address::of_key(&crate::reference_node::types::TransactionKey(
            Hash::of(&[&number.to_be_bytes()]).0,
        ))
    }

    #[test]
    fn root_depends_on_content_not_on_history() {
        let mut ascending = Accounts::new();
        let mut descending = Accounts::new();
        for number in 0..3_000 {
            ascending
                .credit(address(number), u64::from(number) + 1)
                .unwrap();
            descending.credit(address(2_999 - number), 1).unwrap();
            if number % 100 == 0 {
                descending.root();
            }
        }
        assert_ne!(ascending.root(), descending.root());
        for number in 0..3_000 {
            descending
                .credit(address(number), u64::from(number))
                .unwrap();
        }
        assert_eq!(ascending.root(), descending.root());
        assert_eq!(ascending.total(), 3_000 * 3_001 / 2);
        assert_eq!(ascending.transfers(), 0);
        let sent = |nonce| Account { balance: 5, nonce };
        ascending.set(address(1), sent(7)).unwrap();
        ascending.set(address(2), sent(3)).unwrap();
        ascending.set(address(1), sent(8)).unwrap();
        assert_eq!(ascending.transfers(), 11);
        assert_eq!(ascending.iter().count(), 3_000);
    }

    #[test]
    fn a_clone_is_not_touched_and_changes_are_found() {
        let mut before = Accounts::new();
        (0..500).for_each(|number| before.credit(address(number), 10).unwrap());
        let root = before.root();
        let mut after = before.clone();
        after.credit(address(7), 1).unwrap();
        after.credit(address(900), 3).unwrap();
        assert_ne!(after.root(), root);
        assert_eq!(before.root(), root);
        let mut changed: Vec<_> = after.changed_since(&before).map(|entry| entry.0).collect();
        let mut expected = vec![address(7), address(900)];
        changed.sort();
        expected.sort();
        assert_eq!(changed, expected);
    }

    #[test]
    fn overflow_changes_nothing() {
        let mut accounts = Accounts::new();
        accounts.credit(address(1), Amount::MAX).unwrap();
        assert_eq!(accounts.credit(address(2), 1), Err(Overflow));
        assert_eq!(accounts.total(), Amount::MAX);
        assert_eq!(accounts.find(&address(2)), None);
    }

    #[test]
    fn a_full_shard_loses_no_value_and_grows_no_further() {
        let mut accounts = Accounts::new();
        for number in 0..MAX_ACCOUNTS as u32 {
            let mut bytes = [0; Address::SIZE];
            bytes[..4].copy_from_slice(&number.wrapping_add(1).to_le_bytes());
            accounts.credit(Address(bytes), 1).unwrap();
        }
        assert!(accounts.is_full());
        accounts.credit(address(1), 5).unwrap();
        accounts.credit(address(2), 6).unwrap();
        assert_eq!(accounts.find(&address(1)), None);
        assert_eq!(
            accounts.find(&Address::ZERO).map(|account| account.balance),
            Some(11)
        );
        assert_eq!(accounts.total(), MAX_ACCOUNTS as Amount + 11);
        assert_eq!(accounts.iter().count(), MAX_ACCOUNTS + 1);
    }
}
