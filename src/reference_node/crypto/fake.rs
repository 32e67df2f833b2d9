//! A stand-in for signatures in simulations: thousands of schedules need speed, not strength.
//!
//! It keeps what the protocol relies on (bound to node, domain and message; aggregates are sums; a wrong
//! part spoils the sum) and gives up what it does not test: anybody could compute anybody's signature.

use super::{Crypto, Domain};
use crate::reference_node::types::{Bitmap, Committee, Hash, NodeId, Signature, VotePayload};

/// Signatures that are hashes, and aggregates that are their exclusive or.
#[derive(Debug, Clone)]
pub struct FakeCrypto {
    node: NodeId,
}

impl FakeCrypto {
    /// Signs as `node`.
    pub fn new(node: NodeId) -> Self {
        FakeCrypto { node }
    }

    fn signature(node: NodeId, domain: Domain, message: &[u8]) -> Signature {
        let [shard, index] = [node.shard.0.to_be_bytes(), node.index.to_be_bytes()];
        let digest = Hash::of(&[
            b"fake\0".as_slice(),
            &[domain.tag()],
            &shard,
            &index,
            message,
        ]);
        let mut bytes = [0; Signature::SIZE];
        bytes[..Hash::SIZE].copy_from_slice(digest.as_bytes());
        Signature(bytes)
    }

    fn sum(signatures: impl Iterator<Item = Signature>) -> Option<Signature> {
        signatures.reduce(|mut sum, next| {
            sum.0
                .iter_mut()
                .zip(next.0)
                .for_each(|(byte, other)| *byte ^= other);
            sum
        })
    }
}

impl Crypto for FakeCrypto {
    fn sign(&self, domain: Domain, message: &[u8]) -> Signature {
        Self::signature(self.node, domain, message)
    }

    fn verify(&self, node: NodeId, domain: Domain, message: &[u8], signature: &Signature) -> bool {
        Self::signature(node, domain, message) == *signature
    }

    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        Self::sum(signatures.iter().copied())
    }

    fn verify_aggregate(
        &self,
        committee: &Committee,
        signers: &Bitmap,
        payload: &VotePayload,
        aggregate: &Signature,
    ) -> bool {
        if !signers.fits(committee.len()) {
            return false;
        }
        let message = payload.signing_bytes();
        let expected = committee
            .nodes(signers)
            .map(|node| Self::signature(node, Domain::Vote, &message));
        Self::sum(expected).is_some_and(|sum| sum == *aggregate)
    }
}
