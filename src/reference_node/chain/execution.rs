//! What a block does to the state, one step at a time. Leaders and validators run the same steps.

use super::accounts::{Account, Overflow};
use super::outbox::Pending;
use super::state::{ChainState, Linked, SentTotal};
use super::{BlockError, CertificateFault, LinkFault, Rules, TransactionError};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::types::{
    Certificate, CrossLink, Header, Phase, Receipt, ReceiptBatch, ReceivedRecord, SentRecord,
    ShardId, Transaction, receipts_root,
};
use std::collections::BTreeMap;

/// How much of a block is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A proposal: everything, and its time against our clock.
    Proposal {
        /// Our clock in milliseconds since 1970.
        now_ms: u64,
    },
    /// A block that a verified commit certificate makes final: a quorum has checked the signatures inside it, so only
    /// the execution is repeated.
    Final,
}

/// A block half-way through.
pub(super) struct Execution<'a, C: Crypto> {
    rules: Rules<'a, C>,
    state: ChainState,
    verify: bool,
    outgoing: BTreeMap<ShardId, Outgoing>,
}

/// The batch to one destination.
struct Outgoing {
    receipts: Vec<Receipt>,
    /// How many it may have.
    room: usize,
}

impl From<Overflow> for BlockError {
    fn from(_: Overflow) -> Self {
        BlockError::Overflow
    }
}

impl<C: Crypto> Rules<'_, C> {
    /// Whether a commit certificate is the header's: payload, form, quorum and signature.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_commit(
        &self,
        header: &Header,
        certificate: &Certificate,
    ) -> Result<(), CertificateFault> {
        self.check_commit_form(header, certificate)?;
        let committee = self.genesis.committee(header.shard, header.epoch);
        let Certificate {
            payload,
            signers,
            signature,
        } = certificate;
        if self
            .crypto
            .verify_aggregate(&committee, signers, payload, signature)
        {
            Ok(())
        } else {
            Err(CertificateFault::Signature)
        }
    }

    /// All of `check_commit` but the signature.
    fn check_commit_form(
        &self,
        header: &Header,
        certificate: &Certificate,
    ) -> Result<(), CertificateFault> {
        let Certificate {
            payload, signers, ..
        } = certificate;
        let same_block = payload.shard == header.shard && payload.height == header.height;
        // A later view may finish the block, an earlier one cannot have known it.
        let possible = payload.phase == Phase::Commit && payload.view >= header.view;
        if !same_block || !possible || payload.block != header.hash() {
            return Err(CertificateFault::OtherPayload);
        }
        let committee = self.genesis.committee(header.shard, header.epoch);
        if !signers.fits(committee.len()) {
            return Err(CertificateFault::Bitmap);
        }
        if !committee.is_quorum(committee.power(signers)) {
            return Err(CertificateFault::NoQuorum);
        }
        Ok(())
    }

    /// Whether a header is final on its shard, whatever our state.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_crosslink(&self, link: &CrossLink) -> Result<(), LinkFault> {
        self.check_foreign(&link.header, &link.certificate, true)
    }

    /// Whether a batch is proven, whatever our state.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_batch(&self, batch: &ReceiptBatch) -> Result<(), LinkFault> {
        check_content(batch)?;
        self.check_foreign(&batch.header, &batch.certificate, true)
    }

    fn check_foreign(
        &self,
        header: &Header,
        certificate: &Certificate,
        verify: bool,
    ) -> Result<(), LinkFault> {
        if header.shard.0 >= self.genesis.config().shards {
            return Err(LinkFault::NoOtherShard);
        }
        if header.epoch != self.genesis.epoch_of(header.height) {
            return Err(LinkFault::WrongEpoch);
        }
        let outcome = if verify {
            self.check_commit(header, certificate)
        } else {
            self.check_commit_form(header, certificate)
        };
        outcome.map_err(LinkFault::Certificate)
    }
}

/// Whether the header of the batch commits to its receipts.
fn check_content(batch: &ReceiptBatch) -> Result<(), LinkFault> {
    let record = batch.record().ok_or(LinkFault::WrongReceipts)?;
    let matches = record.batch == Some(receipts_root(&batch.receipts)) && record.next_sequence > 0;
    if matches {
        Ok(())
    } else {
        Err(LinkFault::WrongReceipts)
    }
}

