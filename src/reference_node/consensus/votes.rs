//! Votes that a leader collects on one payload until they make a certificate.
//!
//! Nothing is verified until the power suffices; then the sum is verified once. Only if that fails are the votes
//! verified one by one, and the liars dropped for the rest of the view.

use std::collections::{BTreeMap, BTreeSet};

use crate::reference_node::crypto::Crypto;
use crate::reference_node::types::{Bitmap, Certificate, Committee, Signature, VotePayload};

/// The votes on one payload.
pub(super) struct Votes {
    payload: VotePayload,
    pending: BTreeMap<usize, Signature>,
    banned: BTreeSet<usize>,
    certificate: Option<Certificate>,
}

impl Votes {
    pub(super) fn new(payload: VotePayload) -> Self {
        Self {
            payload,
            pending: BTreeMap::new(),
            banned: BTreeSet::new(),
            certificate: None,
        }
    }

    pub(super) fn payload(&self) -> &VotePayload {
        &self.payload
    }

    /// Takes a vote from the member at `position`. A second one from the same member replaces an unverified first.
    pub(super) fn add(&mut self, position: usize, signature: Signature) {
        if !self.banned.contains(&position) && !self.has_certified(position) {
            self.pending.insert(position, signature);
        }
    }

    /// Whether this member's vote is here.
    pub(super) fn has(&self, position: usize) -> bool {
        self.pending.contains_key(&position) || self.has_certified(position)
    }

    fn has_certified(&self, position: usize) -> bool {
        self.certificate
            .as_ref()
            .is_some_and(|certificate| certificate.signers.contains(position))
    }

    /// Whether all members voted.
    pub(super) fn is_complete(&self, committee: &Committee) -> bool {
        (0..committee.len()).all(|position| self.has(position))
    }

    /// Whether the votes would be a quorum, if all are good.
    pub(super) fn may_be_quorum(&self, committee: &Committee) -> bool {
        self.certificate.is_some() || committee.is_quorum(committee.power(&self.signers(committee)))
    }

    fn signers(&self, committee: &Committee) -> Bitmap {
        let mut signers = Bitmap::new(committee.len());
        (0..committee.len())
            .filter(|position| self.has(*position))
            .for_each(|position| signers.insert(position));
        signers
    }

    /// The certificate of all good votes, once they are a quorum. Votes that came after the last call are added.
    pub(super) fn certify<C: Crypto>(
        &mut self,
        committee: &Committee,
        crypto: &C,
    ) -> Option<&Certificate> {
        if self.may_be_quorum(committee) && !self.aggregate(committee, crypto) {
            self.drop_liars(committee, crypto);
            if self.may_be_quorum(committee) {
                self.aggregate(committee, crypto);
            }
        }
        self.certificate.as_ref()
    }

    /// Sums what is certified and what is pending, and keeps the sum if it is good.
    fn aggregate<C: Crypto>(&mut self, committee: &Committee, crypto: &C) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        let certified = self
            .certificate
            .as_ref()
            .map(|certificate| certificate.signature);
        let parts: Vec<Signature> = certified
            .into_iter()
            .chain(self.pending.values().copied())
            .collect();
        let Some(signature) = crypto.aggregate(&parts) else {
            return false;
        };
        let signers = self.signers(committee);
        if !crypto.verify_aggregate(committee, &signers, &self.payload, &signature) {
            return false;
        }
        self.pending.clear();
        self.certificate = Some(Certificate {
            payload: self.payload,
            signers,
            signature,
        });
        true
    }

    fn drop_liars<C: Crypto>(&mut self, committee: &Committee, crypto: &C) {
        let payload = self.payload;
        let banned = &mut self.banned;
        self.pending.retain(|position, signature| {
            let good = crypto.verify_vote(committee.at(*position as u64), &payload, signature);
            if !good {
                banned.insert(*position);
            }
            good
        });
    }
}
