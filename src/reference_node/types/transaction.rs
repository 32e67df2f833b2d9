//! A transfer between two accounts, of one shard or of two.

use super::{Address, Amount, Hash, ShardId, TransactionKey, TransactionSignature};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// A signed transfer. It is executed on `shard`; if `to_shard` differs, the receiver gets a receipt there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transaction {
    /// The sender's key; its account is debited.
    pub from: TransactionKey,
    /// The number of transactions that the sender executed on this shard before.
    pub nonce: u64,
    /// The shard that executes it.
    pub shard: ShardId,
    /// The shard of the receiver.
    pub to_shard: ShardId,
    /// The receiver.
    pub to: Address,
    /// Value moved.
    pub amount: Amount,
    /// The sender's signature over all of the above.
    pub signature: TransactionSignature,
}

impl Transaction {
    /// The most bytes that a transaction takes on the wire.
    pub const MAX_BYTES: usize = 192;

    /// Makes and signs a transfer.
    pub fn transfer(
        key: &SigningKey,
        nonce: u64,
        (shard, to_shard): (ShardId, ShardId),
        to: Address,
        amount: Amount,
    ) -> Transaction {
        let from = TransactionKey(key.verifying_key().to_bytes());
        let signature = TransactionSignature::ZERO;
        let mut transaction = Transaction {
            from,
            nonce,
            shard,
            to_shard,
            to,
            amount,
            signature,
        };
        transaction.signature =
            TransactionSignature(key.sign(&transaction.signing_bytes()).to_bytes());
        transaction
    }

    /// The transaction's name: covers the signature as well.
    pub fn hash(&self) -> Hash {
        Hash::of_value("transaction", self)
    }

    /// The sender's account.
    pub fn sender(&self) -> Address {
        Address::of_key(&self.from)
    }

    /// Whether the receiver lives on another shard.
    pub fn is_cross_shard(&self) -> bool {
        self.shard != self.to_shard
    }

    /// Whether the sender signed it. Strict: no malleable signature and no weak key passes, so all nodes agree.
    pub fn signature_is_valid(&self) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.from.0) else {
            return false;
        };
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature.0);
        key.verify_strict(&self.signing_bytes(), &signature).is_ok()
    }

    fn signing_bytes(&self) -> Vec<u8> {
        let content = (
            self.from,
            self.nonce,
            self.shard,
            self.to_shard,
            self.to,
            self.amount,
        );
        super::encode(&("canarynet transfer", content))
    }
}