impl<'a, C: Crypto> Execution<'a, C> {
    /// Starts the block after `parent`: its signers earn their reward, its batches get their proof.
    pub(super) fn begin(
        rules: Rules<'a, C>,
        parent: &Header,
        state: &ChainState,
        last_commit: Option<&Certificate>,
        verify: bool,
    ) -> Result<Self, BlockError> {
        let mut execution = Execution {
            rules,
            state: state.clone(),
            verify,
            outgoing: BTreeMap::new(),
        };
        let after_genesis = parent.height == rules.genesis.config().initial_height;
        match last_commit {
            None if after_genesis => {}
            None => return Err(BlockError::MissingLastCommit),
            Some(_) if after_genesis => return Err(BlockError::UnexpectedLastCommit),
            Some(certificate) => {
                let outcome = if verify {
                    rules.check_commit(parent, certificate)
                } else {
                    rules.check_commit_form(parent, certificate)
                };
                outcome.map_err(BlockError::BadLastCommit)?;
                execution.reward(parent, certificate)?;
                execution.state.outbox.prove(parent, certificate);
            }
        }
        Ok(execution)
    }

    pub(super) fn state(&self) -> &ChainState {
        &self.state
    }

    fn reward(&mut self, parent: &Header, certificate: &Certificate) -> Result<(), BlockError> {
        let reward = self.rules.genesis.config().block_reward;
        let committee = self.rules.genesis.committee(parent.shard, parent.epoch);
        for node in committee.nodes(&certificate.signers) {
            let (Some(record), Some(total)) = (
                self.rules.genesis.node(node),
                self.state.counters.rewards.get_mut(usize::from(node.index)),
            ) else {
                continue;
            };
            *total = total.checked_add(reward).ok_or(BlockError::Overflow)?;
            self.state.accounts.credit(record.reward_address, reward)?;
        }
        Ok(())
    }

    /// Takes note of another shard's final header: what it shows as received leaves the outbox.
    pub(super) fn link(&mut self, link: &CrossLink) -> Result<(), BlockError> {
        let (shard, height) = (link.header.shard, link.header.height);
        self.try_link(link)
            .map_err(|reason| BlockError::BadCrossLink {
                shard,
                height,
                reason,
            })
    }

    fn try_link(&mut self, link: &CrossLink) -> Result<(), LinkFault> {
        let header = &link.header;
        if header.shard == self.state.shard {
            return Err(LinkFault::NoOtherShard);
        }
        if self
            .state
            .links
            .get(&header.shard)
            .is_some_and(|known| header.height <= known.link.header.height)
        {
            return Err(LinkFault::NotNewer);
        }
        let sent = self.state.sent_to(header.shard);
        let received = header.next_expected_from(self.state.shard);
        if received < sent.acknowledged || received > sent.next_sequence {
            return Err(LinkFault::Counters);
        }
        self.rules
            .check_foreign(header, &link.certificate, self.verify)?;
        if received > sent.acknowledged {
            self.state.outbox.acknowledge(header.shard, received);
            self.put_sent(SentTotal {
                acknowledged: received,
                ..sent
            });
        }
        self.state
            .links
            .insert(header.shard, Linked::new(link.clone()));
        Ok(())
    }

    /// Executes a batch from another shard.
    pub(super) fn receive(&mut self, batch: &ReceiptBatch) -> Result<(), BlockError> {
        let source_shard = batch.source();
        self.check_receive(batch)
            .map_err(|reason| BlockError::BadBatch {
                source_shard,
                reason,
            })?;
        let mut value = 0_u64;
        for receipt in &batch.receipts {
            self.state.accounts.credit(receipt.to, receipt.amount)?;
            value = value.wrapping_add(receipt.amount);
        }
        let received = &mut self.state.counters.received;
        match received.binary_search_by_key(&source_shard, |record| record.source) {
            Ok(position) => {
                received[position].next_sequence += 1;
                received[position].value = received[position].value.wrapping_add(value);
            }
            Err(position) => {
                received.insert(
                    position,
                    ReceivedRecord {
                        source: source_shard,
                        next_sequence: 1,
                        value,
                    },
                );
            }
        }
        Ok(())
    }

    fn check_receive(&self, batch: &ReceiptBatch) -> Result<(), LinkFault> {
        if batch.source() == self.state.shard {
            return Err(LinkFault::NoOtherShard);
        }
        if batch.destination != self.state.shard {
            return Err(LinkFault::OtherDestination);
        }
        check_content(batch)?;
        let expected = self.state.expected_from(batch.source());
        let found = batch.sequence().ok_or(LinkFault::WrongReceipts)?;
        if found != expected {
            return Err(LinkFault::OutOfOrder { expected, found });
        }
        self.rules
            .check_foreign(&batch.header, &batch.certificate, self.verify)
    }

