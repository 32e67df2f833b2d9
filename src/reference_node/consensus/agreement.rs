//! The normal case: announce, prepare, prepared, commit, committed.

use std::sync::Arc;

use super::core::Consensus;
use super::durable::Kind;
use super::messages::{Lock, Message, PersistedView, Proposal, RoundPhase, Vote, Write};
use super::votes::Votes;
use crate::reference_node::chain::Check;
use crate::reference_node::crypto::Crypto;
use crate::reference_node::defects::Defect;
use crate::reference_node::log::{Event, Level};
use crate::reference_node::types::{Block, Certificate, Hash, NodeId, Phase, VotePayload};

impl<C: Crypto> Consensus<C> {
    /// The height is decided, or the chain is being replaced: nothing more to agree on here.
    pub(super) fn is_decided(&self) -> bool {
        self.round.committed.is_some() || self.durable.waits(Kind::Head)
    }

    pub(super) fn vote_payload(&self, phase: Phase, block: Hash) -> VotePayload {
        VotePayload {
            phase,
            shard: self.me().shard,
            height: self.round.height,
            view: self.round.view,
            block,
        }
    }

    fn signed_vote(&self, phase: Phase, block: Hash) -> Vote {
        let payload = self.vote_payload(phase, block);
        let signature = self.crypto.sign_vote(&payload);
        Vote {
            height: payload.height,
            view: payload.view,
            block_hash: block,
            signature,
        }
    }

    // --- Announce and prepare.

    pub(super) fn on_announce(&mut self, from: NodeId, proposal: &Proposal) {
        let round = &self.round;
        let first = round.first_view;
        if self.is_decided() || round.changing || round.view != first || proposal.view != first {
            return;
        }
        if from != round.leader(first) || round.position.is_none() {
            return;
        }
        let header = &proposal.block.header;
        if header.height != proposal.height {
            self.refuse_number(from, proposal);
            return;
        }
        if header.view != first || header.leader != from {
            return;
        }
        let hash = proposal.block.hash();
        if let Some(known) = self.round.proposal {
            if known == hash {
                self.repeat_vote();
            } else {
                let event = Event::new(
                    Level::Warn,
                    "[OnAnnounce] Leader is malicious: two blocks in one view",
                );
                self.log(
                    event
                        .field("sender", from.to_string())
                        .field("blockHash", hash.to_string()),
                );
            }
            return;
        }
        match self.execute(&proposal.block, hash, self.check_proposal()) {
            Ok(()) => self.accept_proposal(hash),
            Err(error) => self.bad_block(from, &proposal.block, &error),
        }
    }

    /// The message says one number and its block another: the leader's memory and disk disagree.
    fn refuse_number(&mut self, from: NodeId, proposal: &Proposal) {
        self.round.mismatched = true;
        let (said, found) = (proposal.height, proposal.block.header.height);
        let event = Event::new(Level::Warn, "[OnAnnounce] BlockNum not match")
            .field("MsgBlockNum", said)
            .field("BlockNum", found)
            .error(format!("{from} announced block {found} as number {said}"));
        self.log(event);
    }

    pub(super) fn check_proposal(&self) -> Check {
        Check::Proposal {
            now_ms: self.config.wall_ms(self.now),
        }
    }

    /// The first good proposal of the view: vote for it, once the view is durable.
    pub(super) fn accept_proposal(&mut self, hash: Hash) {
        self.round.proposal = Some(hash);
        self.set_phase(RoundPhase::Prepare);
        self.next_proposal = self.now + self.config.interval;
        if self.round.position.is_none() || self.round.abstains() {
            return;
        }
        if self.round.durable_view >= self.round.view {
            self.send_prepare();
        } else {
            self.round.prepare_waits = true;
            let view = PersistedView {
                height: self.round.height,
                view: self.round.view,
            };
            self.write(Kind::View, Write::View(view));
        }
    }

    pub(super) fn send_prepare(&mut self) {
        self.round.prepare_waits = false;
        let Some(hash) = self.round.proposal else {
            return;
        };
        if self.config.defects.has(Defect::IdleSigner) {
            return;
        }
        let vote = self.signed_vote(Phase::Prepare, hash);
        self.send_vote(
            Message::Prepare(vote),
            "[OnAnnounce] Sent Prepare Message!!",
            hash,
        );
    }

    fn send_vote(&mut self, vote: Message, text: &'static str, hash: Hash) {
        let leader = self.round.leader(self.round.view);
        self.send(leader, vote.clone());
        self.round.sent = Some((leader, vote));
        if self.logs(Level::Info) {
            let event = Event::new(Level::Info, text).field("blockNum", self.round.height);
            self.log(event.field("blockHash", hash.to_string()));
        }
    }

