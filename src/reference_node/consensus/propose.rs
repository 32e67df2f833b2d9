//! The leader's pace, and the making of a block.
//!
//! A leader paces by its schedule and not by the end of the block before: the next proposal is due one interval after
//! the last one was *planned*, so that what a block costs never adds up. A leader that is late by less than an interval
//! catches up; by more, the schedule starts anew, so that a stall is not followed by a burst. Everybody else plans one
//! interval after the proposal that arrived last, and so takes over in step.

use std::sync::Arc;

use super::core::Consensus;
use super::messages::{Message, Micros, NewView, Output, Proposal};
use super::round::Candidate;
use crate::reference_node::chain::{self, Built, Payload, Rules};
use crate::reference_node::crypto::Crypto;
use crate::reference_node::log::{Event, Level};
use crate::reference_node::types::{Block, NodeId};

impl<C: Crypto> Consensus<C> {
    /// When this node is to propose in the height's first view, if that is its turn and not done yet.
    pub(super) fn proposal_time(&self) -> Option<Micros> {
        let round = &self.round;
        let my_turn = round.view == round.first_view
            && !round.changing
            && round.leader(round.view) == self.me();
        let done = round.proposal.is_some() || round.payload_wanted || self.is_decided();
        if !my_turn || done || round.abstains() || round.position.is_none() {
            return None;
        }
        Some(self.next_proposal.max(self.gathered?))
    }

    pub(super) fn propose_if_due(&mut self) {
        if self.proposal_time().is_some_and(|due| due <= self.now) {
            self.want_payload();
        }
    }

    pub(super) fn want_payload(&mut self) {
        self.round.payload_wanted = true;
        self.emit(Output::PayloadWanted {
            height: self.round.height,
            view: self.round.view,
        });
    }

    pub(super) fn on_payload(&mut self, height: u64, view: u64, payload: &Payload) {
        let round = &self.round;
        let asked = round.payload_wanted && round.height == height && round.view == view;
        if !asked || round.proposal.is_some() || self.is_decided() {
            return;
        }
        match self.build(payload) {
            Ok(mut built) => {
                if !built.rejected.is_empty() {
                    self.emit(Output::Refused(std::mem::take(&mut built.rejected)));
                }
                self.announce(built);
            }
            Err(error) => {
                // Nothing of a payload can cause this; were it to happen, the timers of this node and of the others
                // bring the next try.
                self.round.payload_wanted = false;
                self.next_proposal = self.now + self.config.retry();
                let text = match error {
                    chain::BlockError::MissingLastCommit => {
                        "Cannot got commit signatures from last block"
                    }
                    _ => "!!!!!!!!!Failed Proposing New Block!!!!!!!!!",
                };
                let event = Event::new(Level::Error, text).field("blockNum", self.round.height);
                self.log(event.error(error));
            }
        }
    }

    fn build(&mut self, payload: &Payload) -> Result<Built, chain::BlockError> {
        let committee = self
            .genesis
            .committee(self.me().shard, self.head.committed.block.header.epoch);
        // Commit votes that came after the quorum are good for the reward of their signers.
        if let Some(certificate) = self
            .head
            .votes
            .as_mut()
            .and_then(|votes| votes.certify(&committee, &self.crypto))
        {
            self.head.committed.certificate = Some(certificate.clone());
        }
        let head = &self.head.committed;
        let parent = &head.block.header;
        let rules = Rules {
            genesis: &self.genesis,
            crypto: &self.crypto,
        };
        rules.build_block(chain::Proposal {
            parent,
            state: &self.head.state,
            last_commit: head.certificate.clone(),
            leader: self.me(),
            view: self.round.view,
            timestamp_ms: self.config.wall_ms(self.now),
            payload,
        })
    }

    fn announce(&mut self, built: Built) {
        let block = Arc::new(built.block);
        let hash = block.hash();
        self.round.keep(Candidate {
            hash,
            block: Arc::clone(&block),
            state: built.state,
        });
        if self.logs(Level::Info) {
            let event = Event::new(Level::Info, "[Announce] Sent Announce Message")
                .field("blockNum", block.header.height)
                .field("viewID", self.round.view)
                .field("numTxs", block.transactions.len())
                .field("blockHash", hash.to_string());
            self.log(event);
        }
        if let Some(votes) = self.round.new_view_votes.take() {
            self.open_new_view(votes, block, hash);
            return;
        }
        self.schedule_next();
        self.open_prepare(hash);
        let message = self.announcement(Arc::clone(&block));
        self.send_all(self.other_members(), message);
        self.announce_another(&block);
        self.check_prepared();
    }

    pub(super) fn schedule_next(&mut self) {
        let planned = self.next_proposal;
        let interval = self.config.interval + self.creep();
        let late = self.now.saturating_sub(planned) > interval;
        self.next_proposal = if late { self.now } else { planned } + interval;
    }

    pub(super) fn announcement(&self, block: Arc<Block>) -> Message {
        Message::Announce(Proposal {
            height: self.said_height(),
            view: self.round.view,
            block,
        })
    }

    // --- Repetition: everything that waits for an answer is said again until it is superseded.

    /// Says again what this node waits for an answer to.
    pub(super) fn repeat(&mut self) {
        if self.round.committed.is_some() || self.round.prepared_without_body.is_some() {
            self.ask_for_body();
        }
        if self.is_decided() {
            return;
        }
        if self.round.changing {
            self.repeat_view_change();
        } else if self.round.commit_votes.is_some() {
            let (_, silent) = self.by_vote(self.round.commit_votes.as_ref());
            self.say_prepared(silent);
        } else if self.round.prepare_votes.is_some() {
            let (_, silent) = self.by_vote(self.round.prepare_votes.as_ref());
            self.say_proposal(silent);
        } else {
            self.repeat_vote();
        }
    }

    pub(super) fn repeat_vote(&mut self) {
        if let Some((leader, vote)) = self.round.sent.clone() {
            self.send(leader, vote);
        }
    }

    /// Sends the prepared block to nodes whose commit vote is missing.
    pub(super) fn say_prepared(&mut self, to: Vec<NodeId>) {
        if let Some(lock) = &self.round.prepared {
            let block = Some(Arc::clone(&lock.block));
            let message = Message::Prepared {
                certificate: lock.certificate.clone(),
                block,
            };
            self.send_all(to, message);
        }
    }

    /// Sends the proposal of the current view to nodes whose prepare vote is missing.
    pub(super) fn say_proposal(&mut self, to: Vec<NodeId>) {
        if let Some(new_view) = &self.round.new_view {
            let message = Message::NewView(NewView::clone(new_view));
            self.send_all(to, message);
        } else if let Some(candidate) = self
            .round
            .proposal
            .and_then(|hash| self.round.candidate(hash))
        {
            let message = self.announcement(Arc::clone(&candidate.block));
            self.send_all(to, message);
        }
    }
}
