//! The end of a height: a certified block is written, becomes the head, and the next height begins.

use std::sync::Arc;

use super::core::{Consensus, Head};
use super::durable::Kind;
use super::messages::{CommittedBlock, Message, Output, RoundPhase, Write};
use super::round::Round;
use super::votes::Votes;
use crate::reference_node::chain::ChainState;
use crate::reference_node::crypto::Crypto;
use crate::reference_node::log::{Event, Level};
use crate::reference_node::types::{Block, Certificate, NodeId, Phase};

impl<C: Crypto> Consensus<C> {
    pub(super) fn on_committed(
        &mut self,
        from: NodeId,
        certificate: &Certificate,
        block: Option<&Arc<Block>>,
    ) {
        if self.durable.waits(Kind::Head) {
            return;
        }
        let known = self
            .round
            .committed
            .as_ref()
            .map(|known| known.payload.block);
        if known.is_some_and(|known| known != certificate.payload.block) {
            return;
        }
        if known.is_none() && !self.proves(certificate, Phase::Commit) {
            let event = Event::new(
                Level::Warn,
                "[OnCommitted] Failed to verify the multi signature for commit phase",
            );
            self.log(event.field("sender", from.to_string()));
            return;
        }
        let hash = certificate.payload.block;
        if self.body(from, hash, block).is_some() {
            let certificate = self
                .round
                .committed
                .clone()
                .unwrap_or_else(|| certificate.clone());
            self.decide(certificate, false);
        } else {
            self.round
                .committed
                .get_or_insert_with(|| certificate.clone());
            self.send(
                from,
                Message::BodyRequest {
                    height: self.round.height,
                    hash,
                },
            );
        }
    }

    /// The block of this verified certificate is final and its body is here: write it.
    pub(super) fn decide(&mut self, certificate: Certificate, synced: bool) {
        let Some(candidate) = self.round.candidate(certificate.payload.block) else {
            return;
        };
        let block = Arc::clone(&candidate.block);
        let state = candidate.state.clone();
        let previous = self.head.state.clone();
        self.durable.forget(Kind::View);
        self.round.grace_until = None;
        self.round.synced = synced;
        self.set_phase(RoundPhase::Commit);
        let committed = CommittedBlock {
            block,
            certificate: Some(certificate.clone()),
        };
        self.round.committed = Some(certificate);
        self.write(
            Kind::Head,
            Write::Block {
                committed,
                previous,
                state,
            },
        );
    }

    /// The block is durable: it is the head, and the next height begins.
    pub(super) fn on_block_durable(&mut self, committed: CommittedBlock, state: ChainState) {
        let synced = self.round.synced;
        let Some(certificate) = committed.certificate.clone() else {
            return;
        };
        self.log_reached(&committed, &certificate);
        let lived = self.round.proposal.is_some() && !synced;
        let votes = self
            .round
            .commit_votes
            .take()
            .filter(|votes| *votes.payload() == certificate.payload);
        let output = Output::Committed {
            committed: committed.clone(),
            state: state.clone(),
            synced,
        };
        self.begin_after(committed, state, votes);
        self.doubt(!lived);
        self.emit(output);
        let header = &self.head.committed.block.header;
        let carried = certificate.payload.view.saturating_sub(header.view);
        if carried > 0
            && !synced
            && self.round.epoch == header.epoch
            && self.round.position.is_some()
        {
            // A later leader finished the block of one that had failed. Leadership goes by the block's header, so the
            // failed one would lead again: ask for the one that works without waiting for another timeout.
            self.start_view_change(self.round.first_view.saturating_add(carried));
        }
        self.replay_early();
    }

    /// A node with a new store that finds the chain ahead may have lost its disk, and may have voted at the height that
    /// it reaches now. It stays silent in the first view of every height until it has seen one from its proposal to its
    /// end.
    pub(super) fn doubt(&mut self, passed_by: bool) {
        if passed_by && self.forgetful {
            self.round.abstain = Some(self.round.first_view);
        } else {
            self.forgetful = false;
        }
    }

    /// Moves to the height after a new head.
    pub(super) fn begin_after(
        &mut self,
        committed: CommittedBlock,
        state: ChainState,
        votes: Option<Votes>,
    ) {
        let hash = committed
            .certificate
            .as_ref()
            .map_or_else(|| committed.block.hash(), |proof| proof.payload.block);
        self.round = Round::after(&committed, &self.genesis, self.me(), self.now);
        self.head = Head {
            committed,
            hash,
            state,
            since: self.now,
            votes,
        };
        self.durable.forget(Kind::Lock);
        self.durable.forget(Kind::View);
        self.next_retry = self.now + self.config.retry();
        self.next_heartbeat = self.now + self.config.sync_interval.max(1);
        self.gather();
    }

    fn log_reached(&mut self, committed: &CommittedBlock, certificate: &Certificate) {
        if !self.logs(Level::Info) {
            return;
        }
        let header = &committed.block.header;
        let text = if self.round.commit_votes.is_some() {
            "HOORAY!!!!!!! CONSENSUS REACHED!!!!!!!"
        } else {
            "BINGO !!! Reached Consensus"
        };
        let event = Event::new(Level::Info, text)
            .field("blockNum", header.height)
            .field("epochNum", header.epoch)
            .field("ViewId", certificate.payload.view)
            .field("blockHash", certificate.payload.block.to_string())
            .field("numTxns", committed.block.transactions.len())
            .field("numSignatures", certificate.signers.count());
        self.log(event);
    }
}