    /// Executes a transfer; on an error nothing has changed.
    pub(super) fn transact(&mut self, transaction: &Transaction) -> Result<(), TransactionError> {
        let sender = transaction.sender();
        let account = self
            .state
            .check_transaction(transaction, self.rules.genesis.config().shards)?;
        let destination = transaction.to_shard;
        if transaction.is_cross_shard() {
            let state = &self.state;
            let start = || Outgoing {
                receipts: Vec::new(),
                room: state.outbox_room(destination),
            };
            let batch = self.outgoing.entry(destination).or_insert_with(start);
            if batch.receipts.len() >= batch.room {
                return Err(TransactionError::OutboxFull(destination));
            }
        }
        if self.verify && !self.rules.crypto.verify_transaction(transaction) {
            return Err(TransactionError::BadSignature);
        }
        let debited = Account {
            balance: account.balance - transaction.amount,
            nonce: account.nonce + 1,
        };
        // Invariant: neither write can overflow, since the total falls first and rises by the same amount after.
        self.state
            .accounts
            .set(sender, debited)
            .map_err(|Overflow| TransactionError::TooManyAccounts)?;
        if transaction.is_cross_shard() {
            let receipt = Receipt {
                transaction: transaction.hash(),
                from: sender,
                to: transaction.to,
                amount: transaction.amount,
            };
            if let Some(batch) = self.outgoing.get_mut(&destination) {
                batch.receipts.push(receipt);
            }
        } else {
            let credited = self
                .state
                .accounts
                .credit(transaction.to, transaction.amount);
            credited.map_err(|Overflow| TransactionError::TooManyAccounts)?;
        }
        Ok(())
    }

    fn put_sent(&mut self, total: SentTotal) {
        let sent = &mut self.state.counters.sent;
        match sent.binary_search_by_key(&total.destination, |old| old.destination) {
            Ok(position) => sent[position] = total,
            Err(position) => sent.insert(position, total),
        }
    }

    /// Closes the block: numbers its batches and computes the root. Returns what the header must say.
    pub(super) fn finish(mut self) -> (ChainState, Vec<SentRecord>, Vec<ReceivedRecord>) {
        let mut roots = BTreeMap::new();
        for (destination, Outgoing { receipts, .. }) in std::mem::take(&mut self.outgoing) {
            if receipts.is_empty() {
                continue;
            }
            let total = self.state.sent_to(destination);
            let value = receipts
                .iter()
                .fold(total.value, |sum, receipt| sum.wrapping_add(receipt.amount));
            roots.insert(destination, receipts_root(&receipts));
            self.state.outbox.insert(
                destination,
                total.next_sequence,
                Pending {
                    receipts,
                    proof: None,
                },
            );
            self.put_sent(SentTotal {
                next_sequence: total.next_sequence + 1,
                value,
                ..total
            });
        }
        self.state.seal();
        let record = |total: &SentTotal| SentRecord {
            destination: total.destination,
            next_sequence: total.next_sequence,
            value: total.value,
            batch: roots.get(&total.destination).copied(),
        };
        let sent = self.state.counters.sent.iter().map(record).collect();
        let received = self.state.counters.received.clone();
        (self.state, sent, received)
    }
}

impl ChainState {
    /// Whether a transfer could be executed now, its signature left aside; returns the sender's account.
    ///
    /// # Errors
    /// Says why not; `may_pass_later` tells a mempool whether to keep it.
    pub fn check_transaction(
        &self,
        transaction: &Transaction,
        shards: u16,
    ) -> Result<Account, TransactionError> {
        if transaction.shard != self.shard {
            return Err(TransactionError::WrongShard);
        }
        if transaction.to_shard.0 >= shards {
            return Err(TransactionError::UnknownShard);
        }
        if transaction.amount == 0 {
            return Err(TransactionError::ZeroAmount);
        }
        let account = self.account(&transaction.sender());
        let (expected, found) = (account.nonce, transaction.nonce);
        if found < expected {
            return Err(TransactionError::NonceTooLow { expected, found });
        }
        if found > expected {
            return Err(TransactionError::NonceTooHigh { expected, found });
        }
        if account.balance < transaction.amount {
            let (balance, amount) = (account.balance, transaction.amount);
            return Err(TransactionError::InsufficientBalance { balance, amount });
        }
        let new_account =
            !transaction.is_cross_shard() && self.accounts.find(&transaction.to).is_none();
        if new_account && self.accounts.is_full() {
            return Err(TransactionError::TooManyAccounts);
        }
        Ok(account)
    }
}
