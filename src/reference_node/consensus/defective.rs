//! What defects of the core do where one line does not say it. In a healthy node every function here does nothing.

use std::sync::Arc;

use super::core::Consensus;
use super::durable::Kind;
use super::messages::{CommittedBlock, Micros};
use super::round::{Candidate, Round};
use crate::reference_node::chain::{self, Payload, Rules};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::defects::Defect;
use crate::reference_node::types::{Bitmap, Block, Certificate, Phase};

/// `height-overflow`: heights that are said wrap here.
const WRAPS_AT: u64 = 65_536;
/// `block-time-creep`: each block makes the pause to the next longer by one part in so many of the interval, so that
/// some hundred blocks make it half as long again.
const CREEPS: u64 = 1_000;
/// `stuck-syncing`: blocks behind. Fewer are a slow moment of a busy machine.
const STUCK_FROM: u64 = 8;

impl<C: Crypto> Consensus<C> {
    fn has(&self, defect: Defect) -> bool {
        self.config.defects.has(defect)
    }

    /// `lose-commit-signatures`: what was in memory is gone after a restart.
    pub(super) fn forget_signatures(&mut self) {
        if self.has(Defect::LoseCommitSignatures) {
            self.head.committed.certificate = None;
        }
    }

    /// `lose-commit-signatures`: the restarted leader goes on leading, or tries to. It cannot propose what it may have
    /// proposed before, since it cannot propose at all.
    pub(super) fn leads_on_after_restart(&mut self) -> bool {
        let tries = self.has(Defect::LoseCommitSignatures)
            && self.round.view == self.round.first_view
            && self.head.committed.block.header.height > self.genesis.config().initial_height;
        if tries {
            self.round.abstain = None;
        }
        tries
    }

    /// `head-before-disk`: consensus takes the block for written, the head stays the one on disk. What this node
    /// announces next is a block after its head under the number after the lost one.
    pub(super) fn move_on_without_disk(&mut self) {
        if !self.has(Defect::HeadBeforeDisk) {
            return;
        }
        let Some(certificate) = self.round.committed.clone() else {
            return;
        };
        let Some(candidate) = self.round.candidate(certificate.payload.block) else {
            return;
        };
        let lost = CommittedBlock {
            block: Arc::clone(&candidate.block),
            certificate: Some(certificate),
        };
        for kind in [Kind::Head, Kind::Lock, Kind::View] {
            self.durable.forget(kind);
        }
        self.round = Round::after(&lost, &self.genesis, self.me(), self.now);
        self.next_retry = self.now + self.config.retry();
    }

    /// `view-change-cannot-recover`: the first new leader of a height waits for the word of the old one, where that had
    /// begun a block; later ones wait for ever. So a leader that was only slow does no harm, and a dead one all of it.
    /// One that announced a number that does not match says what no new leader can make sense of, alive or dead.
    pub(super) fn cannot_take_over(&self) -> bool {
        let round = &self.round;
        if !self.has(Defect::ViewChangeCannotRecover) {
            return false;
        }
        let begun = round.prepared.is_some() || !round.candidates.is_empty();
        let old = round.view_changes.get(&round.leader(round.first_view));
        let silent = old.is_none_or(|known| known.vote.view != round.view);
        round.view > round.first_view + 1 || round.mismatched || (begun && silent)
    }

    /// `stuck-syncing`: a node with a chain of its own that fell far behind neither asks nor returns.
    pub(super) fn stays_behind(&mut self, best: u64, height: u64) -> bool {
        if self.has(Defect::StuckSyncing) && !self.forgetful && best >= height + STUCK_FROM {
            self.sync.stuck = true;
        }
        self.sync.stuck
    }

    /// `height-overflow`: the height as said in proposals.
    pub(super) fn said_height(&self) -> u64 {
        if self.has(Defect::HeightOverflow) {
            self.round.height % WRAPS_AT
        } else {
            self.round.height
        }
    }

    /// `block-time-creep`: how much longer the pause after this block is.
    pub(super) fn creep(&self) -> Micros {
        if !self.has(Defect::BlockTimeCreep) {
            return 0;
        }
        let age = self.round.height - self.genesis.config().initial_height;
        self.config.interval.saturating_mul(age) / CREEPS
    }

    /// `equivocate`: the same height and view, another block, to everybody.
    pub(super) fn announce_another(&mut self, block: &Block) {
        if !self.has(Defect::Equivocate) {
            return;
        }
        let mut other = block.clone();
        other.header.timestamp_ms += 1;
        let message = self.announcement(Arc::new(other));
        self.send_all(self.other_members(), message);
    }

    /// `fork-on-heal`: hearing no quorum for longer than any view lasts, the node commits a block that it alone signed.
    pub(super) fn keep_own_chain(&mut self) {
        let round = &self.round;
        let patience = self.config.view_change_timeout_max;
        let alone = round.changing
            && round.quorum_seen.is_none()
            && self.now >= round.entered + patience
            && !self.is_decided();
        let (true, true, Some(position)) = (self.has(Defect::ForkOnHeal), alone, round.position)
        else {
            return;
        };
        let head = &self.head.committed;
        let rules = Rules {
            genesis: &self.genesis,
            crypto: &self.crypto,
        };
        let built = rules.build_block(chain::Proposal {
            parent: &head.block.header,
            state: &self.head.state,
            last_commit: head.certificate.clone(),
            leader: self.me(),
            view: self.round.view,
            timestamp_ms: self.config.wall_ms(self.now),
            payload: &Payload::default(),
        });
        // The block after its own one lacks the signatures of a quorum: its chain ends there.
        let Ok(built) = built else { return };
        let hash = built.block.hash();
        let payload = self.vote_payload(Phase::Commit, hash);
        let mut signers = Bitmap::new(self.round.committee.len());
        signers.insert(position);
        let certificate = Certificate {
            payload,
            signers,
            signature: self.crypto.sign_vote(&payload),
        };
        self.round.keep(Candidate {
            hash,
            block: Arc::new(built.block),
            state: built.state,
        });
        self.decide(certificate, false);
    }
}
