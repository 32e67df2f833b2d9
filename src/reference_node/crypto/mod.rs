//! Signatures behind one trait: the real scheme, and a fast fake for simulations.
//!
//! A value of `Crypto` is one node's view: it can sign with that node's key and check everybody's. Keys come from
//! genesis, which derives them all from the seed, so no foreign key can be chosen to cancel another (the rogue-key
//! attack on aggregates) and no proof of possession has to travel.

mod bls;
mod fake;

pub use bls::{Bls, SecretKey};
pub use fake::FakeCrypto;

use super::types::{Bitmap, Certificate, Committee, NodeId, Signature, Transaction, VotePayload};

/// What a signature is for. A signature made in one domain is void in every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// Prepare and commit votes; the only domain whose signatures are aggregated.
    Vote,
    /// View-change and new-view messages.
    ViewChange,
    /// Any other consensus message that must be attributable.
    Message,
    /// The handshake of a link between two nodes.
    Link,
}

impl Domain {
    /// The byte that goes before the message.
    fn tag(self) -> u8 {
        match self {
            Domain::Vote => 1,
            Domain::ViewChange => 2,
            Domain::Message => 3,
            Domain::Link => 4,
        }
    }
}

/// Signing with one node's key, checking with everybody's.
pub trait Crypto {
    /// Signs with the own key.
    fn sign(&self, domain: Domain, message: &[u8]) -> Signature;

    /// Whether `node` signed this. False for nodes that genesis does not know.
    fn verify(&self, node: NodeId, domain: Domain, message: &[u8], signature: &Signature) -> bool;

    /// Adds signatures up. None if there are none or one of them is no point of the curve at all: then verify them
    /// one by one. The sum is unchecked: verify it before use.
    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature>;

    /// Whether the aggregate is of exactly these members' votes on `payload`. Does not ask for a quorum; false for
    /// an empty set and for positions outside the committee.
    fn verify_aggregate(
        &self,
        committee: &Committee,
        signers: &Bitmap,
        payload: &VotePayload,
        aggregate: &Signature,
    ) -> bool;

    /// Whether the sender signed the transfer. A node meets each transfer twice, in the mempool and in a block: an
    /// implementation may remember the good ones.
    fn verify_transaction(&self, transaction: &Transaction) -> bool {
        transaction.signature_is_valid()
    }

    /// Signs a vote.
    fn sign_vote(&self, payload: &VotePayload) -> Signature {
        self.sign(Domain::Vote, &payload.signing_bytes())
    }

    /// Whether `node` gave this vote.
    fn verify_vote(&self, node: NodeId, payload: &VotePayload, signature: &Signature) -> bool {
        self.verify(node, Domain::Vote, &payload.signing_bytes(), signature)
    }

    /// Whether a quorum of this committee signed the certificate's payload: form, power and signature.
    ///
    /// The caller checks that the payload is the one it wants (phase, height, block) and that the committee is the
    /// one of the payload's epoch.
    fn verify_certificate(&self, committee: &Committee, certificate: &Certificate) -> bool {
        certificate.payload.shard == committee.shard
            && certificate.signers.fits(committee.len())
            && committee.is_quorum(committee.power(&certificate.signers))
            && self.verify_aggregate(
                committee,
                &certificate.signers,
                &certificate.payload,
                &certificate.signature,
            )
    }
}

#[cfg(test)]
mod tests;