    /// As leader: the proposal is out; collects the votes on it, the own one first.
    pub(super) fn open_prepare(&mut self, hash: Hash) {
        self.round.proposal = Some(hash);
        self.set_phase(RoundPhase::Prepare);
        let own = self.signed_vote(Phase::Prepare, hash);
        let mut votes = Votes::new(self.vote_payload(Phase::Prepare, hash));
        if let Some(position) = self.round.position {
            votes.add(position, own.signature);
        }
        self.round.prepare_votes = Some(votes);
    }

    pub(super) fn on_prepare(&mut self, from: NodeId, vote: &Vote) {
        let view = self.round.view;
        let Some(position) = self.round.committee.position(from) else {
            return;
        };
        let Some(votes) = &mut self.round.prepare_votes else {
            return;
        };
        if vote.view == view && votes.payload().block == vote.block_hash {
            votes.add(position, vote.signature);
            self.check_prepared();
        }
    }

    /// As leader: a quorum has prepared the block. Tells everybody, and locks it here too.
    pub(super) fn check_prepared(&mut self) {
        if self.round.phase != RoundPhase::Prepare || self.is_decided() {
            return;
        }
        let committee = Arc::clone(&self.round.committee);
        let Some(votes) = &mut self.round.prepare_votes else {
            return;
        };
        let Some(certificate) = votes.certify(&committee, &self.crypto).cloned() else {
            return;
        };
        let hash = certificate.payload.block;
        let Some(block) = self
            .round
            .candidate(hash)
            .map(|candidate| Arc::clone(&candidate.block))
        else {
            return;
        };
        self.round.commit_votes = Some(Votes::new(self.vote_payload(Phase::Commit, hash)));
        let (voted, silent) = self.by_vote(self.round.prepare_votes.as_ref());
        self.send_all(
            voted,
            Message::Prepared {
                certificate: certificate.clone(),
                block: None,
            },
        );
        self.send_all(
            silent,
            Message::Prepared {
                certificate: certificate.clone(),
                block: Some(Arc::clone(&block)),
            },
        );
        if self.logs(Level::Info) {
            let event = Event::new(
                Level::Info,
                "[OnPrepare] Received Enough Prepare Signatures",
            )
            .field("blockNum", self.round.height)
            .field("numSignatures", certificate.signers.count());
            self.log(event);
        }
        self.adopt_prepared(certificate, block);
    }

    /// Other members of the committee: those that gave one of these votes, and the others.
    pub(super) fn by_vote(&self, votes: Option<&Votes>) -> (Vec<NodeId>, Vec<NodeId>) {
        let committee = &self.round.committee;
        self.other_members().into_iter().partition(|node| {
            let position = committee.position(*node);
            position.is_some_and(|position| votes.is_some_and(|votes| votes.has(position)))
        })
    }

    // --- Prepared and commit.

    pub(super) fn on_prepared(
        &mut self,
        from: NodeId,
        certificate: Certificate,
        block: Option<&Arc<Block>>,
    ) {
        let view = certificate.payload.view;
        if self.is_decided() || self.round.position.is_none() || view < self.round.view {
            return;
        }
        if self.round.prepared_view() >= Some(view) {
            self.repeat_vote();
            return;
        }
        if !self.proves(&certificate, Phase::Prepare) {
            let event = Event::new(Level::Warn, "[OnPrepared] Quorum Not achieved.");
            self.log(
                event
                    .field("sender", from.to_string())
                    .field("MsgViewID", view),
            );
            return;
        }
        let hash = certificate.payload.block;
        let Some(block) = self.body(from, hash, block) else {
            self.send(
                from,
                Message::BodyRequest {
                    height: self.round.height,
                    hash,
                },
            );
            let known = self
                .round
                .prepared_without_body
                .as_ref()
                .map(|known| known.payload.view);
            if known < Some(view) {
                self.round.prepared_without_body = Some(certificate);
            }
            return;
        };
        if view > self.round.view || self.round.changing {
            self.durable.forget(Kind::View);
            self.round.enter(view, false, self.now);
        }
        self.round.proposal = Some(hash);
        self.adopt_prepared(certificate, block);
    }

    /// The executed block of this hash: known, or the one that came along.
    pub(super) fn body(
        &mut self,
        from: NodeId,
        hash: Hash,
        block: Option<&Arc<Block>>,
    ) -> Option<Arc<Block>> {
        if let Some(candidate) = self.round.candidate(hash) {
            return Some(Arc::clone(&candidate.block));
        }
        let block = block.filter(|block| block.hash() == hash)?;
        // A quorum vouches for it: neither signatures inside nor its time are checked once more.
        match self.execute(block, hash, Check::Final) {
            Ok(()) => Some(Arc::clone(block)),
            Err(error) => {
                self.bad_block(from, block, &error);
                None
            }
        }
    }

    /// Makes the prepared block of the current view this node's lock. The commit vote waits for the disk.
    fn adopt_prepared(&mut self, certificate: Certificate, block: Arc<Block>) {
        self.set_phase(RoundPhase::Commit);
        self.round.sent = None;
        self.round.prepare_waits = false;
        self.round.prepared_without_body = None;
        let lock = Lock {
            height: self.round.height,
            view: certificate.payload.view,
            certificate,
            block,
        };
        self.round.prepared = Some(lock.clone());
        self.write(Kind::Lock, Write::Lock(lock));
    }

    pub(super) fn on_lock_durable(&mut self, lock: &Lock) {
        if lock.height != self.round.height {
            return;
        }
        // Too late for the quorum, and still good for the bitmap and the reward.
        let late = self
            .round
            .committed
            .as_ref()
            .is_some_and(|known| known.payload.block == lock.certificate.payload.block);
        if self.is_decided() && !late {
            return;
        }
        self.round.durable_view = self.round.durable_view.max(lock.view);
        if lock.view != self.round.view || self.round.changing || self.round.abstains() {
            return;
        }
        self.give_commit_vote(lock.certificate.payload.block);
    }

    /// Votes for the durable lock of the current view.
    pub(super) fn give_commit_vote(&mut self, hash: Hash) {
        if self.round.position.is_none() || self.config.defects.has(Defect::IdleSigner) {
            return;
        }
        let vote = self.signed_vote(Phase::Commit, hash);
        if self.round.leader(self.round.view) != self.me() {
            self.send_vote(
                Message::Commit(vote),
                "[sendCommitMessages] Sent Commit Message!!",
                hash,
            );
        } else if let (Some(votes), Some(position)) =
            (&mut self.round.commit_votes, self.round.position)
        {
            votes.add(position, vote.signature);
            self.check_committed();
        }
    }

    pub(super) fn on_commit(&mut self, from: NodeId, vote: &Vote) {
        let Some(position) = self.round.committee.position(from) else {
            return;
        };
        let view = self.round.view;
        let Some(votes) = &mut self.round.commit_votes else {
            return;
        };
        if vote.view == view && votes.payload().block == vote.block_hash {
            votes.add(position, vote.signature);
            self.check_committed();
        }
    }

    /// As leader: commit votes may be a quorum. Waits a moment for the rest of them, so that in health the bitmap is
    /// full, and never beyond the time of the next proposal.
    fn check_committed(&mut self) {
        let Some(votes) = &self.round.commit_votes else {
            return;
        };
        if self.is_decided() || !votes.may_be_quorum(&self.round.committee) {
            return;
        }
        if votes.is_complete(&self.round.committee) {
            self.close_commit();
        } else if self.round.grace_until.is_none() {
            let last = self.genesis.is_epoch_start(self.round.height + 1);
            let until = self.next_proposal.min(self.now + self.config.grace(last));
            self.round.grace_until = Some(until.max(self.now));
        }
    }

    /// As leader: makes the commit certificate, tells everybody, and writes the block. What others do does not depend
    /// on whether this node's own disk works.
    pub(super) fn close_commit(&mut self) {
        self.round.grace_until = None;
        if self.is_decided() {
            return;
        }
        let committee = Arc::clone(&self.round.committee);
        let Some(votes) = &mut self.round.commit_votes else {
            return;
        };
        let Some(certificate) = votes.certify(&committee, &self.crypto).cloned() else {
            return;
        };
        let Some(candidate) = self.round.candidate(certificate.payload.block) else {
            return;
        };
        let block = Arc::clone(&candidate.block);
        let (voted, _) = self.by_vote(self.round.commit_votes.as_ref());
        let silent = self
            .peers
            .keys()
            .copied()
            .filter(|node| !voted.contains(node))
            .collect();
        self.send_all(
            voted,
            Message::Committed {
                certificate: certificate.clone(),
                block: None,
            },
        );
        self.send_all(
            silent,
            Message::Committed {
                certificate: certificate.clone(),
                block: Some(block),
            },
        );
        if self.logs(Level::Info) {
            let event = Event::new(Level::Info, "[OnCommit] 2/3 Enough commits received")
                .field("blockNum", self.round.height)
                .field("NumCommits", certificate.signers.count());
            self.log(event);
        }
        self.decide(certificate, false);
    }
}
